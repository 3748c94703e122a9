// @ts-check
// Texts of the page in the visitor's language. What is composed of a text and values is known by its pattern, as in
// "{count} selected": whoever composes it need not know of languages.

/** @typedef {{language: string, lines: string[], words: Record<string, string>}} Told What the server gives the page. */

/** @type {Told | null} null: the page is in English. */
export const told = JSON.parse(globalThis.document?.getElementById("page_words")?.textContent || "null");

const REMEMBERED = 4000; // Texts; prompts that somebody types are not among them.
const PLACE = /\{(\w+)\}/;
const FACTS = /(^· | · )/; // in a line
const SENTENCES = /((?<=[.!?:]) (?=[A-Z]))/;
/** Values with these names are numbers, times or shares; all others may be anything. */
const NUMBERS = new Set(["count", "number", "total", "done", "seen", "new", "star", "seed", "time", "minutes", "most", "others"]);
const NUMBER = "([-+]?\\d[\\d.,:%]*)";
const LETTERS = /\p{L}{2}/u;

/**
 * A text with values, and how it is said.
 * @typedef {{english: string, said: string, match?: RegExp}} Pattern
 */

/** @param {string} text */
const literally = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
/** @param {string} text */
const firstOf = (text) => text.slice(0, (text + " ").indexOf(" "));
/** @param {string} text */
const lastOf = (text) => text.slice(text.lastIndexOf(" ") + 1);

/** @param {Pattern} pattern */
function matchOf(pattern) {
  const parts = pattern.english.split(PLACE).map((part, at) =>
    (at % 2 ? NUMBERS.has(part.replace(/\d+$/, "")) ? NUMBER : "(.+?)" : literally(part)));
  return (pattern.match ??= new RegExp(`^${parts.join("")}$`, "s"));
}

/**
 * @param {Pattern} pattern
 * @param {string} text
 * @param {(value: string | undefined) => string | undefined} valued How a value is said.
 * @returns {string | undefined}
 */
function filled(pattern, text, valued) {
  const found = matchOf(pattern).exec(text);
  if (!found) return undefined;
  const names = pattern.english.split(PLACE).filter((_, at) => at % 2);
  return pattern.said.replace(/\{(\w+)\}/g, (whole, name) => valued(found[names.indexOf(name) + 1]) ?? whole);
}

/**
 * Says texts in the language of a table.
 * @param {Record<string, string>} table English text -> translation.
 * @returns {(text: string) => string | undefined} undefined: the table does not have it.
 */
export function speaker(table) {
  const exact = new Map(Object.entries(table));
  // By the word that they begin or end with: of hundreds of patterns a handful is tried.
  /** @type {Map<string, Pattern[]>} */
  const begin = new Map();
  /** @type {Map<string, Pattern[]>} */
  const end = new Map();
  /** @type {Pattern[]} */
  const others = [];
  for (const [english, said] of exact) {
    if (!PLACE.test(english)) continue;
    const pattern = { english, said };
    const [first, last] = [firstOf(english), lastOf(english)];
    const [index, word] = !first.includes("{") ? [begin, first] : !last.includes("{") ? [end, last] : [null, ""];
    if (!index) others.push(pattern);
    else index.set(word, [...(index.get(word) ?? []), pattern]);
  }
  /** @type {Map<string, string | undefined>} */
  const known = new Map();
  // A value of several words may be a text itself; a single word may be anybody's name for something.
  const valued = (/** @type {string | undefined} */ value) => (value?.includes(" ") ? exact.get(value) : undefined) ?? value;

  /**
   * @param {string} text
   * @param {RegExp} between
   */
  function inParts(text, between) {
    const parts = text.split(between);
    if (parts.length < 2) return undefined;
    const said = parts.map((part, at) => (at % 2 ? undefined : one(part)));
    return said.some((part) => part !== undefined) ? said.map((part, at) => part ?? parts[at]).join("") : undefined;
  }

  /** @param {string} text */
  function byPattern(text) {
    const tried = [...(begin.get(firstOf(text)) ?? []), ...(end.get(lastOf(text)) ?? []), ...others];
    // The longest first: "{count} of {total} selected" goes before "{count} selected".
    tried.sort((a, b) => b.english.length - a.english.length);
    for (const pattern of tried) {
      const said = filled(pattern, text, valued);
      if (said !== undefined) return said;
    }
    return undefined;
  }

  /** @param {string} text @returns {string | undefined} */
  function one(text) {
    const said = exact.get(text);
    if (said !== undefined || !LETTERS.test(text)) return said;
    if (!known.has(text)) {
      if (known.size > REMEMBERED) known.clear();
      known.set(text, inParts(text, FACTS) ?? byPattern(text) ?? inParts(text, SENTENCES));
    }
    return known.get(text);
  }

  return (text) => {
    const bare = text.trim();
    const said = one(/\s\s|\n/.test(bare) ? bare.replace(/\s+/g, " ") : bare);
    return said === undefined || bare === text ? said : text.replace(bare, () => said);
  };
}

/** How a text is said in the visitor's language; undefined: it is in no table. */
export const translated = told ? speaker(told.words) : () => undefined;

/**
 * A text in the visitor's language, for where the page's document does not show it: notifications, comparisons.
 * @param {string} text
 */
export const words = (text) => translated(text) ?? text;
