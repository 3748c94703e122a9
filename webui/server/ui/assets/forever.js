// @ts-check
// Generate forever: presses Generate again whenever nothing of the tab waits or runs, with the form as it is then.
import { generate } from "./buttons.js";
import { byId, make, when } from "./dom.js";
import * as live from "./live.js";
import { menuAt } from "./menu.js";
import { say } from "./say.js";
import { isOver } from "./stream.js";

const PATIENCE = 10000; // ms for a job to come of a press
const BREATH = 300; // ms between the end of a job and the next press

/** @typedef {{known: Set<string>, pressed: number, job: string}} Loop */

/** @type {Map<string, Loop>} By tab. */
const loops = new Map();

/** @param {string} tab */
function start(tab) {
  loops.set(tab, { known: new Set(), pressed: 0, job: "" });
  draw(tab);
  go(tab);
}

/**
 * @param {string} tab
 * @param {string} [why]
 */
function stop(tab, why) {
  if (!loops.delete(tab)) return;
  draw(tab);
  if (why) say(why, "bad");
}

/** @param {string} tab */
function go(tab) {
  const loop = loops.get(tab);
  if (!loop) return;
  const jobs = live.of(tab);
  if (loop.pressed) {
    const made = jobs.find((job) => !loop.known.has(job.id));
    if (!made) {
      if (Date.now() - loop.pressed > PATIENCE) stop(tab, "Generating forever has ended: the form was not accepted.");
      return;
    }
    loop.pressed = 0;
    loop.job = made.id;
  }
  if (live.job(loop.job)?.state === "failed") {
    stop(tab, "Generating forever has ended: a job failed.");
    return;
  }
  if (!live.isConnected() || jobs.some((job) => !isOver(job))) return;
  loop.known = new Set(jobs.map((job) => job.id));
  loop.pressed = Date.now();
  setTimeout(() => {
    if (loops.get(tab) === loop) generate(tab);
  }, BREATH);
}

/** @param {string} tab */
function draw(tab) {
  const on = loops.has(tab);
  const box = byId(`${tab}_generate_box`);
  box?.classList.toggle("forever", on);
  byId(`${tab}_forever`)?.remove();
  if (on) {
    box?.after(make("div.forever-line", { id: `${tab}_forever`, role: "status" },
      make("span.glyph-forever", { "aria-hidden": "true" }), "Generating forever",
      make("button.link", { type: "button", onclick: () => stop(tab) }, "Stop")));
  }
}

when(".generate-box button[id$=_generate]", (button) => {
  const tab = button.id.replace("_generate", "");
  if (tab !== "txt2img" && tab !== "img2img") return;
  menuAt(button, () => (loops.has(tab) ? [["Cancel generate forever", () => stop(tab)]] : [["Generate forever", () => start(tab)]]));
});
live.read(() => {
  for (const tab of loops.keys()) go(tab);
});
setInterval(() => {
  for (const tab of loops.keys()) go(tab);
}, 1000);
