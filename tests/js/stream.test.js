// @ts-check
// What the server's messages do to the page's state.
import assert from "node:assert/strict";
import { test } from "node:test";

import { empty, isOver, jobsOf, take, waitingJobs } from "../../webui/server/ui/assets/stream.js";

/** @import { Job } from "../../webui/server/ui/assets/stream.js" */

/**
 * @param {string} id
 * @param {Partial<Job>} more
 * @returns {Job}
 */
const job = (id, more = {}) => ({
  id, kind: "txt2img", tab: "txt2img", state: "queued", position: 0, progress: 0, text: "", step: 0, eta_seconds: null,
  count: 1, created: 0, mine: true, pictures: [], comments: [], answer: "", error: null, ...more,
});

test("the whole state replaces the jobs, and what it leaves out stays", () => {
  const state = empty({ counters: true });
  take(state, { type: "state", seq: 7, jobs: [job("a"), job("b")], models: { loading: "x", message: "" } });
  take(state, { type: "state", seq: 9, jobs: [job("c")], page: { counters: false } });
  assert.deepEqual([...state.jobs.keys()], ["c"]);
  assert.equal(state.models.loading, "x");
  assert.deepEqual(state.page, { counters: false });
  assert.equal(state.seq, 9);
});

test("a later message never lowers the number from which a lost connection goes on", () => {
  const state = empty();
  take(state, { type: "job", seq: 5, job: job("a") });
  take(state, { type: "models", seq: 3, loading: "", message: "" });
  take(state, { type: "still" });
  assert.equal(state.seq, 5);
});

test("a job that is over has no preview any more, and one that is removed is gone", () => {
  const state = empty();
  take(state, { type: "job", job: job("a", { state: "running" }) });
  take(state, { type: "preview", job_id: "a", url: "u", number: 1 });
  assert.equal(state.previews.get("a")?.number, 1);
  take(state, { type: "job", job: job("a", { state: "done" }) });
  assert.equal(state.previews.size, 0);
  take(state, { type: "removed", job_id: "a" });
  assert.equal(state.jobs.size, 0);
});

test("signs of life say nothing; messages of later servers are passed on", () => {
  const state = empty();
  assert.equal(take(state, { type: "still" }), false);
  assert.equal(take(state, { type: "something new" }), true);
});

test("settings of the page come without what belongs to the message", () => {
  const state = empty({ precision: 0.1 });
  take(state, { type: "page", seq: 4, precision: 0.2 });
  assert.deepEqual(state.page, { precision: 0.2 });
});

test("the waiting jobs stand in their order; one without a place is last", () => {
  const state = empty();
  take(state, { type: "state", jobs: [
    job("new", { created: 3 }), job("second", { position: 2 }), job("runs", { state: "running" }), job("first", { position: 1 }),
    job("old", { created: 1 }),
  ] });
  assert.deepEqual(waitingJobs(state).map(({ id }) => id), ["first", "second", "old", "new"]);
});

test("a tab shows one's own jobs alone", () => {
  const state = empty();
  take(state, { type: "state", jobs: [job("a"), job("b", { mine: false }), job("c", { tab: "img2img" })] });
  assert.deepEqual(jobsOf(state, "txt2img").map(({ id }) => id), ["a"]);
  assert.deepEqual(["queued", "running", "done", "failed", "cancelled"]
    .map((one) => isOver(job("a", { state: /** @type {Job["state"]} */ (one) }))), [false, false, true, true, true]);
});
