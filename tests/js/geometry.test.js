// @ts-check
// Where a mask lies over its picture.
import assert from "node:assert/strict";
import { test } from "node:test";

import { fitted, isPainted, placeIn, radius, sheet, stencilled, whitened } from "../../webui/server/ui/assets/geometry.js";

test("a picture lies in the middle of its frame, whole, and as large as it can", () => {
  for (const [width, height] of [[512, 512], [1024, 64], [63, 900]]) {
    const picture = { width: width ?? 0, height: height ?? 0 };
    const frame = { width: 400, height: 300 };
    const fit = fitted(frame, picture);
    assert.ok(fit.width <= frame.width + 1e-9 && fit.height <= frame.height + 1e-9);
    assert.ok(Math.abs(fit.width - frame.width) < 1e-9 || Math.abs(fit.height - frame.height) < 1e-9);
    assert.ok(Math.abs(fit.width / fit.height - picture.width / picture.height) < 1e-9);
    assert.equal(fit.left * 2 + fit.width, frame.width);
    assert.equal(fit.top * 2 + fit.height, frame.height);
  }
});

test("an empty frame has a scale all the same", () => {
  assert.equal(fitted({ width: 0, height: 0 }, { width: 10, height: 10 }).scale, 1);
});

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

test("paint becomes white, everything else black, and nothing is transparent", () => {
  const pixels = new Uint8ClampedArray([1, 2, 3, 255, 9, 9, 9, 127, 0, 0, 0, 0, 5, 5, 5, 128]);
  assert.equal(whitened(pixels), true);
  assert.deepEqual([...pixels], [255, 255, 255, 255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255, 255, 255]);
  assert.equal(whitened(new Uint8ClampedArray([0, 0, 0, 127])), false);
});

test("a mask becomes one of a colour on nothing", () => {
  const pixels = new Uint8ClampedArray([0, 0, 0, 255, 127, 127, 127, 255, 128, 128, 128, 255]);
  stencilled(pixels, [7, 8, 9]);
  assert.deepEqual([...pixels], [7, 8, 9, 0, 7, 8, 9, 0, 7, 8, 9, 255]);
});

test("colours count where they can be seen", () => {
  assert.equal(isPainted(new Uint8ClampedArray([9, 9, 9, 0, 0, 0, 0, 1])), true);
  assert.equal(isPainted(new Uint8ClampedArray([255, 255, 255, 0])), false);
});
