// @ts-check
// Completing what is being written: what it is, and what the text becomes.
import assert from "node:assert/strict";
import { test } from "node:test";

import { asWritten, completed, short, unfinished } from "../../webui/server/ui/assets/desk/completion.js";

/** @import { Completion } from "../../webui/server/ui/assets/desk/completion.js" */

/** @param {string} marked A text with a bar where the caret stands. */
function read(marked) {
  const caret = marked.indexOf("¦");
  return { text: marked.replace("¦", ""), caret };
}

/**
 * @param {string} marked
 * @param {Completion} chosen
 * @param {boolean} [underscores]
 */
function taken(marked, chosen, underscores = false) {
  const { text, caret } = read(marked);
  const begun = unfinished(text, caret);
  if (!begun) return null;
  const edit = completed(text, begun, caret, chosen, { underscores, comma: true });
  const whole = text.slice(0, edit.start) + edit.text + text.slice(edit.end);
  return `${whole.slice(0, edit.selection[0])}¦${whole.slice(edit.selection[0])}`;
}

test("what is being written", () => {
  /** @type {[string, string, string][]} */
  const cases = [
    ["a fox, long ha¦", "text", "long ha"],
    ["(long ha¦:1.2)", "text", "long ha"],
    ["a \\(be¦", "text", "a (be"],
    ["{red|gre¦|blue}", "text", "gre"],
    ["first\nse¦", "text", "se"],
    ["a <lora:al¦", "lora", "al"],
    ["a <lora:¦", "lora", ""],
    ["<hypernet:x¦>", "hypernet", "x"],
    ["a __anim¦", "wildcard", "anim"],
    ["__¦", "wildcard", ""],
    ["猫¦", "text", "猫"],
  ];
  for (const [marked, kind, text] of cases) {
    const begun = unfinished(read(marked).text, read(marked).caret);
    assert.deepEqual([begun?.kind, begun?.text], [kind, text], marked);
  }
  for (const marked of ["¦", "a¦", "a fox, ¦", "(x:1.25¦", "<lora:x:0.5¦", "# long ha¦", "__cat__¦", "<thing ab¦"]) {
    assert.equal(unfinished(read(marked).text, read(marked).caret), null, marked);
  }
});

test("a completion takes the place of what was begun", () => {
  const tag = { text: "long_hair", kind: "tag" };
  assert.equal(taken("a fox, long ha¦", tag), "a fox, long hair, ¦");
  assert.equal(taken("long ha¦, b", tag), "long hair¦, b");
  assert.equal(taken("long ha¦", tag, true), "long_hair, ¦");
  assert.equal(taken("(long ha¦:1.2)", tag), "(long hair¦:1.2)");
  assert.equal(taken("fate¦", { text: "saber_(fate)", kind: "tag" }), "saber \\(fate\\), ¦");
  assert.equal(taken("x <lora:al¦", { text: "alpha", kind: "loras", insert: "<lora:alpha:1>" }), "x <lora:alpha:1>¦");
  assert.equal(taken("x <lora:al¦ph:0.5> y", { text: "alpha", kind: "loras", insert: "<lora:alpha:1>" }), "x <lora:alpha:1>¦ y");
  assert.equal(taken("a __an¦, b", { text: "animals/cat", kind: "wildcard" }), "a __animals/cat__¦, b");
  assert.equal(taken("a __an¦imals__, b", { text: "animals/cat", kind: "wildcard" }), "a __animals/cat__¦, b");
});

test("tags as they stand in prompts, and counts", () => {
  assert.equal(asWritten("^_^", false), "^_^");
  assert.equal(asWritten("a_b_(c)", false), "a b \\(c\\)");
  assert.deepEqual([7, 9999, 35123, 1234567].map(short), ["7", "9999", "35k", "1.2M"]);
});
