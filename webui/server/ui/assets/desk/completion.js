// @ts-check
// Completing what is being written in a prompt. Texts in, texts out.

/** @import { Edit } from "../prompttext.js" */

/**
 * What is being written: from `start` to the caret.
 * @typedef {{kind: "text" | "lora" | "hypernet" | "wildcard", start: number, text: string}} Unfinished
 */

/**
 * Something that it can become. A wildcard's text is its name, that of a network what stands in its tag.
 * @typedef {{text: string, kind: string, insert?: string, count?: number, type?: number, alias?: string}} Completion
 */

const LONGEST = 120;
const ENDS = ",\n()[]{}|<>:";

/**
 * What is being written at the caret; null: nothing that can be completed.
 * @param {string} text
 * @param {number} caret
 * @returns {Unfinished | null}
 */
export function unfinished(text, caret) {
  const from = Math.max(0, caret - LONGEST);
  const before = text.slice(from, caret);
  const line = before.slice(before.lastIndexOf("\n") + 1);
  if (line.includes("#")) return null; // a comment
  const tag = /<(lora|lyco|hypernet):([^:<>]*)$/.exec(before);
  if (tag) {
    const kind = tag[1] === "hypernet" ? "hypernet" : "lora";
    return { kind, start: caret - tag[0].length, text: tag[2] ?? "" };
  }
  if (/<[^>]*$/.test(line)) return null; // the rest of a tag
  const wildcard = /(?<![\w])__([\w\-./]*)$/.exec(before);
  if (wildcard?.[1]?.endsWith("__")) return null;
  if (wildcard) return { kind: "wildcard", start: caret - wildcard[0].length, text: wildcard[1] ?? "" };
  let at = before.length;
  while (at > 0 && (!ENDS.includes(before.charAt(at - 1)) || before.charAt(at - 2) === "\\")) at--;
  while (/\s/.test(before.charAt(at))) at++;
  const word = before.slice(at);
  const plain = word.replace(/\\([()])/g, "$1");
  if (plain.trim().length < (/[\u0080-\uffff]/.test(plain) ? 1 : 2) || /^[\d.\s]+$/.test(plain) || /\s\s$/.test(plain)) return null;
  return { kind: "text", start: from + at, text: plain };
}

/**
 * A tag as it stands in a prompt: brackets are letters there, not weights.
 * @param {string} tag
 * @param {boolean} underscores Whether they stay; those of emoticons always do.
 */
export function asWritten(tag, underscores) {
  const plain = underscores || tag.length < 4 ? tag : tag.replace(/_/g, " ");
  return plain.replace(/[()]/g, "\\$&");
}

/**
 * Writes a completion in the place of what was begun.
 * @param {string} text
 * @param {Unfinished} begun
 * @param {number} caret
 * @param {Completion} chosen
 * @param {{underscores: boolean, comma: boolean}} how comma: whether one follows words.
 * @returns {Edit}
 */
export function completed(text, begun, caret, chosen, { underscores, comma }) {
  let word = chosen.insert ?? (chosen.kind === "tag" ? asWritten(chosen.text, underscores) : chosen.text);
  if (begun.kind === "wildcard") word = `__${chosen.text}__`;
  let end = caret;
  // What is left of a tag or name that is written anew.
  const rest = text.slice(caret);
  if (begun.kind === "wildcard") end += /^[\w\-./]*?__(?!\w)/.exec(rest)?.[0].length ?? 0;
  else if (begun.kind !== "text") end += /^[^<>,\n]*>/.exec(rest)?.[0].length ?? 0;
  if (comma && begun.kind === "text" && !/^\s*[,)\]}|:\n]/.test(rest)) word += ", ";
  const at = begun.start + word.length;
  return { start: begun.start, end, text: word, selection: [at, at] };
}

/**
 * Of a count: "1.2M", "35k", "7".
 * @param {number} count
 */
export function short(count) {
  if (count >= 1e6) return `${(count / 1e6).toFixed(1)}M`;
  return count >= 1e4 ? `${Math.round(count / 1e3)}k` : String(count);
}
