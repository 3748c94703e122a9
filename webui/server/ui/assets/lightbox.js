// @ts-check
// The picture over the whole window: arrows, zoom by wheel or double click, drag, save, Esc.
import { iconButton, make } from "./dom.js";
import { save } from "./downloads.js";
import { url } from "./server.js";

/** @import { Picture } from "./stream.js" */

/**
 * What shows pictures, one of which is looked at.
 * @template {Picture} [P=Picture]
 * @typedef {object} View
 * @property {string} tab
 * @property {readonly P[]} pictures
 * @property {number} index
 * @property {P | undefined} current
 * @property {(index: number) => void} pick
 * @property {(picture: P) => string} described
 * @property {(picture: P) => string} [fault] why it cannot be shown, or ""
 * @property {() => void} update
 */

/** @type {View<any> | null} */
let view = null;
let shown = "";
/** @type {Element | null} */
let before = null;
let scale = 1;
let x = 0;
let y = 0;
/** @type {Map<number, PointerEvent>} */
const pointers = new Map();
let dragged = false;

const image = make("img", { alt: "", draggable: "false" });
const fault = make("p.lightbox-fault", { hidden: true });
const counter = make("span.counter", { "aria-live": "polite" });
/** @type {HTMLElement | null} */
let box = null;

/** Over the page from the first time on that it is wanted. */
function frame() {
  if (box) return box;
  const made = box = make("div", { id: "lightbox", role: "dialog", "aria-modal": "true", "aria-label": "Picture, enlarged", tabindex: "-1" },
    image,
    fault,
    make("div.lightbox-bar", {},
      counter,
      iconButton("zoom", "Actual size (z)", actual),
      iconButton("save", "Save (s)", () => save(view?.current)),
      iconButton("close", "Close (Esc)", close)),
    make("button.side.prev.glyph-left", { type: "button", title: "Previous (←)", "aria-label": "Previous", onclick: () => step(-1) }),
    make("button.side.next.glyph-right", { type: "button", title: "Next (→)", "aria-label": "Next", onclick: () => step(1) }));
  made.addEventListener("click", (event) => {
    if (event.target === made || (event.target === image && scale === 1 && !dragged)) close();
  });
  made.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoomAt(event.clientX, event.clientY, Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.0015)));
  }, { passive: false });
  image.addEventListener("error", () => say("The picture cannot be shown."));
  image.addEventListener("pointerdown", (event) => {
    dragged = false;
    pointers.set(event.pointerId, event);
    image.setPointerCapture(event.pointerId);
  });
  image.addEventListener("pointermove", (event) => {
    const last = pointers.get(event.pointerId);
    if (!last) return;
    if (pointers.size === 2) {
      const other = [...pointers.values()].find((pointer) => pointer.pointerId !== event.pointerId) ?? last;
      const gap = (/** @type {PointerEvent} */ pointer) => Math.hypot(pointer.clientX - other.clientX, pointer.clientY - other.clientY);
      zoomAt((event.clientX + other.clientX) / 2, (event.clientY + other.clientY) / 2, gap(event) / Math.max(gap(last), 1));
      dragged = true;
    } else if (scale > 1) {
      x += event.clientX - last.clientX;
      y += event.clientY - last.clientY;
      dragged = true;
      place();
    } else if (Math.abs(event.clientX - last.clientX) > 60 && event.pointerType !== "mouse") {
      step(event.clientX < last.clientX ? 1 : -1);
      dragged = true;
      pointers.clear();
      return;
    } else return;
    pointers.set(event.pointerId, event);
  });
  for (const end of /** @type {const} */ (["pointerup", "pointercancel"])) {
    image.addEventListener(end, (event) => pointers.delete(event.pointerId));
  }
  document.body.append(made);
  return made;
}

function place() {
  image.style.transform = scale === 1 ? "" : `translate(${x}px, ${y}px) scale(${scale})`;
  frame().classList.toggle("zoomed", scale !== 1);
}

/**
 * @param {number} px
 * @param {number} py
 * @param {number} factor
 */
function zoomAt(px, py, factor) {
  const next = Math.min(Math.max(scale * factor, 1), 24);
  const cx = px - innerWidth / 2;
  const cy = py - innerHeight / 2;
  x = cx - ((cx - x) * next) / scale;
  y = cy - ((cy - y) * next) / scale;
  scale = next;
  if (scale === 1) x = y = 0;
  place();
}

function actual() {
  if (scale !== 1) {
    reset();
    return;
  }
  const factor = image.naturalWidth / (image.clientWidth || 1) / devicePixelRatio;
  zoomAt(innerWidth / 2, innerHeight / 2, factor > 1.05 ? factor : 2);
}

function reset() {
  scale = 1;
  x = y = 0;
  place();
}

/** @param {number} by */
function step(by) {
  view?.pick(view.index + by);
}

/**
 * In place of the picture.
 * @param {string} words "" where it can be seen
 */
function say(words) {
  fault.textContent = words;
  fault.hidden = !words;
  image.hidden = Boolean(words);
}

function draw() {
  const picture = view?.current;
  if (!view || !picture) {
    close();
    return;
  }
  const told = view.fault?.(picture) ?? "";
  const now = JSON.stringify([picture.id, told]);
  if (now !== shown) {
    shown = now;
    reset();
    say(told);
    if (told) image.removeAttribute("src");
    else image.src = url(picture.url);
    image.alt = told ? "" : view.described(picture);
  }
  const many = view.pictures.length > 1;
  counter.textContent = many ? `${Math.min(view.index, view.pictures.length - 1) + 1} / ${view.pictures.length}` : "";
  for (const side of frame().querySelectorAll("button.side")) /** @type {HTMLElement} */ (side).hidden = !many;
}

function close() {
  if (!view) return;
  view = null;
  shown = "";
  frame().classList.remove("open");
  document.documentElement.classList.remove("lightbox-open");
  if (before instanceof HTMLElement) before.focus({ preventScroll: true });
}

/** @param {View<any>} from */
export function open(from) {
  const box = frame();
  before = document.activeElement;
  view = from;
  box.classList.add("open");
  document.documentElement.classList.add("lightbox-open");
  draw();
  box.focus({ preventScroll: true });
}

/**
 * Shows what a view shows now, where it is the one that is looked at.
 * @param {View<any>} changed
 */
export function follow(changed) {
  if (view === changed) draw();
}

export const isOpen = () => view !== null;

document.addEventListener("keydown", (event) => {
  if (!view || event.ctrlKey || event.metaKey || event.altKey) return;
  /** @type {Record<string, () => unknown>} */
  const acts = {
    Escape: close,
    ArrowLeft: () => step(-1),
    ArrowRight: () => step(1),
    z: actual,
    s: () => save(view?.current),
    "+": () => zoomAt(innerWidth / 2, innerHeight / 2, 1.4),
    "-": () => zoomAt(innerWidth / 2, innerHeight / 2, 1 / 1.4),
  };
  const act = acts[event.key];
  if (!act) return;
  event.preventDefault();
  event.stopPropagation();
  act();
}, true);
