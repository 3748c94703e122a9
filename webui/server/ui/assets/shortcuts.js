// @ts-check
// Ctrl+Enter and, in a prompt, Shift+Enter generate, Alt+Enter skips, Esc closes what is open, else interrupts what runs.
import { generate, interrupt, skip } from "./buttons.js";
import { byId } from "./dom.js";
import { facts } from "./facts.js";
import * as lightbox from "./lightbox.js";
import * as live from "./live.js";
import { post } from "./server.js";
import { closeDialog } from "./styles.js";
import { openedTab } from "./tabs.js";

/** @import { Job } from "./stream.js" */

/** @type {Map<string, {job: string, waited: Set<string>}>} By tab: the job that was interrupted to begin anew, and the jobs that waited then. */
const begun = new Map();

/**
 * Interrupts what this tab makes, and generates. Pressed again before that is over, the newest press counts alone.
 * @param {string} tab
 * @param {Job} running
 */
function beginAnew(tab, running) {
  const waiting = live.of(tab).filter((job) => job.state === "queued");
  const earlier = begun.get(tab);
  if (earlier?.job === running.id) {
    for (const job of waiting.filter(({ id }) => !earlier.waited.has(id))) post(`internal/jobs/${job.id}/cancel`);
  } else {
    begun.set(tab, { job: running.id, waited: new Set(waiting.map(({ id }) => id)) });
  }
  interrupt(tab);
  generate(tab);
}

document.addEventListener("keydown", (event) => {
  const tab = openedTab();
  const works = Boolean(byId(`${tab}_generate`));
  if (event.isComposing) return;
  const inPrompt = event.target instanceof HTMLTextAreaElement && Boolean(event.target.closest(".prompt"));
  const command = event.ctrlKey || event.metaKey;
  if (event.key === "Enter" && works && (command || (event.shiftKey && inPrompt && !event.altKey))) {
    event.preventDefault();
    event.stopPropagation();
    // What was just typed into a number box counts only once the box is left.
    const active = document.activeElement;
    if (active instanceof HTMLInputElement) active.blur();
    setTimeout(() => {
      const running = live.running(tab);
      if (command && running && facts.begins_anew) beginAnew(tab, running);
      else generate(tab);
    });
  } else if (event.key === "Enter" && works && event.altKey) {
    event.preventDefault();
    skip(tab);
  } else if (event.key === "Escape" && !event.defaultPrevented && !lightbox.isOpen()) {
    if (closeDialog()) return;
    if (document.activeElement?.getAttribute("aria-expanded") === "true") return;
    if (works && live.running(tab)) interrupt(tab);
  }
}, true);
