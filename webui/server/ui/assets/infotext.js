// @ts-check
// What an infotext says, by the marks that the server, which reads it, has set: no infotext is read here.

/**
 * @typedef {[label: number, labelEnd: number, value: number, valueEnd: number]} Mark
 * @typedef {{infotext: string, marks: Mark[]}} Marked
 */

/**
 * The prompt: what stands before the first label.
 * @param {Marked} picture
 */
export const promptOf = ({ infotext, marks }) => infotext.slice(0, marks[0]?.[0]).trimEnd();

/**
 * What each label says, in the order of the text; "Prompt" is the first.
 * @param {Marked} picture
 * @returns {Map<string, string>}
 */
export const labelled = (picture) => new Map([["Prompt", promptOf(picture)],
  ...picture.marks.map(([label, labelEnd, value, valueEnd]) => /** @type {[string, string]} */ (
    [picture.infotext.slice(label, labelEnd - 1), picture.infotext.slice(value, valueEnd)]))]);

/**
 * The whole text in pieces: labels with their colons, the prompt, and all else.
 * @param {Marked} picture
 * @returns {{kind: "prompt" | "label" | "text", text: string}[]}
 */
export function pieces({ infotext, marks }) {
  /** @type {{kind: "prompt" | "label" | "text", text: string}[]} */
  const found = [];
  let from = 0;
  for (const [label, labelEnd] of marks) {
    found.push({ kind: from ? "text" : "prompt", text: infotext.slice(from, label) }, { kind: "label", text: infotext.slice(label, labelEnd) });
    from = labelEnd;
  }
  found.push({ kind: from ? "text" : "prompt", text: infotext.slice(from) });
  return found.filter(({ text }) => text);
}
