// @ts-check
// How the history is asked for.

/**
 * @typedef {object} Filters All are texts as the server takes them; "": not filtered by it.
 * @property {string} search
 * @property {string} model
 * @property {string} sampler
 * @property {string} rating The fewest stars.
 * @property {string} favourite
 * @property {string} since Seconds since 1970.
 * @property {string} until
 */

/** @type {Filters} */
export const ALL = { search: "", model: "", sampler: "", rating: "", favourite: "", since: "", until: "" };

/**
 * The path of a page of pictures.
 * @param {Filters} filters
 * @param {number} limit
 * @param {string} before `next` of the page before this one; "": the first.
 */
export function question(filters, limit, before = "") {
  const asked = new URLSearchParams({ limit: String(limit) });
  for (const [name, value] of Object.entries(filters)) if (value) asked.set(name, value);
  if (before) asked.set("before", before);
  return `pictures?${asked}`;
}

/**
 * When a day begins, where the browser is, in seconds since 1970; "": it is no day, or too long ago.
 * @param {string} day As a date field has it: "2026-11-29".
 * @param {number} later How many days later.
 */
export function midnight(day, later = 0) {
  const [year, month, date] = day.split("-").map(Number);
  if (!year || !month || !date) return "";
  const time = new Date(year, month - 1, date + later).getTime() / 1000;
  return time >= 0 ? String(time) : "";
}
