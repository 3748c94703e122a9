// @ts-check
// What the server tells the page's scripts: with the page itself, and anew over the stream when a setting changes.

/**
 * @typedef {object} Facts
 * @property {string} theme "dark", "light" or "": what the server was told.
 * @property {Record<string, {bar: string, title: string}>} tabs By the ids of tabs and sub-tabs: the id of the bar that each
 *   stands in, and what it says there.
 * @property {Record<string, string>} help Tooltips by the ids of the controls.
 * @property {string[]} forms The tabs whose forms outlive the page.
 * @property {boolean} logins Whether people log in here.
 * @property {boolean} remembers Whether forms are to be remembered.
 * @property {boolean} counters Whether tokens are counted.
 * @property {boolean} styles_count Whether the tokens of styles count too.
 * @property {boolean} begins_anew Whether Ctrl+Enter interrupts and begins anew.
 * @property {boolean} at_home Whether whoever looks sits at the machine itself, and may change things there.
 * @property {boolean} saves_one Whether Save keeps the picture that is picked, and not all of them.
 * @property {boolean} shows_pictures Whether the gallery shows any.
 * @property {string} gallery_height As in CSS; "": as fits.
 * @property {boolean} lightbox Whether a click on a picture opens it over the whole window.
 * @property {boolean} lightbox_fills Whether small ones are enlarged there.
 * @property {boolean} lightbox_live Whether previews are shown there.
 * @property {number} icon_opacity Of its buttons, 0 to 1.
 * @property {number} bar_opacity Of the bar with them.
 * @property {number} gamepad_ms After so many milliseconds a stick that is held goes on to the next picture; 0: it does not.
 * @property {boolean} progress_bar Whether a bar is shown over the picture.
 * @property {boolean} progress_title Whether the title says how far it is.
 * @property {number} volume Of the sound when a job is done, 0 to 1.
 * @property {boolean} stays_awake Whether the screen does while a job runs.
 * @property {number} precision By how much Ctrl+Up changes the weight of words.
 * @property {number} precision_extra By how much it changes the weight of an extra network.
 * @property {string} delimiters At these characters a word ends.
 * @property {boolean} completes Whether words are completed while they are typed.
 * @property {boolean} underscores Whether completed tags keep theirs.
 * @property {boolean} completion_comma Whether a comma follows what was completed.
 * @property {boolean} moves Whether Alt+Left moves pieces of the prompt.
 * @property {boolean} scales Whether an upscaler's name sets the factor.
 * @property {CardFacts} cards
 * @property {import("./canvas/keys.js").Keys} canvas
 */
/**
 * How the cards of models look and begin.
 * @typedef {object} CardFacts
 * @property {string} sort
 * @property {boolean} descending
 * @property {boolean} tree Whether folders are a tree.
 * @property {boolean} folders Whether folders are shown.
 * @property {number} tree_width In pixels.
 * @property {number} width Of a card in pixels; 0: as it fits.
 * @property {number} height
 * @property {number} text The size of its text.
 * @property {boolean} described Whether it has its description.
 * @property {boolean} slash Whether names of folders begin with one.
 * @property {string} separator What stands before a piece that is added to the prompt.
 * @property {string[]} pages Those that come first.
 * @property {boolean} all Whether LoRAs for all base models are shown.
 */

/** @type {CardFacts} */
const CARDS = {
  sort: "path", descending: false, tree: false, folders: true, tree_width: 180, width: 0, height: 0, text: 1,
  described: true, slash: false, separator: " ", pages: [], all: false,
};

/** @type {Facts} */
export const facts = {
  theme: "", tabs: {}, help: {}, forms: [], logins: false, remembers: false, counters: true, styles_count: true, begins_anew: true, precision: 0.1, precision_extra: 0.05,
  at_home: false, saves_one: true, shows_pictures: true, gallery_height: "", lightbox: true, lightbox_fills: true, lightbox_live: false,
  icon_opacity: 1, bar_opacity: 0.9, gamepad_ms: 0, progress_bar: true, progress_title: true, volume: 0, stays_awake: true,
  delimiters: " \t\r\n.,\\/!?%^*;:{}=`~()", moves: true, completes: true, underscores: false, completion_comma: true, scales: false, cards: CARDS,
  canvas: { zoom: "Alt", adjust: "Ctrl", shrink: "Q", grow: "W", move: "F", fullscreen: "S", reset: "R", disabled: [], blurs: false },
  ...JSON.parse(globalThis.document?.getElementById("page_facts")?.textContent || "{}"),
};
