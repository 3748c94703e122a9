// @ts-check
// A prompt as pieces between commas, some of which may be switched off: a line of its own that is a comment. Texts in,
// texts out.

/** @import { Edit } from "../prompttext.js" */

/**
 * A piece of a prompt: where its words are, without the blanks around them.
 * @typedef {{start: number, end: number, words: string, on: boolean, kind: Kind}} Piece
 * @typedef {"plain" | "stronger" | "weaker" | "network" | "wildcard" | "choice" | "schedule" | "keyword"} Kind
 */

const OPEN = "([{<";
const CLOSE = ")]}>";
const LONGEST = 500; // letters that a piece's colour goes by

/**
 * What kind of thing words are, for their colour.
 * @param {string} words
 * @returns {Kind}
 */
export function kindOf(words) {
  words = words.slice(0, LONGEST);
  if (/^(BREAK|AND|ADDCOMM|ADDROW|ADDCOL|ADDBASE)\b/.test(words)) return "keyword";
  if (/<\w+:[^>]+>/.test(words)) return "network";
  if (/__[\w\-./*? ]+__/.test(words)) return "wildcard";
  if (/\{[^{}]*(\||\$\$)[^{}]*\}/.test(words) || /\$\{/.test(words)) return "choice";
  if (/\[[^[\]]*[:|][^[\]]*\]/.test(words)) return "schedule";
  const weight = /(?<!\\)\((?:[^()\\]|\\.)*:\s*(-?[\d.]+)\s*\)/.exec(words);
  if (weight) return Number(weight[1]) < 1 ? "weaker" : "stronger";
  if (/(?<!\\)\(/.test(words)) return "stronger";
  return /(?<!\\)\[/.test(words) ? "weaker" : "plain";
}

/**
 * The pieces of a prompt: between commas and lines, but for commas in brackets and tags.
 * @param {string} text
 * @returns {Piece[]}
 */
export function pieces(text) {
  /** @type {Piece[]} */
  const found = [];
  let begin = 0;
  const add = (/** @type {number} */ from, /** @type {number} */ to, /** @type {boolean} */ on) => {
    const raw = text.slice(from, to);
    const words = raw.trim();
    const start = from + raw.length - raw.trimStart().length;
    if (words) found.push({ start, end: start + words.length, words, on, kind: kindOf(words) });
  };
  const closes = matching(text);
  for (let at = 0; at < text.length; at++) {
    const letter = text[at];
    if (letter === "\\") at++;
    else if (letter === "#") {
      add(begin, at, true);
      const line = text.indexOf("\n", at);
      const end = line < 0 ? text.length : line;
      add(at + 1, text.slice(at, end).trimEnd().endsWith(",") ? text.lastIndexOf(",", end) : end, false);
      begin = at = end;
    } else if (letter === "," || letter === "\n") {
      add(begin, at, true);
      begin = at + 1;
    } else at = closes.get(at) ?? at;
  }
  add(begin, text.length, true);
  return found;
}

/**
 * Opening bracket -> its closing one, of those within a line that match.
 * @param {string} text
 */
function matching(text) {
  /** @type {Map<number, number>} */
  const found = new Map();
  /** @type {number[]} */
  let open = [];
  for (let at = 0; at < text.length; at++) {
    const letter = text.charAt(at);
    if (letter === "\\") at++;
    else if (letter === "\n" || letter === "#") open = [];
    else if (OPEN.includes(letter)) open.push(at);
    else if (CLOSE.includes(letter)) {
      const last = open.at(-1);
      if (last !== undefined && text.charAt(last) === OPEN.charAt(CLOSE.indexOf(letter))) found.set(Number(open.pop()), at);
    }
  }
  return found;
}

/** @param {string} before @param {string} after @returns {Edit | null} */
export function changed(before, after) {
  if (before === after) return null;
  let start = 0;
  while (start < before.length && before[start] === after[start]) start++;
  let left = 0;
  while (left < Math.min(before.length, after.length) - start && before.at(-1 - left) === after.at(-1 - left)) left++;
  const end = after.length - left;
  return { start, end: before.length - left, text: after.slice(start, end), selection: [end, end] };
}

/**
 * The words of one piece take another place; those between them move up. Commas and blanks stay where they are.
 * @param {string} text
 * @param {number} from
 * @param {number} to
 */
export function moved(text, from, to) {
  const all = pieces(text);
  const words = all.map((piece) => piece.words);
  if (!words[from] || to < 0 || to >= words.length || all[from]?.on === false || all[to]?.on === false) return text;
  words.splice(to, 0, ...words.splice(from, 1));
  let built = "";
  let last = 0;
  for (const [place, piece] of all.entries()) {
    // What is switched off keeps its place, since it has a line to itself.
    built += text.slice(last, piece.start) + (words[place] ?? "");
    last = piece.end;
  }
  return built + text.slice(last);
}

/**
 * A piece switched off: a comment on a line of its own; or on again: part of the line before.
 * @param {string} text
 * @param {number} place
 */
export function switched(text, place) {
  const piece = pieces(text)[place];
  if (!piece) return text;
  if (piece.on) {
    const before = text.slice(0, piece.start).replace(/[ \t]+$/, "");
    const behind = /^[ \t]*,?[ \t]*/.exec(text.slice(piece.end))?.[0] ?? "";
    const after = text.slice(piece.end + behind.length);
    const comma = behind.includes(",") ? "," : "";
    return `${before}${before && !before.endsWith("\n") ? "\n" : ""}# ${piece.words}${comma}${after && !after.startsWith("\n") ? "\n" : ""}${after}`;
  }
  const line = text.lastIndexOf("#", piece.start);
  const before = text.slice(0, line).replace(/[ \t]*\n$/, "").replace(/[ \t]+$/, "");
  const end = text.indexOf("\n", piece.end);
  const comma = text.slice(piece.end, end < 0 ? text.length : end).includes(",") ? "," : "";
  const after = end < 0 ? "" : text.slice(end + 1);
  return `${before}${before ? " " : ""}${piece.words}${comma}${after ? ` ${after}` : ""}`;
}

/**
 * A piece taken out, with its comma.
 * @param {string} text
 * @param {number} place
 */
export function without(text, place) {
  const piece = pieces(text)[place];
  if (!piece) return text;
  const start = piece.on ? piece.start : text.lastIndexOf("#", piece.start);
  const behind = /^[ \t]*,?[ \t]*/.exec(text.slice(piece.end))?.[0].length ?? 0;
  const rest = text.slice(piece.end + behind);
  return (text.slice(0, start) + (piece.on ? rest : rest.replace(/^\n/, ""))).replace(/,\s*$/, "");
}

/**
 * The lines of the selection become comments, or, where all are, text again.
 * @param {string} text
 * @param {[start: number, end: number]} selection
 * @returns {Edit}
 */
export function commented(text, [start, end]) {
  const from = text.lastIndexOf("\n", start - 1) + 1;
  const found = text.indexOf("\n", Math.max(end - (end > start ? 1 : 0), from));
  const to = found < 0 ? text.length : found;
  const lines = text.slice(from, to).split("\n");
  const off = lines.every((line) => !line.trim() || /^\s*#/.test(line)) && lines.some((line) => line.trim());
  const built = lines.map((line) => (off ? line.replace(/^(\s*)# ?/, "$1") : line.trim() ? `# ${line}` : line)).join("\n");
  const by = built.length - (to - from);
  const first = Math.max(from, start + (start === end ? by : 0));
  return { start: from, end: to, text: built, selection: [first, Math.max(first, end + by)] };
}
