// @ts-check
// Where a mask lies over its picture.
import assert from "node:assert/strict";
import { test } from "node:test";

import { placeIn, radius, sheet, stencilled } from "../../webui/server/ui/assets/geometry.js";

test("the corners of the box are the corners of the picture", () => {
  const box = { left: 10, top: 20, width: 100, height: 50 };
  const picture = { width: 512, height: 256 };
  assert.deepEqual(placeIn({ clientX: 10, clientY: 20 }, box, picture), [0, 0]);
  assert.deepEqual(placeIn({ clientX: 110, clientY: 70 }, box, picture), [512, 256]);
  assert.deepEqual(placeIn({ clientX: 60, clientY: 45 }, box, picture), [256, 128]);
});

test("paint has the picture's size until that is too large, and its shape always", () => {
  assert.deepEqual(sheet({ width: 513, height: 767 }, 4096), { width: 513, height: 767 });
  assert.deepEqual(sheet({ width: 8192, height: 2048 }, 4096), { width: 4096, height: 1024 });
});

test("the brush grows with its slider, and is never nothing", () => {
  const sizes = Array.from({ length: 101 }, (_, percent) => radius(percent, { width: 512, height: 768 }));
  assert.equal(sizes[0], 0.5);
  assert.equal(sizes[100], 512 * 0.4 + 8);
  assert.ok(sizes.every((size, at) => at === 0 || size >= (sizes[at - 1] ?? 0)));
});

test("a mask becomes one of a colour on nothing", () => {
  const pixels = new Uint8ClampedArray([0, 0, 0, 255, 127, 127, 127, 255, 128, 128, 128, 255]);
  stencilled(pixels, [7, 8, 9]);
  assert.deepEqual([...pixels], [7, 8, 9, 0, 7, 8, 9, 0, 7, 8, 9, 255]);
});

