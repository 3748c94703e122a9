// @ts-check
// Sizes, times, and the questions to the history.
import assert from "node:assert/strict";
import { test } from "node:test";

import { clock } from "../../webui/server/ui/assets/clock.js";
import { ALL, behind, midnight, question, sized } from "../../webui/server/ui/assets/historyquery.js";
import { factorIn, hires, nearest, resized, written } from "../../webui/server/ui/assets/sizes.js";

test("hires fix goes by the factor, unless a side is named; the other side follows", () => {
  assert.deepEqual(hires([512, 768], 1.5, [0, 0]), [768, 1152]);
  assert.deepEqual(hires([512, 768], 1.5, [1024, 0]), [1024, 1536]);
  assert.deepEqual(hires([512, 768], 1.5, [0, 1024]), [682, 1024]);
  assert.deepEqual(hires([512, 768], 1.5, [640, 640]), [640, 640]);
});

test("sizes of pictures become sizes that the form can have", () => {
  assert.deepEqual(resized([513, 767], 0.5), [256, 376]);
  assert.deepEqual(resized([4, 4], 0.05), [8, 8]);
  assert.deepEqual(nearest([515, 30]), [512, 64]);
  assert.deepEqual(nearest([9000, 2044]), [2048, 2048]);
});

test("a size is read however it is written", () => {
  for (const text of ["1024x768", " 1024 × 768 ", "1024*768"]) assert.deepEqual(written(text), [1024, 768]);
  for (const text of ["1024", "1x1", "ax b", "1024x768x3", ""]) assert.equal(written(text), null);
});

test("times are short", () => {
  assert.deepEqual([-1, 0, 59.4, 60, 3599, 3600, 36061].map(clock), ["0 s", "0 s", "59 s", "1:00", "59:59", "1:00:00", "10:01:01"]);
});

test("the history is asked for what the filters say, and no more", () => {
  assert.equal(question(ALL), "");
  assert.equal(question(ALL, { limit: 60 }), "?limit=60");
  const asked = new URLSearchParams(question({ ...ALL, search: "a & b", rating: "3" }, { limit: 60, before: "12" }));
  assert.deepEqual(Object.fromEntries(asked), { limit: "60", search: "a & b", rating: "3", before: "12" });
  assert.equal(behind("1600000000000000999"), "1600000000000001000", "beyond what a float counts");
});

test("sizes of files are short", () => {
  assert.deepEqual([0, 999, 1000, 1234567, 9.9e12].map(sized), ["0 bytes", "999 bytes", "1.00 kB", "1.23 MB", "9.90 TB"]);
});

test("a day begins at midnight where the browser is, and ends when the next one begins", () => {
  assert.equal(midnight("2026-11-29"), String(new Date(2026, 10, 29).getTime() / 1000));
  assert.equal(midnight("2026-02-28", 1), midnight("2026-03-01"));
  for (const none of ["", "2026", "no-day-x", "0001-01-01"]) assert.equal(midnight(none), "");
});

test("an upscaler's name says by how much it enlarges", () => {
  const names = { "4x-UltraSharp": 4, "RealESRGAN_x4plus": 4, "2x_Compact": 2, "R-ESRGAN 4x+ Anime6B": 4, "DAT x3": 3 };
  for (const [name, factor] of Object.entries(names)) assert.equal(factorIn(name), factor, name);
  for (const name of ["Lanczos", "None", "1024x768", "SwinIR", "16x"]) assert.equal(factorIn(name), 0, name);
});
