// @ts-check
// An infotext is shown by the marks that the server set.
import assert from "node:assert/strict";
import { test } from "node:test";

import { labelled, pieces, promptOf } from "../../webui/server/ui/assets/infotext.js";

/** @import { Mark } from "../../webui/server/ui/assets/infotext.js" */

const infotext = "a 🎈 Steps: cat\nNegative prompt: bad\nSteps: 20, Seed: 7";
/** @type {Mark[]} */
const marks = [[16, 32, 33, 36], [37, 43, 44, 46], [48, 53, 54, 55]];

test("the pieces are the text, whole, and labels are those that the server found", () => {
  const found = pieces({ infotext, marks });
  assert.equal(found.map(({ text }) => text).join(""), infotext);
  assert.deepEqual(found.filter(({ kind }) => kind === "label").map(({ text }) => text), ["Negative prompt:", "Steps:", "Seed:"]);
  assert.deepEqual(found[0], { kind: "prompt", text: "a 🎈 Steps: cat\n" });
});

test("labels have their values, and the prompt is one of them", () => {
  assert.deepEqual(Object.fromEntries(labelled({ infotext, marks })),
    { Prompt: "a 🎈 Steps: cat", "Negative prompt": "bad", Steps: "20", Seed: "7" });
});

test("a text without labels is a prompt", () => {
  assert.equal(promptOf({ infotext: "a cat", marks: [] }), "a cat");
  assert.deepEqual(pieces({ infotext: "", marks: [] }), []);
});
