// @ts-check
// The dialog of saved styles: opens over the page, closes by Esc, its button, or a click beside it.
import { command } from "./commands.js";
import { byId, when } from "./dom.js";

/** @type {Element | null} */
let before = null;
const dialog = () => byId("styles_dialog");

command("openStyles", (kind) => {
  const box = dialog();
  if (!box) return;
  before = document.activeElement;
  box.dataset.kind = kind;
  box.classList.add("open");
  enter(box);
});

/** @param {HTMLElement} box */
function enter(box) {
  /** @type {HTMLElement | null} */
  const first = box.querySelector("input, textarea");
  first?.focus();
}
when("#styles_name input", () => {
  const box = dialog(); // built when it is first opened
  if (box?.classList.contains("open")) enter(box);
});

/** Closes the dialog -> whether one was open. */
export function closeDialog() {
  const box = dialog();
  if (!box?.classList.contains("open")) return false;
  box.classList.remove("open");
  if (before instanceof HTMLElement) before.focus();
  return true;
}

when("#styles_dialog", (box) => {
  box.setAttribute("role", "dialog");
  box.setAttribute("aria-modal", "true");
  box.setAttribute("aria-labelledby", "styles_title");
  box.addEventListener("mousedown", (event) => {
    if (event.target === box) closeDialog();
  });
  box.addEventListener("keydown", (event) => {
    if (event.key !== "Tab") return;
    /** @type {NodeListOf<HTMLElement>} */
    const all = box.querySelectorAll("input, textarea, button");
    const stops = [...all].filter((stop) => stop.offsetParent);
    const [edge, other] = event.shiftKey ? [stops[0], stops.at(-1)] : [stops.at(-1), stops[0]];
    if (document.activeElement === edge) {
      event.preventDefault();
      other?.focus();
    }
  });
});
when("#styles_close", (button) => button.addEventListener("click", closeDialog));
