// @ts-check
// Pieces of a prompt: moved, switched off and on again, taken out; lines as comments.
import assert from "node:assert/strict";
import { test } from "node:test";

import { changed, commented, kindOf, moved, pieces, switched, without } from "../../webui/server/ui/assets/desk/pieces.js";

const words = (/** @type {string} */ text) => pieces(text).map((piece) => (piece.on ? piece.words : `#${piece.words}`));

test("pieces stand between commas and lines, brackets are whole", () => {
  assert.deepEqual(words("a fox, (red, big:1.2) ,<lora:x:1:lbw=1,0>\nsnow, {a|b, c}"), [
    "a fox", "(red, big:1.2)", "<lora:x:1:lbw=1,0>", "snow", "{a|b, c}",
  ]);
  assert.deepEqual(words("a, (b, c"), ["a", "(b", "c"]);
  assert.deepEqual(words("a,\n# b,\nc # d"), ["a", "#b", "c", "#d"]);
  assert.deepEqual(words("\\(a, b\\)"), ["\\(a", "b\\)"]);
  assert.deepEqual(words(" ,, "), []);
});

test("kinds", () => {
  /** @type {[string, string][]} */
  const cases = [
    ["fox", "plain"], ["(fox)", "stronger"], ["(fox:0.5)", "weaker"], ["[fox]", "weaker"], ["[a:b:0.5]", "schedule"],
    ["{a|b}", "choice"], ["{a}", "plain"], ["__zoo__", "wildcard"], ["<lora:x:1> y", "network"], ["BREAK", "keyword"],
    ["saber \\(fate\\)", "plain"],
  ];
  for (const [text, kind] of cases) assert.equal(kindOf(text), kind, text);
});

test("a piece moves, and commas and lines stay where they are", () => {
  assert.equal(moved("a, b,\nc", 0, 2), "b, c,\na");
  assert.equal(moved("a, b,\nc", 2, 0), "c, a,\nb");
  assert.equal(moved("a, b", 0, 5), "a, b");
});

test("what is switched off is a comment, and on again the text is as it was", () => {
  for (const text of ["a, b, c", "a, b", "(x, y:1.2), <lora:z:1>, last,"]) {
    for (const place of pieces(text).keys()) {
      const off = switched(text, place);
      assert.equal(pieces(off).filter((piece) => !piece.on).length, 1, off);
      assert.equal(switched(off, place).trim(), text, off);
    }
  }
  assert.equal(switched("a, b, c", 1), "a,\n# b,\nc");
});

test("a piece is taken out with its comma", () => {
  assert.equal(without("a, b, c", 1), "a, c");
  assert.equal(without("a, b", 1), "a");
  assert.equal(without("a,\n# b,\nc", 1), "a,\nc");
});

test("lines become comments and text again", () => {
  const once = commented("a\nb\nc", [2, 5]);
  assert.deepEqual([once.start, once.end, once.text], [2, 5, "# b\n# c"]);
  const back = commented("a\n# b\n# c", [2, 9]);
  assert.equal(back.text, "b\nc");
  assert.equal(commented("x", [0, 0]).text, "# x");
});

test("a change is no longer than what differs", () => {
  assert.deepEqual(changed("a, b, c", "a, x, c"), { start: 3, end: 4, text: "x", selection: [4, 4] });
  assert.equal(changed("a", "a"), null);
  assert.deepEqual(changed("aa", "aaa"), { start: 2, end: 2, text: "a", selection: [3, 3] });
});

test("long texts take no longer than their length", () => {
  const begin = performance.now();
  for (const unit of ["(", "a, ", "{a|", "#", "\\", "(a)", "<a:"]) {
    const text = unit.repeat(20000);
    pieces(text);
  }
  assert.ok(performance.now() - begin < 3000);
});
