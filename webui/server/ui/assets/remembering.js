// @ts-check
// What stands in the forms outlives the page. A while after the last change of a form the server keeps it; a page that
// comes shows what was kept, with the tabs that were open. Whatever fills a form can be undone.
import { command } from "./commands.js";
import { byId, iconButton, when } from "./dom.js";
import { facts } from "./facts.js";
import { say } from "./say.js";
import { settled, settling, whenSettled } from "./settled.js";
import { openSubTab, openTab, openedMode, openedTab } from "./tabs.js";

/** @typedef {"now" | "before" | "built" | `preset=${string}`} Slot */

const QUIET_MS = 1200;
const OPENED = "gesso_opened";
const KEPT = "gesso_kept";
const CHANGES = /** @type {const} */ (["input", "change", "drop", "paste", "click"]);

/**
 * A name of this browser, or of this page of it, that stays.
 * @param {Storage} storage
 * @param {string} key
 */
function name(storage, key) {
  const given = storage.getItem(key);
  if (given && /^[0-9a-f]{32}$/.test(given)) return given;
  const made = [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  storage.setItem(key, made);
  return made;
}
/** This browser and this page of it, as the server knows them. */
export const place = `${name(localStorage, "gesso_browser")}/${name(sessionStorage, "gesso_page")}`;

/** @type {Set<string>} Forms that show what was kept: from now on their changes are kept. */
const ready = new Set();
/** @type {Map<string, Slot[]>} What the presses of each button are for, in their order. */
const meant = new Map();
/** @type {Map<string, ReturnType<typeof setTimeout>>} */
const timers = new Map();

/**
 * @param {string} kind
 * @param {"keep" | "recall"} what
 * @param {Slot} slot
 */
function press(kind, what, slot) {
  const id = `${kind}_${what}`;
  const button = byId(id);
  if (!button) return;
  meant.set(id, [...(meant.get(id) ?? []), slot]);
  button.click();
}

/**
 * @param {string} kind
 * @param {Slot} slot
 */
function keep(kind, slot = "now") {
  clearTimeout(timers.get(kind));
  timers.delete(kind);
  if (!facts.remembers || !ready.has(kind)) return;
  if (slot === "now") localStorage.setItem(KEPT, [...new Set([...kinds(), kind])].join(" "));
  press(kind, "keep", slot);
}

/** The forms that this browser had something kept of. */
const kinds = () => (localStorage.getItem(KEPT) ?? "").split(" ").filter(Boolean);

/** Whether something is still to be kept. */
export const isWaiting = () => timers.size > 0 || [...meant.values()].some((slots) => slots.length);

/** @param {string} kind */
function touched(kind) {
  clearTimeout(timers.get(kind));
  timers.set(kind, setTimeout(() => keep(kind), QUIET_MS));
}

/**
 * @param {string} kind
 * @param {Slot} slot
 */
function recall(kind, slot) {
  settling();
  press(kind, "recall", slot);
}

/**
 * Something is about to fill a form: what stands there now can be brought back.
 * @param {string} kind
 * @param {string} said
 */
export function beforeFilling(kind, said = `${kind} was filled.`) {
  if (!facts.remembers || !ready.has(kind)) return;
  keep(kind, "before");
  say(said, "note", ["Undo", () => recall(kind, "before")]);
  touched(kind);
}

/**
 * Fills a form with a preset's values.
 * @param {string} kind
 * @param {string} preset
 */
export function apply(kind, preset) {
  beforeFilling(kind, "The preset was filled in.");
  recall(kind, `preset=${encodeURIComponent(preset)}`);
}

/**
 * Keeps what stands in a form, and waits a little until the server has it.
 * @param {string} kind
 */
export async function keepNow(kind) {
  keep(kind);
  await new Promise((wake) => setTimeout(wake, 500));
}

// The server is told what for, and for whom; the values of the form follow.
command("remembering.asked", (id, _told, ...values) => [`${meant.get(id)?.shift() ?? ""} ${place}`, ...values]);
command("remembering.recalled", (kind) => {
  ready.add(kind);
  settled();
  touched(kind);
});

for (const kind of facts.forms) {
  when(`#tab_${kind}`, (panel) => {
    for (const change of CHANGES) {
      panel.addEventListener(change, (event) => {
        const at = event.target;
        if (!(at instanceof Element) || at.closest(".results")) return;
        if (change !== "click" || at.closest("button, label, .region-frame")) touched(kind);
      }, true);
    }
  });
  when(`#${kind}_clear_prompt`, (clear) => clear.after(iconButton("undo", "Reset the form to its defaults", () => {
    beforeFilling(kind, "The form was reset.");
    recall(kind, "built");
  })));
}

// What is under way when the page goes.
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "hidden") for (const kind of [...timers.keys()]) keep(kind);
});

// --- tabs ---

document.addEventListener("click", (event) => {
  if (!(event.target instanceof Element) || !event.target.closest("[role=tab], .overflow-dropdown")) return;
  setTimeout(() => sessionStorage.setItem(OPENED, `${openedTab()} ${openedMode()}`));
}, true);

function openTabs() {
  const [tab = "", mode = ""] = (sessionStorage.getItem(OPENED) ?? "").split(" ");
  if (tab && tab !== openedTab()) openTab(tab);
  if (tab === "img2img" && mode && mode !== openedMode()) openSubTab(`mode_img2img_${mode}`);
}

// --- a page that comes ---

when("#txt2img_generate", async () => {
  await whenSettled();
  if (facts.remembers) {
    openTabs();
    for (const kind of facts.forms) {
      if (facts.logins || kinds().includes(kind)) recall(kind, "now");
      else ready.add(kind);
    }
    await whenSettled();
  }
  facts.forms.forEach((kind) => ready.add(kind));
  document.documentElement.classList.add("remembered");
});
