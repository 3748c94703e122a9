// @ts-check
// The canvas: its document, its history, how it is looked at, how a brush moves, and its keys.
import assert from "node:assert/strict";
import { test } from "node:test";

import { capsule, dab, mirrored, pressed } from "../../webui/server/ui/assets/canvas/brush.js";
import { flood } from "../../webui/server/ui/assets/canvas/flood.js";
import { History } from "../../webui/server/ui/assets/canvas/history.js";
import { isPalm } from "../../webui/server/ui/assets/canvas/input.js";
import { meet, placeOf, tileAt, tilesIn, union, whole } from "../../webui/server/ui/assets/canvas/rects.js";
import { changed, difference, layer, reaching, shifted, withLayer, withoutLayer } from "../../webui/server/ui/assets/canvas/states.js";
import { View } from "../../webui/server/ui/assets/canvas/view.js";

/** @returns {import("../../webui/server/ui/assets/canvas/states.js").State<string>} */
const begun = () => ({ bounds: { x: 0, y: 0, width: 600, height: 300 }, selection: null, frame: null,
  layers: [layer({ id: "base", kind: "raster", base: true }), layer({ id: "one", kind: "raster" }), layer({ id: "mask", kind: "mask" })] });

test("tiles cover a rectangle, also left of and above the first picture", () => {
  assert.deepEqual(tilesIn({ x: 0, y: 0, width: 257, height: 1 }), [tileAt(0, 0), tileAt(1, 0)]);
  assert.deepEqual(tilesIn({ x: -1, y: -300, width: 2, height: 10 }).map(placeOf), [
    { x: -256, y: -512, width: 256, height: 256 }, { x: 0, y: -512, width: 256, height: 256 }]);
  assert.deepEqual(tilesIn({ x: 5, y: 5, width: 0, height: 9 }), []);
});

test("what rectangles have in common lies in both, and both lie in what is around them", () => {
  const [one, other] = [{ x: -3, y: 2, width: 10, height: 4 }, { x: 4, y: 0, width: 9, height: 5 }];
  assert.deepEqual(meet(one, other), { x: 4, y: 2, width: 3, height: 3 });
  assert.deepEqual(union(one, other), { x: -3, y: 0, width: 16, height: 6 });
  assert.equal(meet(one, { x: 90, y: 0, width: 1, height: 1 }).width, 0);
  assert.deepEqual(whole({ x: 0.4, y: -0.4, width: 1, height: 1 }), { x: 0, y: -1, width: 2, height: 2 });
});

test("an undo brings exactly the state before, a redo the one after, and a new step ends what was undone", () => {
  const first = begun();
  const history = new History(first);
  const second = changed(first, "one", { tiles: new Map([[7, "stroke"]]) });
  history.push(second, "Brush");
  assert.equal(history.last, "Brush");
  history.undo();
  assert.equal(history.state, first);
  history.redo();
  assert.equal(history.state, second);
  history.undo();
  history.push(withLayer(first, layer({ id: "new", kind: "region" })), "New layer");
  assert.equal(history.canRedo, false);
  assert.equal(history.undo() && history.undo(), false);
});

test("a hundred steps can be undone, fewer where they would hold too much", () => {
  const history = new History(0);
  for (let step = 1; step <= 150; step += 1) history.push(step, "Brush", 1);
  let undone = 0;
  while (history.undo()) undone += 1;
  assert.equal(undone, 100);
  assert.equal(history.state, 50);
  const heavy = new History(0, { budget: 10 });
  for (let step = 1; step <= 9; step += 1) heavy.push(step, "Fill", 4);
  assert.ok(heavy.weight <= 10 && heavy.canUndo);
});

test("only the tiles that were painted on differ; where layers are otherwise, all may", () => {
  const first = begun();
  const second = changed(first, "one", { tiles: new Map([[7, "stroke"]]) });
  assert.deepEqual([...difference(first, second) ?? []], [7]);
  assert.deepEqual([...difference(second, second) ?? []], []);
  assert.equal(difference(first, changed(first, "one", { opacity: 0.5 })), null);
  assert.equal(difference(first, reaching(first, { x: -64, y: 0, width: 8, height: 8 })), null);
  assert.equal(difference(first, withoutLayer(first, "mask")), null);
});

test("layers change places as far as there are others, and a state never changes", () => {
  const first = begun();
  const ids = (/** @type {typeof first} */ state) => state.layers.map(({ id }) => id).join();
  assert.equal(ids(shifted(first, "one", 1)), "base,mask,one");
  assert.equal(shifted(first, "mask", 1), first);
  assert.equal(ids(withLayer(first, layer({ id: "new", kind: "raster" }), "base")), "base,new,one,mask");
  assert.equal(ids(first), "base,one,mask");
  assert.deepEqual(reaching(first, { x: -64, y: 10, width: 128, height: 400 }).bounds, { x: -64, y: 0, width: 664, height: 410 });
});

test("what is under the pointer stays there while it is zoomed, and the picture never leaves the stage", () => {
  const view = new View();
  view.resize({ width: 400, height: 300 }, { x: -64, y: 0, width: 800, height: 600 });
  assert.deepEqual(view.shown(view.picture), { x: 0, y: 0, width: 400, height: 300 });
  const before = view.toPicture([120, 80]);
  view.zoomTo(3, [120, 80]);
  view.toPicture([120, 80]).forEach((value, at) => assert.ok(Math.abs(value - (before[at] ?? 0)) < 1e-9));
  view.pan(1e6, -1e6);
  const { x, y, height } = view.shown(view.picture);
  assert.ok(x < 400 && y + height > 0);
  view.fit();
  view.resize({ width: 200, height: 150 }, view.picture);
  assert.equal(view.scale, 0.25);
});

const BRUSH = /** @type {const} */ ({ radius: 20, hardness: 1, opacity: 1, colour: "#000000", erasing: false, pressesSize: true, pressesOpacity: false, tilts: true, symmetry: "none" });

test("a pen that presses harder draws wider, and a tilted one a longer dab", () => {
  const at = (/** @type {number} */ pressure, tiltX = 0) => dab(BRUSH, { x: 0, y: 0, pressure, tiltX, tiltY: 0 });
  assert.ok(at(0.1).radius < at(0.5).radius && at(0.5).radius < at(1).radius && at(1).radius === 20);
  assert.equal(at(1).ratio, 1);
  assert.ok(at(1, 60).ratio > 1.5);
  assert.equal(dab({ ...BRUSH, pressesSize: false }, { x: 0, y: 0, pressure: 0.1, tiltX: 0, tiltY: 0 }).radius, 20);
});

test("dabs lie evenly, however a line is cut into pieces", () => {
  const spot = (/** @type {number} */ x) => dab(BRUSH, { x, y: 0, pressure: 1, tiltX: 0, tiltY: 0 });
  const whole = pressed(spot(0), spot(100), 0).dabs.map(({ x }) => x);
  let left = 0;
  const pieces = [10, 13, 50, 100].flatMap((to, at, all) => {
    const found = pressed(spot(at ? all[at - 1] ?? 0 : 0), spot(to), left);
    left = found.left;
    return found.dabs.map(({ x }) => x);
  });
  assert.equal(pieces.length, whole.length);
  whole.forEach((x, at) => assert.ok(Math.abs(x - (pieces[at] ?? 0)) < 1e-6));
});

test("the outline between two dabs touches both, and one within the other is all there is", () => {
  const [small, large] = [{ ...dab(BRUSH, { x: 0, y: 0, pressure: 1, tiltX: 0, tiltY: 0 }), radius: 3 }, { ...dab(BRUSH, { x: 30, y: 0, pressure: 1, tiltX: 0, tiltY: 0 }), radius: 9 }];
  const { side, along, full } = capsule(small, large);
  assert.equal(full, null);
  const edge = (/** @type {typeof small} */ one) => one.x * Math.cos(along + side) + one.y * Math.sin(along + side) + one.radius;
  assert.ok(Math.abs(edge(small) - edge(large)) < 1e-9, "one tangent for both");
  assert.equal(capsule({ ...small, x: 28 }, large).full, large);
});

test("mirror images lie as far from the middle on the other side", () => {
  const one = dab(BRUSH, { x: 10, y: 20, pressure: 1, tiltX: 0, tiltY: 0 });
  const places = mirrored(one, "both", { x: 0, y: 0, width: 100, height: 60 }).map(({ x, y }) => [x, y]);
  assert.deepEqual(places, [[10, 20], [90, 20], [10, 40], [90, 40]]);
});

test("paint is poured as far as the colour goes, and not over corners", () => {
  const art = ["..#..", ".#..#", "#..#.", "..#.."];
  const pixels = new Uint8ClampedArray(art.join("").split("").flatMap((dot) => (dot === "#" ? [0, 0, 0, 255] : [250, 250, 250, 255])));
  const found = flood(pixels, 5, 4, [2, 1], 10);
  assert.equal(art.map((_, row) => [...found.slice(row * 5, row * 5 + 5)].join("")).join(" "), "00011 00110 01100 11000");
  assert.equal(flood(pixels, 5, 4, [0, 0], 255).every(Boolean), true);
  assert.equal(flood(pixels, 5, 4, [-1, 0], 10).some(Boolean), false);
});

test("a hand that lies on the glass does not draw while a pen is near", () => {
  assert.equal(isPalm("touch", 1000, 900), true);
  assert.equal(isPalm("touch", 5000, 900), false);
  assert.equal(isPalm("pen", 1000, 900), false);
  assert.equal(isPalm("mouse", 1000, 900), false);
});
