// @ts-check
// What the editors of a ControlNet unit's picture have in common: their buttons below it, and how they give it one.
import { field, make } from "./dom.js";

/**
 * Sets the unit's preprocessor to none: the picture that it gets is a map already.
 * @param {string} unit
 */
export async function withoutPreprocessor(unit) {
  const module = field(`${unit}_module`);
  if (!module || module.value === "none") return;
  module.focus();
  for (let tries = 0; tries < 40; tries += 1) {
    const option = [...document.querySelectorAll("[role=option]")].find((each) => each.getAttribute("aria-label") === "none");
    if (option) {
      option.dispatchEvent(new MouseEvent("mousedown", { bubbles: true }));
      break;
    }
    await new Promise((done) => setTimeout(done, 25));
  }
  module.blur();
}

/**
 * Puts a file into the unit's picture, as if somebody had chosen it.
 * @param {string} unit
 * @param {File} file
 */
export function give(unit, file) {
  /** @type {HTMLInputElement | null} */
  const input = document.querySelector(`#${CSS.escape(unit)}_image input[type=file]`);
  if (!input) throw new Error("Remove the unit's picture first.");
  const files = new DataTransfer();
  files.items.add(file);
  input.files = files.files;
  input.dispatchEvent(new Event("change", { bubbles: true }));
}

/**
 * The row of buttons below a unit's picture and its map.
 * @param {HTMLElement} map
 * @returns {HTMLElement}
 */
export function buttonsBelow(map) {
  const pictures = map.parentElement;
  const there = pictures?.nextElementSibling;
  if (there instanceof HTMLElement && there.classList.contains("unit-buttons")) return there;
  const row = make("div.unit-buttons");
  pictures?.after(row);
  return row;
}
