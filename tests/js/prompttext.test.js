// @ts-check
// Editing prompts: what a key does to a text, and that it can be undone by the opposite key.
import assert from "node:assert/strict";
import { test } from "node:test";

import { changedWeight, movedPieces, toggled, unbalanced } from "../../webui/server/ui/assets/prompttext.js";

/** @import { Edit } from "../../webui/server/ui/assets/prompttext.js" */

/**
 * A text with its selection between bars, or a bar where the cursor stands.
 * @param {string} marked
 * @returns {{text: string, selection: [number, number]}}
 */
function read(marked) {
  const [before = "", inside = "", after] = marked.split("¦");
  if (after === undefined) return { text: before + inside, selection: [before.length, before.length] };
  return { text: before + inside + after, selection: [before.length, before.length + inside.length] };
}

/**
 * @param {string} text
 * @param {Edit | null} edit
 */
function written(text, edit) {
  if (!edit) return null;
  const whole = text.slice(0, edit.start) + edit.text + text.slice(edit.end);
  const [start, end] = edit.selection;
  return `${whole.slice(0, start)}¦${whole.slice(start, end)}¦${whole.slice(end)}`;
}

/**
 * @param {string} marked
 * @param {number} by
 */
function weigh(marked, by) {
  const { text, selection } = read(marked);
  return written(text, changedWeight(text, selection, by, by / 2));
}

for (const [before, by, after] of /** @type {[string, number, string | null][]} */ ([
  ["a re¦d apple", 0.1, "a (¦red¦:1.1) apple"],
  ["a ¦red apple¦, big", 0.1, "a (¦red apple¦:1.1), big"],
  ["a ¦ red ¦apple", 0.1, "a  (¦red¦:1.1) apple"],
  ["(re¦d:1.1)", 0.1, "(¦red¦:1.2)"],
  ["(re¦d:1.1)", -0.1, "¦red¦"],
  ["(re¦d)", 0.1, "(¦red¦:1.2)"],
  ["((re¦d))", 0.1, "(¦red¦:1.31)"],
  ["[re¦d]", 0.1, "(¦red¦:1.0091)"],
  ["[red:blue:0.5] appl¦e", 0.1, "[red:blue:0.5] (¦apple¦:1.1)"],
  ["\\(re¦d\\)", 0.1, "\\((¦red¦:1.1)\\)"],
  ["<lora:in¦k:1>", 0.1, "<¦lora:ink:1.05¦>"],
  ["<lora:in¦k>", 0.1, null],
  ["a, ¦, b", 0.1, null],
])) {
  test(`the weight of ${before} by ${by}`, () => assert.equal(weigh(before, by), after));
}

test("a weight that went up and comes down again leaves the text as it was", () => {
  for (const marked of ["a re¦d apple", "a ¦red apple¦, big", "x <lora:in¦k:0.8> y", "(re¦d:1.3), b"]) {
    const { text } = read(marked);
    const up = weigh(marked, 0.1) ?? "";
    const down = weigh(up, -0.1) ?? "";
    assert.equal(down.replaceAll("¦", ""), text);
  }
});

test("pieces move, their spaces stay, and the way back is the other key", () => {
  const { text, selection } = read("a cat,  in¦k, blue");
  const moved = movedPieces(text, selection, -1);
  assert.equal(written(text, moved), "¦ink¦,  a cat, blue");
  const after = moved?.text ?? "";
  const back = movedPieces(after, moved?.selection ?? [0, 0], 1);
  assert.equal(written(after, back), "a cat,  ¦ink¦, blue");
});

test("what stands at an end cannot go further", () => {
  assert.equal(movedPieces("a, b", [0, 0], -1), null);
  assert.equal(movedPieces("a, b", [4, 4], 1), null);
  assert.equal(movedPieces("", [0, 0], 1), null);
});

test("a piece is written once, found with any weight, and taken out again", () => {
  assert.deepEqual(toggled("", "<lora:ink:1>"), { text: "<lora:ink:1>", on: true });
  assert.deepEqual(toggled("a cat", "<lora:ink:1>"), { text: "a cat <lora:ink:1>", on: true });
  assert.deepEqual(toggled("a <lora:ink:0.6> cat", "<lora:ink:1>"), { text: "a cat", on: false });
  assert.deepEqual(toggled("a cat <lora:ink:1> by ink", "<lora:ink:1> by ink"), { text: "a cat", on: false });
  assert.deepEqual(toggled("(easynegative:1.2), dark", "easynegative"), { text: "(:1.2), dark", on: false });
  assert.deepEqual(toggled("uneasynegative", "easynegative"), { text: "uneasynegative easynegative", on: true });
  assert.deepEqual(toggled("a", "a.b*", true), { text: "a a.b*", on: true });
  assert.deepEqual(toggled("a a.b*", "a.b*", true), { text: "a a.b*", on: true });
  assert.deepEqual(toggled("a cat", "<lora:ink:1>", false), { text: "a cat", on: false });
});

test("brackets that do not match are counted by kind, escaped ones are not", () => {
  assert.equal(unbalanced("(a) [b] {c|d}"), "");
  assert.equal(unbalanced("\\(a"), "");
  assert.equal(unbalanced("((a) b]"), "() do not match (+1), [] do not match (-1)");
});
