// @ts-check
// Generate, Interrupt and Skip: shown and named as the event stream says; the title carries the progress.
import { clock } from "./clock.js";
import { byId, when } from "./dom.js";
import { facts } from "./facts.js";
import * as live from "./live.js";
import { say } from "./say.js";
import { post } from "./server.js";
import { readyToSubmit } from "./settled.js";
import { openedMode } from "./tabs.js";

/** @type {Record<string, string>} */
const VERBS = { merge: "Merge" };
/** @type {Map<string, number>} How often the interruption of a job was asked for here. */
const asked = new Map();

/**
 * @param {string} tab
 * @param {"interrupt" | "skip"} what
 */
async function act(tab, what) {
  const job = live.running(tab);
  if (!job) return;
  if (what === "interrupt") asked.set(job.id, (asked.get(job.id) ?? 0) + 1);
  draw();
  const answer = await post(`internal/jobs/${job.id}/${what}`);
  if (!answer.ok && answer.status !== 404) say(`The server could not ${what} the job.`, "bad");
}

/** @param {string} tab */
export const interrupt = (tab) => act(tab, "interrupt");
/** @param {string} tab */
export const skip = (tab) => act(tab, "skip");

/**
 * Presses Generate of a tab; img2img has one button a sub-tab, and this finds the right one.
 * @param {string} tab
 */
export const generate = (tab) => byId(`${tab}_generate`)?.click();

function draw() {
  for (const box of document.querySelectorAll(".generate-box")) {
    const tab = box.id.replace("_generate_box", "");
    const job = live.running(tab);
    box.classList.toggle("running", Boolean(job));
    const interrupt = byId(`${tab}_interrupt`);
    const generate = byId(`${tab}_generate`);
    if (!interrupt || !generate) continue;
    const times = job ? asked.get(job.id) ?? 0 : 0;
    set(interrupt, times ? "Interrupting…" : "Interrupt",
      times && job && job.count > 1 ? "Press again to stop immediately" : "Stop and keep finished pictures (Esc)");
    set(byId(`${tab}_skip`), "Skip", "Skip to the next batch (Alt+Enter)");
    const anew = facts.begins_anew;
    const more = anew ? "One more job, after those that wait (Ctrl+Enter interrupts and restarts)"
      : "One more job, after those that wait (Ctrl+Enter)";
    set(generate, VERBS[tab] ?? "Generate", job ? more : "Ctrl+Enter");
  }
  const job = live.jobs().find((any) => any.mine && any.state === "running");
  document.title = job && facts.progress_title ? `[${progressOf(job)}] Gesso` : "Gesso";
}

/** @param {import("./stream.js").Job} job */
function progressOf(job) {
  const percent = `${Math.round(job.progress * 100)} %`;
  return job.eta_seconds == null ? percent : `${percent} ETA: ${clock(job.eta_seconds)}`;
}

/**
 * @param {HTMLElement | null} button
 * @param {string} text
 * @param {string} title
 */
function set(button, text, title) {
  if (!button) return;
  if (button.textContent.trim() !== text) button.textContent = text;
  button.title = title;
}

when(".generate-box button[id$=_interrupt]", (button) =>
  button.addEventListener("click", () => interrupt(button.id.replace("_interrupt", ""))));
when(".generate-box button[id$=_skip]", (button) =>
  button.addEventListener("click", () => skip(button.id.replace("_skip", ""))));
when("#img2img_generate", (button) =>
  button.addEventListener("click", async () => {
    const mode = openedMode();
    await readyToSubmit();
    byId(`img2img_run_${mode}`)?.click();
  }));
when(".generate-box", draw);
live.read(draw);
