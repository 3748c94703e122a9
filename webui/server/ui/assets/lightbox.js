// @ts-check
// The picture over the whole window: arrows, zoom by wheel or double click, drag, tiles, live preview, gamepad, save, Esc.
import { iconButton, make } from "./dom.js";
import { save } from "./downloads.js";
import { facts } from "./facts.js";
import { leaning } from "./geometry.js";
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
 * @property {string} [preview] The address of the latest look at what is being made; "": there is none now.
 * @property {() => unknown} [save] Saves what the settings say.
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
let tiled = false;
/** @type {boolean | undefined} Whether previews are shown; undefined: as the settings say. */
let watches;
const LIVE = "live";
let turned = 0; // when a wheel or a stick went on to another picture

const tiles = make("div.lightbox-tiles", { hidden: true, "aria-hidden": "true" });
const tileButton = iconButton("tiles", "Repeat the picture like a tile (t)", () => tile(!tiled));
const liveButton = iconButton("play", "Show the live preview (l)", () => watch(!isWatching()));
const SLIDE = 4000; // milliseconds of each picture
/** @type {ReturnType<typeof setInterval> | undefined} */
let sliding;
const slideButton = iconButton("forever", "Slideshow (p)", () => slide(!sliding));
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
    tiles,
    fault,
    make("div.lightbox-bar", {},
      counter,
      iconButton("zoom", "Actual size (z)", actual),
      tileButton,
      liveButton,
      slideButton,
      iconButton("save", "Save (s)", keep),
      iconButton("close", "Close (Esc)", close)),
    make("button.side.prev.glyph-left", { type: "button", title: "Previous (←)", "aria-label": "Previous", onclick: () => move(-1) }),
    make("button.side.next.glyph-right", { type: "button", title: "Next (→)", "aria-label": "Next", onclick: () => move(1) }));
  made.addEventListener("click", (event) => {
    if (event.target === made || event.target === tiles || (event.target === image && scale === 1 && !dragged)) close();
  });
  made.addEventListener("wheel", (event) => {
    event.preventDefault();
    if (facts.gamepad_ms && Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      turn(Math.sign(event.deltaX));
      return;
    }
    zoomAt(event.clientX, event.clientY, Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.0015)));
  }, { passive: false });
  image.addEventListener("error", () => {
    if (shown !== LIVE) say("The picture cannot be shown."); // A preview is gone once its picture is done.
  });
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
  const shows = tiled && !fault.textContent && Boolean(image.src);
  tiles.hidden = !shows;
  tiles.style.backgroundImage = shows ? `url("${CSS.escape(image.src)}")` : "";
  tileButton.setAttribute("aria-pressed", String(tiled));
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
 * Goes on by hand, which ends a slideshow.
 * @param {number} by
 */
function move(by) {
  slide(false);
  step(by);
}

/**
 * Goes on by a wheel or a stick, which tell of it all the time.
 * @param {number} by
 */
function turn(by) {
  if (!by || performance.now() - turned < facts.gamepad_ms) return;
  turned = performance.now();
  step(by);
}

function lookAtGamepads() {
  if (!view) return;
  if (facts.gamepad_ms) {
    const stick = navigator.getGamepads().map((pad) => leaning(pad?.axes[0] ?? 0)).find(Boolean) ?? 0;
    if (stick) turn(stick);
    else turned = Math.min(turned, performance.now() - facts.gamepad_ms); // Let go of: the next push counts at once.
  }
  requestAnimationFrame(lookAtGamepads);
}

const keep = () => (view?.save ? view.save() : save(view?.current));

/** @param {boolean} on */
function tile(on) {
  tiled = on;
  reset();
  place();
}

/**
 * One picture after the other, until somebody does something else.
 * @param {boolean} on
 */
function slide(on) {
  clearInterval(sliding);
  sliding = on ? setInterval(() => step(1), SLIDE) : undefined;
  slideButton.setAttribute("aria-pressed", String(on));
}

const isWatching = () => watches ?? facts.lightbox_live;

/** @param {boolean} on */
function watch(on) {
  watches = on;
  draw();
}

/**
 * In place of the picture.
 * @param {string} words "" where it can be seen
 */
function say(words) {
  fault.textContent = words;
  fault.hidden = !words;
  image.hidden = Boolean(words);
  place();
}

function draw() {
  const picture = view?.current;
  if (!view || !picture) {
    close();
    return;
  }
  const look = isWatching() ? view.preview ?? "" : "";
  const told = look ? "" : view.fault?.(picture) ?? "";
  const now = look ? LIVE : JSON.stringify([picture.id, told]);
  if (now !== shown) {
    shown = now;
    reset();
    image.alt = told ? "" : look ? "Picture in progress" : view.described(picture);
    if (told) image.removeAttribute("src");
    else if (!look) image.src = url(picture.url);
    say(told);
  }
  if (look && image.src !== look) {
    image.src = look;
    place();
  }
  liveButton.hidden = view.preview === undefined;
  liveButton.setAttribute("aria-pressed", String(isWatching()));
  obey();
  const many = view.pictures.length > 1;
  counter.textContent = many ? `${Math.min(view.index, view.pictures.length - 1) + 1} / ${view.pictures.length}` : "";
  slideButton.hidden = !many;
  for (const side of frame().querySelectorAll("button.side")) /** @type {HTMLElement} */ (side).hidden = !many;
}

/** What the settings say of the look. */
function obey() {
  const box = frame();
  box.classList.toggle("fills", facts.lightbox_fills);
  box.classList.toggle("live", shown === LIVE); // A preview is small, whatever it will become.
  box.style.setProperty("--icon-opacity", String(facts.icon_opacity));
  box.style.setProperty("--bar-opacity", String(facts.bar_opacity));
}

function close() {
  if (!view) return;
  view = null;
  shown = "";
  slide(false);
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
  lookAtGamepads();
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
    ArrowLeft: () => move(-1),
    ArrowRight: () => move(1),
    p: () => slide(!sliding),
    z: actual,
    s: keep,
    t: () => tile(!tiled),
    l: () => { if (view?.preview !== undefined) watch(!isWatching()); },
    "+": () => zoomAt(innerWidth / 2, innerHeight / 2, 1.4),
    "-": () => zoomAt(innerWidth / 2, innerHeight / 2, 1 / 1.4),
  };
  const act = acts[event.key];
  if (!act) return;
  event.preventDefault();
  event.stopPropagation();
  act();
}, true);
