// @ts-check
// In the prompt boxes: token counters, weights by Ctrl+Up/Down, order by Alt+Left/Right, infotext dropped as a file.
import { command } from "./commands.js";
import { apply } from "./desk/edit.js";
import { byId, make, when } from "./dom.js";
import { facts } from "./facts.js";
import { fill } from "./forms.js";
import * as live from "./live.js";
import { changedWeight, movedPieces, unbalanced } from "./prompttext.js";
import { say } from "./say.js";
import { post, told, url } from "./server.js";

/** @typedef {{text: string, styles: string[]}} Wanted */

const WAIT = 350; // milliseconds after the last key
const LONGEST_FILE = 10000; // bytes of a text
const TITLE = "Tokens used / available";
/** @type {Map<string, ReturnType<typeof setTimeout>>} */
const timers = new Map();
/** @type {Map<string, Wanted>} By prompt: its text and the styles that were chosen with it. */
const latest = new Map();

when(".prompt", (box) => {
  const counter = make("span.tokens", { id: `${box.id}_tokens`, title: TITLE }, "0/75");
  counter.hidden = !facts.counters;
  box.append(counter);
  const area = box.querySelector("textarea");
  if (area) countSoon(box.id, area.value);
});

/**
 * Asks for the number of tokens of a prompt, with its styles, when typing has paused.
 * @param {string} id
 * @param {string | null} text
 * @param {string[] | null} [styles]
 */
function countSoon(id, text, styles) {
  byId(id)?.dispatchEvent(new Event("gesso:text"));
  const wanted = { text: text ?? "", styles: styles ?? latest.get(id)?.styles ?? [] };
  latest.set(id, wanted);
  clearTimeout(timers.get(id));
  if (facts.counters) timers.set(id, setTimeout(() => count(id, wanted), WAIT));
}
command("count", countSoon);

// Whoever changes these settings sees it at once, wherever it was done.
let shown = "";
live.read((what) => {
  if (what !== "page" && what !== "state") return;
  const now = `${facts.counters} ${facts.styles_count}`;
  if (now === shown) return;
  shown = now;
  /** @type {NodeListOf<HTMLElement>} */
  const counters = document.querySelectorAll(".prompt .tokens");
  for (const counter of counters) counter.hidden = !facts.counters;
  for (const [id, { text, styles }] of latest) countSoon(id, text, styles);
});

/**
 * @param {string} id
 * @param {Wanted} wanted
 */
async function count(id, wanted) {
  const counter = byId(`${id}_tokens`);
  if (!counter) return;
  const { text } = wanted;
  const styles = facts.styles_count ? wanted.styles : [];
  const open = unbalanced(text);
  counter.classList.toggle("bad", Boolean(open));
  counter.title = open || TITLE;
  if (!text.trim() && !styles.length) {
    counter.textContent = "0/75";
    return;
  }
  const query = new URLSearchParams({ text: text.slice(0, 8000), positive: String(!id.includes("negative")) });
  for (const style of styles) query.append("styles", style);
  try {
    const answer = await fetch(url(`internal/tokens?${query}`));
    if (!answer.ok || latest.get(id) !== wanted) return;
    const { used, max } = await answer.json();
    counter.textContent = `${used}/${max}`;
  } catch {
    // No connection: the counter waits for the next key.
  }
}

document.addEventListener("keydown", (event) => {
  const area = event.target;
  if (!(area instanceof HTMLTextAreaElement) || !area.closest("[id$=prompt]")) return;
  const command = event.ctrlKey || event.metaKey;
  /** @type {[number, number]} */
  const selection = [area.selectionStart, area.selectionEnd];
  if (command && !event.altKey && (event.key === "ArrowUp" || event.key === "ArrowDown")) {
    event.preventDefault();
    const sign = event.key === "ArrowUp" ? 1 : -1;
    apply(area, changedWeight(area.value, selection, sign * facts.precision, sign * facts.precision_extra, facts.delimiters));
  } else if (facts.moves && event.altKey && !command && (event.key === "ArrowLeft" || event.key === "ArrowRight")) {
    event.preventDefault();
    apply(area, movedPieces(area.value, selection, event.key === "ArrowLeft" ? -1 : 1));
  }
});

// A picture or a text file dropped or pasted on a prompt: its infotext fills the form.
when(".prompt textarea", (area) => {
  const tab = area.closest("[id$=_prompt]")?.id.replace(/_(negative_)?prompt$/, "") ?? "";
  area.addEventListener("dragover", (event) => {
    if (event.dataTransfer?.types.includes("Files")) event.preventDefault();
  });
  area.addEventListener("drop", (event) => take(event, event.dataTransfer?.files[0]));
  area.addEventListener("paste", (event) => take(event, event.clipboardData?.files[0]));

  /**
   * @param {Event} event
   * @param {File | undefined} file
   */
  async function take(event, file) {
    if (!file) return;
    event.preventDefault();
    event.stopPropagation();
    const text = await readFile(file);
    if (text) fill(tab, text);
    else say("No generation parameters were found in this file.");
  }
});

/**
 * What a file says of how its picture was made; the server reads all that it can read of saved pictures.
 * @param {File} file
 * @returns {Promise<string>}
 */
async function readFile(file) {
  if (file.type === "text/plain") return file.size < LONGEST_FILE ? file.text() : "";
  const image = await new Promise((done) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result);
    reader.onerror = () => done("");
    reader.readAsDataURL(file);
  });
  const answer = await post("sdapi/v1/png-info", { image });
  return answer.ok ? (await told(answer)).info ?? "" : "";
}
