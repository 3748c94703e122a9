// @ts-check
// What waits: a line that says how much, and the list behind it, each job with a way out.
import { iconButton, make } from "./dom.js";
import * as live from "./live.js";
import { post } from "./server.js";

/** @import { Job } from "./stream.js" */

let open = false;

/**
 * @param {Job} job
 * @param {number} index
 */
function row(job, index) {
  const text = job.mine ? (job.prompt || "(no prompt)").replace(/\s+/g, " ").slice(0, 120) : "Another user's job";
  const count = job.count > 1 ? ` × ${job.count}` : "";
  return make("li", {},
    make("span.place", {}, String(index + 1)),
    make("span.what", { title: job.mine ? job.prompt : "" }, text),
    make("span.kind", {}, `${job.kind}${count}`),
    job.mine && iconButton("close", "Cancel job", () => post(`internal/jobs/${job.id}/cancel`)));
}

/**
 * @param {HTMLElement} place
 * @param {string} tab
 */
export function draw(place, tab) {
  const waiting = live.waiting();
  const key = JSON.stringify([open, waiting.map((job) => [job.id, job.position])]);
  if (place.dataset.shown === key) return;
  place.dataset.shown = key;
  place.hidden = !waiting.length;
  place.replaceChildren();
  if (!waiting.length) return;
  const mine = waiting.filter((job) => job.mine);
  place.append(
    make("div.queue-line", {},
      make("button.queue-toggle", { type: "button", "aria-expanded": String(open), "aria-controls": `${tab}_queue_list`,
        onclick: () => {
          open = !open;
          redraw();
        } }, make("span.glyph-stack", { "aria-hidden": "true" }), `${waiting.length} waiting`),
      ...(open && mine.length > 1 ? [make("button.link", { type: "button",
        onclick: () => mine.forEach((job) => post(`internal/jobs/${job.id}/cancel`)) }, "Cancel all")] : [])));
  if (open) place.append(make("ol", { id: `${tab}_queue_list` }, ...waiting.map(row)));
}

function redraw() {
  /** @type {NodeListOf<HTMLElement>} */
  const places = document.querySelectorAll(".gesso-results");
  for (const place of places) {
    /** @type {HTMLElement | null} */
    const queue = place.querySelector(".queue");
    if (queue) draw(queue, place.dataset.tab ?? "");
  }
}
