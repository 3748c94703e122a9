// @ts-check
// What is done to the text of a prompt: weights, the order of its pieces, tags of extra networks. Texts in, texts out.

const DELIMITERS = " \t\r\n.,\\/!?%^*;:{}=`~()";
// These enclose something, whatever else ends a word.
const BRACKETS = "()[]<>|";

/**
 * A text, what is selected in it, and the part of the former text that is replaced.
 * @typedef {{start: number, end: number, text: string, selection: [start: number, end: number]}} Edit
 */

/**
 * What is wrong with the brackets of a prompt; "": nothing.
 * @param {string} text
 */
export function unbalanced(text) {
  /** @type {[left: string, right: string][]} */
  const pairs = [["(", ")"], ["[", "]"], ["{", "}"]];
  const letters = [...text.replace(/\\[\s\S]/g, "")];
  const count = (/** @type {string} */ wanted) => letters.filter((letter) => letter === wanted).length;
  return pairs.map(([left, right]) => {
    const more = count(left) - count(right);
    return more && `${left}${right} do not match (${more > 0 ? "+" : ""}${more})`;
  }).filter(Boolean).join(", ");
}

/**
 * The bracket around a place: the positions of both ends, or null.
 * @param {string} text
 * @param {number} start
 * @param {number} end
 * @param {string} left
 * @param {string} right
 */
function bracketAround(text, start, end, left, right) {
  let depth = 0;
  let open = -1;
  for (let at = start - 1; at >= 0; at--) {
    if (text[at - 1] === "\\") continue;
    if (text[at] === right) depth++;
    else if (text[at] === left && depth-- === 0) {
      open = at;
      break;
    }
  }
  if (open < 0) return null;
  depth = 0;
  for (let at = end; at < text.length; at++) {
    if (text[at - 1] === "\\") continue;
    if (text[at] === left) depth++;
    else if (text[at] === right && depth-- === 0) return { open, close: at };
  }
  return null;
}

const rounded = (/** @type {number} */ weight) => Number(weight.toFixed(4)).toString();

/**
 * Words and their weight, of what stands between round brackets.
 * @param {string} inside
 * @returns {[words: string, weight: number]}
 */
function weighed(inside) {
  const match = /^([\s\S]*):\s*(-?\d+(?:\.\d+)?)\s*$/.exec(inside);
  return match ? [match[1] ?? "", Number(match[2])] : [inside, 1.1];
}

/**
 * Whether a selection is what a bracket holds, without its weight.
 * @param {string} text
 * @param {{open: number, close: number}} bracket
 * @param {number} start
 * @param {number} end
 */
function isAllOf(text, { open, close }, start, end) {
  const [content] = weighed(text.slice(open + 1, close));
  return text.slice(start, end) === content && start === open + 1;
}

/**
 * Changes the weight of what is selected, or of the word or the bracket at the place; null: there is nothing.
 * @param {string} text
 * @param {[start: number, end: number]} selection
 * @param {number} by For words.
 * @param {number} byExtra For the weight of an extra network.
 * @param {string} [delimiters] Characters at which a word ends.
 * @returns {Edit | null}
 */
export function changedWeight(text, [start, end], by, byExtra, delimiters = DELIMITERS) {
  const ends = (/** @type {string} */ letter) => delimiters.includes(letter) || BRACKETS.includes(letter);
  const tag = bracketAround(text, start, end, "<", ">");
  if (tag) {
    const match = /^(.*:)(-?\d+(?:\.\d+)?)$/.exec(text.slice(tag.open + 1, tag.close));
    if (!match) return null;
    const next = `<${match[1]}${rounded(Number(match[2]) + byExtra)}>`;
    return { start: tag.open, end: tag.close + 1, text: next, selection: [tag.open + 1, tag.open + next.length - 1] };
  }
  while (start < end && /\s/.test(text.charAt(start))) start++;
  while (end > start && /\s/.test(text.charAt(end - 1))) end--;
  let weight = 1;
  let from = start;
  let to = end;
  let content = text.slice(start, end);
  const round = bracketAround(text, start, end, "(", ")");
  const square = bracketAround(text, start, end, "[", "]");
  if (round && (start === end || isAllOf(text, round, start, end))) {
    [content, weight] = weighed(text.slice(round.open + 1, round.close));
    from = round.open;
    to = round.close + 1;
    // ((x)): each pair counts 1.1
    while (text[from - 1] === "(" && text[to] === ")" && text[from - 2] !== "\\" && !/:/.test(text.slice(round.close, to))) {
      weight *= 1.1;
      from--;
      to++;
    }
  } else if (square && !/[:|]/.test(text.slice(square.open, square.close)) && (start === end || isAllOf(text, square, start, end))) {
    content = text.slice(square.open + 1, square.close);
    weight = 1 / 1.1;
    from = square.open;
    to = square.close + 1;
  } else if (start === end) {
    while (from > 0 && !ends(text.charAt(from - 1))) from--;
    while (to < text.length && !ends(text.charAt(to))) to++;
    content = text.slice(from, to);
    if (!content) return null;
  }
  const next = Number((weight + by).toFixed(4));
  if (next === 1) return { start: from, end: to, text: content, selection: [from, from + content.length] };
  return { start: from, end: to, text: `(${content}:${rounded(next)})`, selection: [from + 1, from + 1 + content.length] };
}

/**
 * Moves the pieces between commas that the selection touches one place to the left (-1) or right (1); null: there is no
 * place.
 * @param {string} text
 * @param {[start: number, end: number]} selection
 * @param {-1 | 1} by
 * @returns {Edit | null}
 */
export function movedPieces(text, [start, end], by) {
  const pieces = text.split(",");
  const ends = endsOf(pieces);
  const first = ends.findIndex((at) => start <= at);
  const last = Math.max(first, ends.findIndex((at) => end <= at));
  const target = by < 0 ? first - 1 : last + 1;
  if (first < 0 || target < 0 || target >= pieces.length) return null;
  const words = pieces.map((piece) => piece.trim());
  const lead = pieces.map((piece) => piece.slice(0, piece.length - piece.trimStart().length));
  const tail = pieces.map((piece) => piece.slice(piece.trimEnd().length));
  const moved = words.splice(target, 1);
  words.splice(by < 0 ? last : first, 0, ...moved);
  const built = words.map((word, place) => `${lead[place]}${word}${word || !lead[place] ? tail[place] : ""}`);
  const now = endsOf(built);
  const begin = (now[first + by] ?? 0) - (built[first + by] ?? "").length + (lead[first + by] ?? "").length;
  return { start: 0, end: text.length, text: built.join(","), selection: [begin, now[last + by] ?? begin] };
}

/**
 * Where pieces end once commas join them.
 * @param {string[]} pieces
 */
function endsOf(pieces) {
  let at = -1;
  return pieces.map((piece) => (at += piece.length + 1));
}

const escaped = (/** @type {string} */ text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");

/**
 * What finds a piece in a prompt: a tag with any weight and its words behind it, or a word that stands alone.
 * @param {string} piece
 */
function pattern(piece) {
  const [, kind, name, words] = /^<(\w+):([^:>]+):[^>]*>(.*)$/s.exec(piece) ?? [];
  if (kind === undefined || name === undefined) return new RegExp(`(^|[\\s,(])${escaped(piece)}(?=$|[\\s,):])`);
  return new RegExp(`(?<!\\s)\\s*<${kind}:${escaped(name)}(:[^>]*)?>(${escaped(words ?? "")})?`);
}

/**
 * Writes a piece at a prompt's end, or takes it out where it stands already; `wanted` says which, else what it is not.
 * @param {string} text
 * @param {string} piece
 * @param {boolean} [wanted]
 * @param {string} [separator] Between the prompt and the piece.
 * @returns {{text: string, on: boolean}} The new text, and whether the piece stands in it.
 */
export function toggled(text, piece, wanted, separator = " ") {
  const found = pattern(piece);
  const has = found.test(text);
  const on = wanted ?? !has;
  if (on === has) return { text, on };
  if (on) return { text: text + (text && !text.endsWith(separator) ? separator : "") + piece, on };
  return { text: text.replace(found, (_all, before) => (/^[\s,(]?$/.test(before ?? "x") ? before : "")).trimEnd(), on };
}
