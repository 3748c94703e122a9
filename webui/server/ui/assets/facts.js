// @ts-check
// What the server tells the page's scripts: with the page itself, and anew over the stream when a setting changes.

/**
 * @typedef {object} Facts
 * @property {string} theme "dark", "light" or "": what the server was told.
 * @property {Record<string, {bar: string, title: string}>} tabs By the ids of tabs and sub-tabs: the id of the bar that each
 *   stands in, and what it says there.
 * @property {Record<string, string>} help Tooltips by the ids of the controls.
 * @property {boolean} counters Whether tokens are counted.
 * @property {boolean} styles_count Whether the tokens of styles count too.
 * @property {boolean} begins_anew Whether Ctrl+Enter interrupts and begins anew.
 * @property {number} precision By how much Ctrl+Up changes the weight of words.
 * @property {number} precision_extra By how much it changes the weight of an extra network.
 */

/** @type {Facts} */
export const facts = {
  theme: "", tabs: {}, help: {}, counters: true, styles_count: true, begins_anew: true, precision: 0.1, precision_extra: 0.05,
  ...JSON.parse(globalThis.document?.getElementById("page_facts")?.textContent || "{}"),
};
