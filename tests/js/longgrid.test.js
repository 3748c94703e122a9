// @ts-check
// A long grid has only the elements that the window shows.
import assert from "node:assert/strict";
import { test } from "node:test";
import { layout, near } from "../../webui/server/ui/assets/squares.js";

test("squares fill the width", () => {
  const grid = layout(1000, 100000, 128, 6);
  assert.equal(grid.columns, 7);
  assert.ok(Math.abs(grid.side * 7 + 6 * 6 - 1000) < 1e-9);
  assert.ok(Math.abs(grid.height - (Math.ceil(100000 / 7) * grid.step - 6)) < 1e-6);
  assert.deepEqual([layout(50, 3, 128, 6).columns, layout(50, 0, 128, 6).height], [1, 0]);
});

test("only what is near the window is an element, wherever it is", () => {
  const grid = layout(1000, 100000, 128, 6);
  for (const top of [200, -50000, -grid.height / 2, -grid.height]) {
    const [first, last] = near(grid, 100000, top, 900, 900);
    assert.ok(last - first <= (2700 / grid.step + 2) * grid.columns, String(top));
    assert.ok(first >= 0 && last <= 100000);
    const seen = Math.floor(-top / grid.step) * grid.columns;
    if (top <= 0 && seen < 100000) assert.ok(first <= seen && seen < last, String(top));
  }
  assert.deepEqual(near(grid, 3, 100, 900, 900), [0, 3]);
  assert.deepEqual(near(grid, 0, 100, 900, 900), [0, 0]);
});
