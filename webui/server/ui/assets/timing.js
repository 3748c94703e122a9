// @ts-check
// How long a job took, and what it took of a GPU's memory, in words: knows nothing of a browser.

/** @import { Job } from "./stream.js" */

const GIB = 2 ** 30;

/**
 * @param {number} seconds
 */
export function lasted(seconds) {
  const whole = Math.max(seconds, 0);
  if (whole < 60) return `${whole.toFixed(1)} sec.`;
  const minutes = Math.floor(whole / 60);
  const rest = `${(whole - minutes * 60).toFixed(1)} sec.`;
  return minutes < 60 ? `${minutes} min. ${rest}` : `${Math.floor(minutes / 60)} h. ${minutes % 60} min. ${rest}`;
}

/**
 * What a job that is over says of itself: words, each with what it means.
 * @param {Pick<Job, "state" | "started" | "finished" | "memory">} job
 * @returns {{text: string, title: string}[]}
 */
export function taken({ state, started, finished, memory }) {
  if (state === "queued" || state === "running" || started == null || finished == null) return [];
  const said = [{ text: `Time taken: ${lasted(finished - started)}`, title: "From its start to its end" }];
  if (!memory) return said;
  const size = (/** @type {number} */ bytes) => (bytes / GIB).toFixed(2);
  const share = memory.total ? ` (${((memory.used / memory.total) * 100).toFixed(1)}%)` : "";
  return [...said,
    { text: `A: ${size(memory.active)} GB`, title: "Active: the most GPU memory that held something while it was made" },
    { text: `R: ${size(memory.reserved)} GB`, title: "Reserved: the most GPU memory that Gesso had taken from the system" },
    { text: `Sys: ${size(memory.used)}/${size(memory.total)} GB${share}`, title: "System: the most GPU memory in use by all programs, of all there is" }];
}
