// @ts-check
// The regions of a picture: as a text, and where they lie.
import assert from "node:assert/strict";
import { test } from "node:test";

import { between, bounds, CORNERS, covers, hue, moved, numbersOf, read, resized, stroke, written } from "../../webui/server/ui/assets/regiontext.js";

const SQUARE = { width: 512, height: 512 };
const region = (/** @type {object} */ values) => ({ x: 0.2, y: 0.2, w: 0.4, h: 0.2, prompt: "", ...values });

test("what is written is read again, with all that the editor does not know", () => {
  const regions = [region({ prompt: "a \"cat\"\nin a box", blend_mode: "Foreground", seed: 3 }), region({ strokes: [[0.1, 0, 0.5]] })];
  assert.deepEqual(read(written(regions)), regions);
  assert.equal(written([]), "");
  assert.deepEqual(read("  "), []);
  assert.deepEqual(Object.keys(JSON.parse(written(regions))), ["Region 1", "Region 2"]);
});

test("values that are not said are the server's defaults", () => {
  assert.deepEqual(read('{"a": {"prompt": "x"}}'), [{ x: 0.4, y: 0.4, w: 0.2, h: 0.2, prompt: "x" }]);
});

test("a text without regions that can be drawn is none", () => {
  const broken = ["{", "[]", "3", '{"a": 1}', '{"a": null}', '{"a": []}', '{"a": {"x": "1"}}', '{"a": {"prompt": 1}}',
    '{"a": {"strokes": [1]}}', '{"a": {"strokes": [["a"]]}}', '{"a": {"w": 1e999}}'];
  for (const text of broken) assert.equal(read(text), null, text);
});

test("each colour is as far as may be from those before", () => {
  assert.deepEqual([0, 1, 2, 3, 4, 5, 6, 7].map(hue), [0, 180, 90, 270, 45, 135, 225, 315]);
  assert.equal(new Set(Array.from({ length: 64 }, (_, at) => hue(at))).size, 64);
});

test("a rectangle is drawn from any corner, within the picture, and not by a click", () => {
  assert.deepEqual(between([0.6, 0.4], [0.2, 0.2]), { x: 0.2, y: 0.2, w: 0.4, h: 0.2 });
  assert.deepEqual(between([0.5, 0.5], [2, -1]), { x: 0.5, y: 0, w: 0.5, h: 0.5 });
  assert.equal(between([0.5, 0.5], [0.503, 0.9]), null);
});

test("a region that is moved keeps its size and stays in the picture; paint goes along", () => {
  assert.deepEqual(moved(region({}), [0.1, 0.1]), region({ x: 0.3, y: 0.3 }));
  assert.deepEqual(moved(region({}), [5, -5]), region({ x: 0.6, y: 0 }));
  const painted = region({ strokes: [[-0.1, 0.1, 0.2, 0.3, 0.4]] });
  assert.deepEqual(moved(painted, [0.1, 0]).strokes, [[-0.1, 0.2, 0.2, 0.4, 0.4]]);
});

test("a corner that is dragged leaves the opposite one where it is", () => {
  for (const corner of CORNERS) {
    const after = resized(region({}), corner, [0.9, 0.9]);
    const x = corner.endsWith("w") ? 0.6 : 0.2;
    const y = corner.startsWith("n") ? 0.4 : 0.2;
    assert.ok([after.x, after.x + after.w].some((side) => Math.abs(side - x) < 1e-9));
    assert.ok([after.y, after.y + after.h].some((side) => Math.abs(side - y) < 1e-9));
  }
  assert.deepEqual(resized(region({}), "se", [0.2, 0.2]), region({}), "too small to be meant");
});

test("a brush is round in the picture, and what it erases is no longer there", () => {
  const wide = { width: 1024, height: 512 };
  const line = region({ strokes: [[0.1, 0.2, 0.5, 0.8, 0.5]] });
  assert.ok(covers(line, [0.5, 0.59], wide) && !covers(line, [0.5, 0.61], wide));
  assert.ok(covers(line, [0.849, 0.5], wide) && !covers(line, [0.851, 0.5], wide));
  const erased = region({ strokes: [[0.1, 0.2, 0.5, 0.8, 0.5], [-0.05, 0.5, 0.5]] });
  assert.ok(!covers(erased, [0.5, 0.5], SQUARE) && covers(erased, [0.3, 0.5], SQUARE));
  assert.ok(covers(region({}), [0.3, 0.3], SQUARE) && !covers(region({}), [0.7, 0.3], SQUARE));
});

test("the frame around paint holds all of it, and no more of it than the picture", () => {
  const wide = { width: 1024, height: 512 };
  const line = region({ strokes: [[0.1, 0.2, 0.5, 0.98, 0.5], [-0.3, 0.1, 0.1]] });
  const { x, y, w, h } = bounds(line, wide);
  assert.deepEqual([x, y, w, h].map((value) => Math.round(value * 1000)), [150, 400, 850, 200]);
});

test("a stroke has as many places as its brush needs, and always its end", () => {
  /** @type {import("../../webui/server/ui/assets/regiontext.js").Place[]} */
  const places = Array.from({ length: 101 }, (_, at) => [at / 100, 0.5]);
  const found = stroke(0.3, places);
  assert.ok(found.length < 30);
  assert.deepEqual(found.slice(0, 3), [0.3, 0, 0.5]);
  assert.deepEqual(found.slice(-2), [1, 0.5]);
  assert.deepEqual(stroke(-0.1, [[0.12345, 0.5]]), [-0.1, 0.123, 0.5]);
  assert.equal(numbersOf(region({ strokes: [[0.1, 0, 0], [0.1, 0, 0, 1, 1]] })), 8);
});
