// @ts-check
// How the history is asked for.

/**
 * @typedef {object} Filters All are texts as the server takes them; "": not filtered by it.
 * @property {string} search
 * @property {string} model
 * @property {string} sampler
 * @property {string} size
 * @property {string} lora
 * @property {string} tag
 * @property {string} album
 * @property {string} rating The fewest stars.
 * @property {string} favourite
 * @property {string} since Seconds since 1970.
 * @property {string} until
 */

/** @type {Filters} */
export const ALL = {
  search: "", model: "", sampler: "", size: "", lora: "", tag: "", album: "", rating: "", favourite: "", since: "", until: "",
};
export const PAGE = 100;

/**
 * The filters that say something, and what comes with them, as the end of an address.
 * @param {Filters} filters
 * @param {Record<string, string | number>} more
 */
export function question(filters, more = {}) {
  const asked = new URLSearchParams(Object.entries(more).map(([name, value]) => [name, String(value)]));
  for (const [name, value] of Object.entries(filters)) if (value) asked.set(name, value);
  return asked.size ? `?${asked}` : "";
}

/**
 * Where a page of the outline begins, for `before`.
 * @param {string} anchor
 */
export const behind = (anchor) => String(BigInt(anchor) + 1n);

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

/**
 * The month of a picture's number (nanoseconds since 1970), in the browser's words.
 * @param {string} number
 */
export function monthOf(number) {
  return new Date(Number(BigInt(number) / 1000000n)).toLocaleDateString(undefined, { month: "long", year: "numeric" });
}

/**
 * A size as people read it.
 * @param {number} bytes
 */
export function sized(bytes) {
  let value = bytes;
  for (const unit of ["bytes", "kB", "MB", "GB"]) {
    if (value < 1000) return `${unit === "bytes" ? value : value.toPrecision(3)} ${unit}`;
    value /= 1000;
  }
  return `${value.toPrecision(3)} TB`;
}
