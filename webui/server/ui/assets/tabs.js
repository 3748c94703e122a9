// @ts-check
// The page's tabs, and the sub-tabs within them.
import { byId } from "./dom.js";
import { facts } from "./facts.js";
import { words } from "./words.js";

/**
 * The line that stands for a tab in the menu of its bar, which keeps those without room: such lines have no ids.
 * @param {string} id
 * @returns {HTMLElement | undefined}
 */
function menuLine(id) {
  const { bar, title = "" } = facts.tabs[id] ?? {};
  if (!bar) return undefined;
  const titles = [title, words(title)];
  /** @type {NodeListOf<HTMLElement>} */
  const lines = document.querySelectorAll(`#${bar} > .tab-wrapper .overflow-dropdown button`);
  return [...lines].find((line) => titles.includes(line.textContent.trim()));
}

/**
 * @param {string} id
 * @returns {boolean} Whether it is there.
 */
function press(id) {
  const button = byId(`${id}-button`) ?? menuLine(id);
  button?.click();
  return Boolean(button);
}

/** @param {string} tab */
export function openTab(tab) {
  press(`tab_${tab}`);
}

/**
 * Opens a sub-tab, which may be built in a moment.
 * @param {string} id
 * @param {number} tries
 */
export function openSubTab(id, tries = 40) {
  if (!press(id) && tries) setTimeout(() => openSubTab(id, tries - 1), 50);
}

/** The name of the tab that is open: "txt2img". */
export const openedTab = () =>
  [...document.querySelectorAll("#tabs > .tabitem[id^=tab_]")].find((panel) => panel.checkVisibility())
    ?.id.replace("tab_", "") ?? "";

/**
 * The open sub-tab of a bar.
 * @param {string} bar
 */
const openedIn = (bar) => Object.keys(facts.tabs).filter((id) => facts.tabs[id]?.bar === bar).find((id) =>
  byId(`${id}-button`)?.getAttribute("aria-selected") === "true" || menuLine(id)?.classList.contains("selected"));

/** The open sub-tab of img2img: "img2img", "sketch", "inpaint", "inpaint_sketch", "inpaint_upload", "batch". */
export const openedMode = () => openedIn("mode_img2img")?.replace("mode_img2img_", "") ?? "img2img";

/**
 * The number of the unit that is open, of a feature that has several.
 * @param {string} bar
 */
export const openedUnit = (bar) => openedIn(bar)?.match(/_(\d+)_tab$/)?.[1] ?? "0";
