// @ts-check
// The page's tabs, and the sub-tabs within them.
import { byId } from "./dom.js";
import { facts } from "./facts.js";

/** @param {string} tab */
export function openTab(tab) {
  const button = byId(`tab_${tab}-button`);
  if (button) {
    button.click();
    return;
  }
  // A narrow window keeps it in a menu, whose lines have no ids.
  const name = facts.tabs[`tab_${tab}`];
  /** @type {NodeListOf<HTMLElement>} */
  const lines = document.querySelectorAll("#tabs > .tab-wrapper .overflow-dropdown button");
  [...lines].find((line) => line.textContent.trim() === name)?.click();
}

/**
 * Opens a sub-tab, which may be built in a moment.
 * @param {string} id
 * @param {number} tries
 */
export function openSubTab(id, tries = 40) {
  const button = byId(`${id}-button`);
  if (button) button.click();
  else if (tries) setTimeout(() => openSubTab(id, tries - 1), 50);
}

/** The name of the tab that is open: "txt2img". */
export const openedTab = () =>
  [...document.querySelectorAll("#tabs > .tabitem[id^=tab_]")].find((panel) => panel.checkVisibility())
    ?.id.replace("tab_", "") ?? "";

/** The open sub-tab of img2img: "img2img", "sketch", "inpaint", "inpaint_sketch", "inpaint_upload", "batch". */
export const openedMode = () =>
  document.querySelector("#mode_img2img button[role=tab][aria-selected=true]")?.id
    .replace(/^mode_img2img_|-button$/g, "") || "img2img";
