// @ts-check
// Jobs without pictures: a merged checkpoint, a picture described in words.
import { byId, field, make, type, when } from "./dom.js";
import * as live from "./live.js";
import { say } from "./say.js";
import { told, url } from "./server.js";
import { isOver } from "./stream.js";
import { openedMode } from "./tabs.js";

/** @import { Job } from "./stream.js" */

const latest = (/** @type {string} */ kind) => live.newest(live.of(kind));
/** @type {Map<string, string>} By kind: the job whose end has been acted upon, or was there before the page. */
const seen = new Map();
/** @type {Set<string> | null} Jobs that were there when a description was asked for. */
let known = null;

/** @param {Job} job */
function words(job) {
  if (job.state === "queued") return "Waiting in the queue.";
  if (job.state === "running") return job.text || "Runs.";
  if (job.state === "failed") return [job.error?.message, job.error?.hint].filter(Boolean).join(" ");
  return job.state === "done" ? `Made: ${job.answer}` : "Stopped; nothing was saved.";
}

function draw() {
  /** @type {NodeListOf<HTMLElement>} */
  const places = document.querySelectorAll(".gesso-job-status");
  for (const place of places) {
    const job = latest(place.dataset.kind ?? "");
    const shown = job ? JSON.stringify([job.id, job.state, job.text, job.progress]) : "";
    if (place.dataset.shown === shown) continue;
    place.dataset.shown = shown;
    if (!job) place.replaceChildren();
    else {
      place.replaceChildren(make("p.job-status-of", {}, job.prompt), make(`p.job-status-text.${job.state}`, {}, words(job)),
        ...(job.state === "running" ? [make("div.track", {}, make("div.bar", { style: `width: ${Math.round(job.progress * 100)}%` }))] : []));
    }
  }
}

/**
 * A new checkpoint is there: the lists take it up.
 * @param {string} what
 */
function merged(what) {
  const job = latest("merge");
  if (!job || !isOver(job)) return;
  const old = seen.get("merge");
  seen.set("merge", job.id);
  if (what === "state" || old === job.id || job.state !== "done") return;
  byId("refresh_sd_model_checkpoint")?.click();
  byId("merge_refresh")?.click();
}

function described() {
  const before = known;
  const job = before && live.of("interrogate").find((one) => !before.has(one.id) && isOver(one));
  if (!job) return;
  known = null;
  if (job.state === "done") type(field("img2img_prompt"), job.answer);
  else if (job.state === "failed") say(words(job), "bad");
}

for (const model of ["clip", "deepdanbooru", "wd14"]) {
  when(`#img2img_interrogate_${model}`, (button) => button.addEventListener("click", () => {
    const ask = byId(`img2img_ask_${model}_${openedMode()}`);
    if (!ask) {
      say("Add a picture to describe first.");
      return;
    }
    // A batch's descriptions go into files, none into the prompt.
    known = openedMode() === "batch" ? null : new Set(live.of("interrogate").map((job) => job.id));
    ask.click();
  }));
}
// Of the three only this one needs a file that has no name of its own: it is offered where there is one.
when("#img2img_interrogate_wd14", async (button) => {
  const there = await fetch(url("tagger/v1/interrogators")).then(told).catch(() => ({}));
  const names = /** @type {unknown} */ (there.models);
  button.classList.toggle("there", Array.isArray(names) && names.some((name) => name !== "deepdanbooru"));
});
when(".gesso-job-status", draw);
live.read((what) => {
  draw();
  merged(what);
  described();
});
