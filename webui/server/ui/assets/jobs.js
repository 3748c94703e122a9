// @ts-check
// The Queue tab: what runs, what waits in which order, what is over; drawn from the event stream.
import { clock } from "./clock.js";
import { command } from "./commands.js";
import { around, byId, iconButton, make, when } from "./dom.js";
import * as live from "./live.js";
import { beforeFilling } from "./remembering.js";
import { say } from "./say.js";
import { post, told, url } from "./server.js";
import { isOver } from "./stream.js";
import { openSubTab, openTab } from "./tabs.js";

/** @import { Job } from "./stream.js" */

/** @type {HTMLElement | null} */
let place = null;
/** @type {Job | undefined} */
let picked;
let dragged = "";
let held = false; // a row that is redrawn between press and release would swallow the click
const flow = { paused: false, forever: "" };

/**
 * @param {string} path
 * @param {unknown} [body]
 */
async function act(path, body) {
  const answer = await post(path, body);
  if (answer.ok) return true;
  say((await told(answer)).detail || "The server could not do that.", "bad");
  return false;
}

const mine = () => live.waiting().filter((job) => job.mine);
const title = (/** @type {Job} */ job) => (job.mine ? job.prompt || "(no prompt)" : "Another user's job").replace(/\s+/g, " ").slice(0, 200);

/**
 * Moves a waiting job before another one, or to the end.
 * @param {string} id
 * @param {number} to
 */
function move(id, to) {
  const ids = mine().map((job) => job.id).filter((other) => other !== id);
  ids.splice(Math.max(0, Math.min(to, ids.length)), 0, id);
  return act("internal/jobs/order", { ids });
}

/** @param {Job} job */
function edit(job) {
  picked = job;
  byId(`queue_edit_${job.kind}`)?.click();
}

const editor = (/** @type {Job} */ job) => (byId(`queue_edit_${job.kind}`) ? [iconButton("edit", "Edit it in its tab", () => edit(job))] : []);
const again = (/** @type {Job} */ job) => act(`internal/jobs/${job.id}/again`, {}).then((done) => done && say("Run again, at the end of the queue."));
const cancel = (/** @type {Job} */ job) => act(`internal/jobs/${job.id}/cancel`);

/** @param {Job} job */
function forever(job) {
  if (flow.forever === job.id) return act("internal/jobs/forever/stop");
  return act(`internal/jobs/${job.id}/forever`);
}

/** @param {Job} job */
function foreverButton(job) {
  const on = flow.forever === job.id;
  const button = iconButton("forever", on ? "Stop generating forever" : "Generate forever", () => forever(job));
  button.classList.toggle("on", on);
  button.setAttribute("aria-pressed", String(on));
  return button;
}

/**
 * @param {Job} job
 * @param {HTMLElement[]} buttons
 */
function row(job, buttons) {
  const words = { queued: "waiting", running: job.text || "running", done: "done", failed: "failed", cancelled: "cancelled" };
  const said = job.state === "failed" && job.error ? [job.error.message, job.error.hint].filter(Boolean).join(" ") : "";
  const count = !job.count ? job.answer : `${job.pictures.length && job.state !== "queued" ? `${job.pictures.length} of ` : ""}${job.count}`;
  return make(`li.job.${job.state}`, { "data-id": job.id, draggable: job.state === "queued" && job.mine ? "true" : null },
    make("span.job-place", {}, job.state === "queued" ? String(live.waiting().indexOf(job) + 1) : ""),
    make("div.job-thumbs", {}, ...job.pictures.slice(0, 4).map((picture) =>
      make("img", { src: url(picture.thumb_url), alt: "", loading: "lazy" }))),
    make("div.job-what", {},
      make("span.job-prompt", { title: job.mine ? job.prompt : "" }, title(job)),
      make("span.job-facts", {}, [job.kind, count, words[job.state] ?? job.state].filter(Boolean).join(" · "),
        job.eta_seconds != null && job.state === "running" ? ` · ${clock(job.eta_seconds)} left` : ""),
      said && make("span.job-error", {}, said),
      job.state === "running" && make("div.track", {}, make("div.bar", { style: `width: ${Math.round(job.progress * 100)}%` }))),
    make("div.job-buttons", {}, ...buttons));
}

/** @param {Job} job */
function running(job) {
  return row(job, job.mine ? [foreverButton(job), ...editor(job),
    iconButton("stack", "Run again", () => again(job)), iconButton("close", "Cancel job", () => cancel(job))] : []);
}

/** @param {Job} job */
function waiting(job) {
  if (!job.mine) return row(job, []);
  const at = mine().findIndex((other) => other.id === job.id);
  const last = mine().length - 1;
  const button = (/** @type {string} */ icon, /** @type {string} */ name, /** @type {number} */ to, /** @type {boolean} */ off) => {
    const made = iconButton(icon, name, () => move(job.id, to));
    made.disabled = off;
    return made;
  };
  return row(job, [button("top", "Move to front", 0, at === 0), button("up", "Earlier", at - 1, at === 0),
    button("down", "Later", at + 1, at === last), foreverButton(job), ...editor(job),
    iconButton("stack", "Run again", () => again(job)), iconButton("close", "Cancel job", () => cancel(job))]);
}

/** @param {Job} job */
function ended(job) {
  return row(job, [...editor(job), iconButton("stack", "Run again", () => again(job)),
    foreverButton(job)]);
}

/**
 * @param {string} name
 * @param {Job[]} jobs
 * @param {(job: Job) => HTMLElement} drawn
 */
function section(name, jobs, drawn) {
  return jobs.length ? [make("h4", {}, name), make("ol.jobs", {}, ...jobs.map(drawn))] : [];
}

function draw() {
  if (!place?.offsetParent || dragged || held) return;
  const jobs = live.jobs();
  const shown = JSON.stringify([flow, jobs.map((job) => [job.id, job.state, job.position, job.progress, job.text, job.pictures.length,
    job.eta_seconds == null ? 0 : Math.round(job.eta_seconds)])]);
  if (place.dataset.shown === shown) return;
  place.dataset.shown = shown;
  const focused = document.activeElement;
  const focus = [focused?.closest("[data-id]")?.getAttribute("data-id"), focused?.getAttribute("aria-label")];
  const over = jobs.filter((job) => job.mine && isOver(job)).sort((a, b) => b.created - a.created);
  const pause = iconButton(flow.paused ? "play" : "pause", flow.paused ? "Resume" : "Pause: do not start new jobs",
    () => act(`internal/queue/${flow.paused ? "resume" : "pause"}`));
  pause.id = "queue_pause";
  place.replaceChildren(
    make("div.jobs-bar", {}, pause,
      make("span", { id: "queue_says" }, flow.paused ? "Paused: no new jobs are started." : `${live.waiting().length} waiting`),
      make("span.grow"),
      flow.forever && make("button.link", { type: "button", onclick: () => act("internal/jobs/forever/stop") }, "Stop generating forever"),
      jobs.some((job) => job.mine && !isOver(job)) &&
        make("button.link", { type: "button", id: "queue_cancel_all", onclick: () => act("internal/jobs/cancel") }, "Cancel all")),
    ...section("Running", jobs.filter((job) => job.state === "running"), running),
    ...section("Waiting", live.waiting(), waiting),
    ...section("Over", over, ended));
  if (!jobs.length) place.append(make("p.history-empty", {}, "The queue is empty."));
  if (focus[0]) {
    /** @type {HTMLElement | null} */
    const again = place.querySelector(`[data-id="${CSS.escape(focus[0])}"] [aria-label="${CSS.escape(focus[1] ?? "")}"]`);
    again?.focus();
  }
}

command("jobs.edit", (tab, place, masked) => {
  beforeFilling(tab);
  openTab(tab);
  if (place) openSubTab(picked?.masked ? masked : place);
  return [picked?.id ?? ""];
});

when(".gesso-jobs", (element) => {
  place = element;
  element.addEventListener("pointerdown", () => (held = true));
  for (const end of ["pointerup", "pointercancel"]) {
    addEventListener(end, () => setTimeout(() => {
      held = false;
      draw();
    }));
  }
  element.addEventListener("dragstart", (event) => {
    dragged = around(event, "li[draggable]")?.dataset.id ?? "";
    if (event.dataTransfer) event.dataTransfer.effectAllowed = "move";
  });
  element.addEventListener("dragover", (event) => {
    if (dragged && around(event, "li.queued")) event.preventDefault();
  });
  element.addEventListener("drop", (event) => {
    const id = around(event, "li.queued")?.dataset.id;
    const at = mine().findIndex((job) => job.id === id);
    if (dragged && id && id !== dragged && at >= 0) {
      event.preventDefault();
      move(dragged, at);
    }
  });
  element.addEventListener("dragend", () => {
    dragged = "";
    draw();
  });
  new IntersectionObserver(draw).observe(element);
  draw();
});

/** @type {ReturnType<typeof setTimeout> | undefined} */
let due;
live.read((what, message) => {
  if (what === "state") Object.assign(flow, { paused: Boolean(message.paused), forever: message.forever ?? "" });
  else if (what === "queue") flow.paused = Boolean(message.paused);
  else if (what === "forever") flow.forever = message.job_id;
  if (due) return;
  due = setTimeout(() => {
    due = undefined;
    draw();
  }, 120);
});
