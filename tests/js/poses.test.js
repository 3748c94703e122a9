// @ts-check
// Poses as the editor changes them.
import assert from "node:assert/strict";
import { test } from "node:test";

import { carried, completed, FINGERS, JOINTS, LIMBS, moved, read, withAnother, without, written } from "../../webui/server/ui/assets/poses.js";

const EMPTY = { width: 400, height: 200, people: [] };
const one = withAnother(EMPTY);
const body = () => one.people[0]?.body ?? [];

test("what is written is read again, in fractions or in pixels", () => {
  const told = written(one);
  assert.deepEqual(read(JSON.stringify(told)), one);
  assert.deepEqual(read(JSON.stringify([told])), one, "as a list of one canvas, too");
  const numbers = told.people[0]?.pose_keypoints_2d ?? [];
  const pixels = numbers.map((number, at) => (at % 3 === 0 ? number * 400 : at % 3 === 1 ? number * 200 : number));
  const again = read(JSON.stringify({ ...told, people: [{ pose_keypoints_2d: pixels }] })).people[0]?.body ?? [];
  again.forEach((joint, at) => joint?.forEach((part, axis) => assert.ok(Math.abs(part - (body()[at]?.[axis] ?? 9)) < 1e-9)));
});

test("a hidden joint is three zeros, and stays hidden", () => {
  const hidden = moved(one, 0, "body", 3, null);
  assert.deepEqual(written(hidden).people[0]?.pose_keypoints_2d?.slice(9, 12), [0, 0, 0]);
  assert.equal(read(JSON.stringify(written(hidden))).people[0]?.body[3], null);
});

test("what is no pose is refused in words", () => {
  for (const [text, said] of /** @type {[string, RegExp][]} */ ([
    ["{", /not valid JSON/],
    ["3", /canvas_width/],
    ['{"canvas_width": 1e9, "canvas_height": 2}', /canvas_width/],
    ['{"canvas_width": 9, "canvas_height": 9, "people": 3}', /list of at most 1000 people/],
    ['{"canvas_width": 9, "canvas_height": 9, "people": [null]}', /must be an object/],
    ['{"canvas_width": 9, "canvas_height": 9, "people": [{"pose_keypoints_2d": [1, 2]}]}', /18 points/],
    [`{"canvas_width": 9, "canvas_height": 9, "people": [{"hand_left_keypoints_2d": [${'"x",'.repeat(62)}1]}]}`, /21 points/],
  ])) assert.throws(() => read(text), said, text);
});

test("people come, go and leave the others as they are", () => {
  const two = withAnother(one);
  assert.equal(two.people.length, 2);
  assert.notDeepEqual(two.people[0], two.people[1], "the second stands beside the first");
  assert.deepEqual(without(two, 1), one);
  assert.deepEqual(moved(two, 1, "body", 0, [0.2, 0.3]).people[0], two.people[0]);
});

test("a joint stays on the canvas, wherever it is dragged", () => {
  const [x, y] = moved(one, 0, "body", 0, [7, -3]).people[0]?.body[0] ?? [9, 9];
  assert.ok(x < 1 && x > 0.99 && y === 0);
});

test("a hand goes with its wrist, and everything with a person", () => {
  const hand = Array.from({ length: 21 }, () => /** @type {[number, number]} */ ([0.5, 0.5]));
  const own = { ...(one.people[0] ?? { body: [], face: [], left: [], right: [] }), left: hand };
  const poses = { ...one, people: [own] };
  const wrist = own.body[7] ?? [0, 0];
  const after = moved(poses, 0, "body", 7, [wrist[0] + 0.1, wrist[1] + 0.2]).people[0];
  assert.ok(Math.abs((after?.left[5]?.[0] ?? 0) - 0.6) < 1e-9 && Math.abs((after?.left[5]?.[1] ?? 0) - 0.7) < 1e-9);
  assert.deepEqual(moved(poses, 0, "body", 4, [0.1, 0.1]).people[0]?.left, hand);
  const all = carried(poses, 0, [0, 0.01]).people[0];
  assert.ok(Math.abs((all?.left[0]?.[1] ?? 0) - 0.51) < 1e-9);
});

test("missing joints come where somebody who stands would have them", () => {
  let lacking = one;
  for (const at of [9, 10, 12, 13]) lacking = moved(lacking, 0, "body", at, null);
  const whole = completed(lacking, 0).people[0]?.body ?? [];
  assert.ok(whole.every(Boolean));
  whole.forEach((joint, at) => {
    const before = body()[at] ?? [9, 9];
    assert.ok(Math.hypot((joint?.[0] ?? 0) - before[0], (joint?.[1] ?? 0) - before[1]) < 0.05, JOINTS[at] ?? "");
  });
  assert.ok(completed({ ...one, people: [{ body: [], face: [], left: [], right: [] }] }, 0).people[0]?.body.every(Boolean));
});

test("limbs and fingers join points that there are", () => {
  assert.equal(LIMBS.length, 17);
  assert.ok(LIMBS.flat().every((at) => at < JOINTS.length));
  assert.equal(new Set(FINGERS.map(([, end]) => end)).size, 20);
  assert.deepEqual(FINGERS.filter(([start]) => start === 0).map(([, end]) => end), [1, 5, 9, 13, 17]);
});
