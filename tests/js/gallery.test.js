// @ts-check
// Which pictures a tab shows, where the picked one is, and what is said of a job that is over.
import assert from "node:assert/strict";
import { test } from "node:test";

import { gallery, placeOf } from "../../webui/server/ui/assets/gallery.js";
import { leaning } from "../../webui/server/ui/assets/geometry.js";
import { framed } from "../../webui/server/ui/assets/sizes.js";
import { ended } from "../../webui/server/ui/assets/stream.js";
import { lasted, taken } from "../../webui/server/ui/assets/timing.js";

/** @import { Job, Picture } from "../../webui/server/ui/assets/stream.js" */

/**
 * @param {string} id
 * @param {Partial<Picture>} more
 * @returns {Picture}
 */
const picture = (id, more = {}) => ({ id, url: `p/${id}`, thumb_url: `t/${id}`, infotext: id, marks: [], seed: 7, ...more });

/**
 * @param {string} id
 * @param {number} created
 * @param {Picture[]} pictures
 * @param {Partial<Job>} more
 * @returns {Job}
 */
const job = (id, created, pictures, more = {}) => ({
  id, kind: "txt2img", tab: "txt2img", state: "done", position: 0, progress: 1, text: "", step: 0, eta_seconds: null,
  count: 1, created, mine: true, pictures, comments: [], answer: "", error: null, ...more,
});

const ids = (/** @type {Job[]} */ jobs) => gallery(jobs).pictures.map(({ id }) => id);

test("the sheets of the newest job come before its pictures, and what else comes with them does not", () => {
  const extras = [{ name: "0-mask.png", url: "m" }, { name: "99-grid.png", url: "g", sheet: true }];
  const [sheet, ...rest] = gallery([job("old", 1, [picture("x")]), job("new", 2, [picture("a", { extras }), picture("b")])]).pictures;
  assert.deepEqual(rest.map(({ id }) => id), ["a", "b"]);
  assert.deepEqual([sheet?.id, sheet?.url, sheet?.infotext, sheet?.seed, sheet?.sheet], ["a.99-grid.png", "g", "a", 7, true]);
  assert.deepEqual(gallery([]), { job: undefined, pictures: [] });
});

test("a picture that was made larger stands where the one before stood, however often", () => {
  const base = job("base", 1, [picture("a"), picture("b")]);
  const larger = job("larger", 2, [picture("B", { replaces: "b" })]);
  const still = job("still", 3, [picture("BB", { replaces: "B" })]);
  assert.deepEqual(ids([base, larger]), ["a", "B"]);
  assert.deepEqual(ids([still, base, larger]), ["a", "BB"]);
  assert.equal(gallery([base, larger, still]).job?.id, "base");
  assert.deepEqual(ids([larger]), ["B"], "what it was made of is gone");
  assert.deepEqual(ids([base, larger, job("new", 4, [picture("n")])]), ["n"]);
  assert.deepEqual(ids([job("round", 1, [picture("r", { replaces: "r" })])]), ["r"]);
  const shown = gallery([base, larger]).pictures;
  assert.deepEqual([placeOf(shown, "b"), placeOf(shown, "B"), placeOf(shown, "gone")], [1, 1, -1]);
});

test("only what ends while somebody watches is news", () => {
  /** @type {Map<string, Job["state"]>} */
  const known = new Map();
  const running = job("a", 1, [], { state: "running" });
  assert.deepEqual(ended(known, [running, job("old", 0, [])], true), []);
  assert.deepEqual(ended(known, [running, job("old", 0, [])]), []);
  const news = ended(known, [job("a", 1, [picture("p")]), job("old", 0, []), job("other", 2, [], { mine: false })]);
  assert.deepEqual(news.map(({ id }) => id), ["a"]);
  assert.deepEqual(ended(known, [job("a", 1, [picture("p")])]), []);
  ended(known, [job("b", 3, [], { state: "queued" }), job("c", 3, [], { state: "running" })]);
  assert.deepEqual(ended(known, [job("b", 3, [], { state: "cancelled" }), job("c", 3, [], { state: "failed" })]).map(({ id }) => id), ["c"]);
});

test("time and memory are said as A1111 says them", () => {
  assert.deepEqual([lasted(3.24), lasted(64.2), lasted(3725.5), lasted(-1)], ["3.2 sec.", "1 min. 4.2 sec.", "1 h. 2 min. 5.5 sec.", "0.0 sec."]);
  const memory = { active: 2 ** 30, reserved: 1.5 * 2 ** 30, used: 2 * 2 ** 30, total: 8 * 2 ** 30 };
  const texts = (/** @type {Partial<Job>} */ more) => taken(job("a", 0, [], more)).map(({ text }) => text);
  assert.deepEqual(texts({ started: 10, finished: 13.21, memory }), ["Time taken: 3.2 sec.", "A: 1.00 GB", "R: 1.50 GB", "Sys: 2.00/8.00 GB (25.0%)"]);
  assert.deepEqual(texts({ started: 10, finished: 11 }), ["Time taken: 1.0 sec."]);
  assert.deepEqual(texts({ started: 10, finished: null }), []);
  assert.deepEqual(texts({ started: 10, finished: 11, state: "running" }), []);
});

test("the frame of other proportions is the largest within the picture as it is shown", () => {
  assert.deepEqual(framed([200, 100], [100, 100], [512, 512]), { width: 100, height: 100, left: 50, top: 0 });
  assert.deepEqual(framed([200, 100], [200, 100], [512, 512]), { width: 100, height: 100, left: 50, top: 0 });
  assert.deepEqual(framed([200, 100], [200, 100], [400, 100]), { width: 200, height: 50, left: 0, top: 25 });
});

test("a stick that hardly leans says nothing", () => {
  assert.deepEqual([leaning(0.2), leaning(-0.2), leaning(0.9), leaning(-1)], [0, 0, 1, -1]);
});
