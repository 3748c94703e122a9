// @ts-check
// A menu at a button: by a right click, a long press, or the keyboard's menu key.
import { make } from "./dom.js";

const LONG_PRESS = 550; // ms

/** @typedef {[name: string, act: () => unknown]} Line */

/** @type {HTMLElement | null} */
let open = null;
/** @type {Element | null} */
let before = null;

function close() {
  open?.remove();
  open = null;
  if (before instanceof HTMLElement) before.focus({ preventScroll: true });
  before = null;
}

/**
 * @param {number} x
 * @param {number} y
 * @param {Line[]} lines
 * @param {string} name
 */
function show(x, y, lines, name) {
  close();
  before = document.activeElement;
  const box = open = make("div.menu", { role: "menu", "aria-label": name }, ...lines.map(([text, act]) =>
    make("button", { type: "button", role: "menuitem", onclick: () => {
      close();
      act();
    } }, text)));
  document.body.append(box);
  const { width, height } = box.getBoundingClientRect();
  box.style.left = `${Math.max(4, Math.min(x, innerWidth - width - 4))}px`;
  box.style.top = `${Math.max(4, Math.min(y, innerHeight - height - 4))}px`;
  box.querySelector("button")?.focus({ preventScroll: true });
}

document.addEventListener("keydown", (event) => {
  if (!open) return;
  const stops = [...open.querySelectorAll("button")];
  const at = stops.indexOf(/** @type {HTMLButtonElement} */ (document.activeElement));
  if (event.key === "Escape" || event.key === "Tab") close();
  else if (event.key === "ArrowDown") stops[(at + 1) % stops.length]?.focus();
  else if (event.key === "ArrowUp") stops[(at - 1 + stops.length) % stops.length]?.focus();
  else return;
  event.preventDefault();
  event.stopPropagation();
}, true);
addEventListener("pointerdown", (event) => {
  if (open && !(event.target instanceof Node && open.contains(event.target))) close();
}, true);
addEventListener("blur", close);
addEventListener("resize", close);

/**
 * Gives a button a menu. A long press does not press the button.
 * @param {HTMLElement} button
 * @param {() => Line[]} lines What it offers now.
 */
export function menuAt(button, lines) {
  const name = button.textContent.trim();
  let held = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  button.setAttribute("aria-haspopup", "menu");
  button.addEventListener("contextmenu", (event) => {
    event.preventDefault();
    if (held) return; // The long press has opened it already.
    const box = button.getBoundingClientRect();
    const byKey = !event.clientX && !event.clientY;
    show(byKey ? box.left : event.clientX, byKey ? box.bottom : event.clientY, lines(), name);
  });
  button.addEventListener("pointerdown", (event) => {
    held = false;
    clearTimeout(timer);
    if (event.pointerType === "mouse") return;
    timer = setTimeout(() => {
      held = true;
      show(event.clientX, event.clientY, lines(), name);
    }, LONG_PRESS);
  });
  for (const end of /** @type {const} */ (["pointerup", "pointercancel", "pointerleave"])) {
    button.addEventListener(end, () => clearTimeout(timer));
  }
  button.addEventListener("click", (event) => {
    if (!held) return;
    held = false;
    event.preventDefault();
    event.stopImmediatePropagation();
  }, true);
}
