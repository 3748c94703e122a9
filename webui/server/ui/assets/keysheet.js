// @ts-check
// All keys of the page on one sheet: "?" opens it, and so does the button beside dark and light.
import { iconButton, make, when } from "./dom.js";

/** @type {Record<string, [keys: string, what: string][]>} */
const KEYS = {
  "Anywhere": [
    ["Ctrl+Enter", "Generate; while a picture is being made, interrupt it and begin again"],
    ["Alt+Enter", "Skip to the next picture"],
    ["Esc", "Close what is open; otherwise interrupt"],
    ["?", "Show these keys"],
  ],
  "In a prompt": [
    ["Shift+Enter", "Generate"],
    ["Ctrl+↑ / Ctrl+↓", "Change the weight of the selected words"],
    ["Alt+← / Alt+→", "Move the part between two commas"],
    ["Ctrl+/", "Make the line a comment, or text again"],
    ["Tab", "Take the first completion; the arrow keys choose, Esc closes"],
  ],
  "On the results": [
    ["← / →", "Previous or next picture"],
    ["Enter", "View it full screen"],
  ],
  "On Generate": [
    ["Shift+F10", "Menu: generate forever (also a right click or a long press)"],
  ],
  "Full screen": [
    ["← / →", "Previous or next picture"],
    ["Z", "Actual size"],
    ["+ / −", "Zoom in or out"],
    ["T", "Repeat the picture like a tile"],
    ["L", "Show the live preview"],
    ["S", "Save"],
    ["Esc", "Close"],
  ],
  "On a canvas": [
    ["B / E", "Brush or eraser"],
    ["L / U", "Lasso or rectangle, to fill or to select (Shift adds, Alt takes away)"],
    ["G / D", "Fill or gradient"],
    ["N / T", "Line or text"],
    ["I / Alt", "Take a color from the picture"],
    ["Q / W", "Smaller or larger brush (also Ctrl+wheel)"],
    ["Alt+wheel", "Zoom (also + and −)"],
    ["F / Space", "Hold to move the picture"],
    ["R / 1", "Fit the picture, or actual size"],
    ["S", "Fill the window"],
    ["Y", "Layers"],
    ["Delete", "Clear the layer, or what is selected"],
    ["Ctrl+D", "Select nothing"],
    ["Ctrl+Z / Ctrl+Y", "Undo or redo"],
  ],
  "In History": [
    ["← / →", "Previous or next picture"],
    ["Delete", "Delete it"],
  ],
};

function show() {
  const name = "Keyboard shortcuts";
  /** @type {HTMLDialogElement} */
  const dialog = make("dialog.unit-dialog.key-sheet", { "aria-label": name, onclose: () => dialog.remove() },
    make("header", {}, make("h2", {}, name), iconButton("close", "Close", () => dialog.close())),
    ...Object.entries(KEYS).map(([where, keys]) => make("section", {},
      make("h3", {}, where),
      make("dl", {}, ...keys.flatMap(([key, what]) => [
        make("dt", {}, ...key.split(/( \/ |\+(?=.))/).map((part) => (/^( \/ |\+)$/.test(part) ? part : make("kbd", {}, part)))),
        make("dd", {}, what)])))));
  document.body.append(dialog);
  dialog.showModal();
}

when("#theme_toggle", (toggle) => toggle.before(iconButton("help", "Keyboard shortcuts (?)", show)));

document.addEventListener("keydown", (event) => {
  if (event.key !== "?" || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  const at = event.target;
  if (at instanceof HTMLElement && (at.isContentEditable || at.matches("textarea, select, input:not([type=checkbox], [type=radio], [type=range])"))) return;
  if (document.querySelector("dialog[open]")) return;
  event.preventDefault();
  show();
});
