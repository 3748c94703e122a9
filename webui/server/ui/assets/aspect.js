// @ts-check
// While width or height of img2img is changed, a frame over the picture shows the part that has these proportions.
import { byId, make, when } from "./dom.js";
import { framed } from "./sizes.js";
import { openedMode } from "./tabs.js";

const LASTS = 2000; // ms
const frame = make("div.aspect-frame", { "aria-hidden": "true", hidden: true });
/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;

/** @param {string} side */
const asked = (side) => {
  /** @type {HTMLInputElement | null} */
  const box = document.querySelector(`#img2img_${side} input[type=number]`);
  return Number(box?.value);
};

/** @returns {boolean} Whether there is a picture to lie over. */
function place() {
  /** @type {HTMLImageElement | null | undefined} */
  const image = byId(`mode_img2img_${openedMode()}`)?.querySelector(".source img");
  const [width, height] = [asked("width"), asked("height")];
  if (!image?.naturalWidth || !image.checkVisibility() || !(width > 0 && height > 0)) return false;
  const { left, top, width: wide, height: high } = image.getBoundingClientRect();
  const part = framed([wide, high], [image.naturalWidth, image.naturalHeight], [width, height]);
  frame.style.left = `${left + part.left}px`;
  frame.style.top = `${top + part.top}px`;
  frame.style.width = `${part.width}px`;
  frame.style.height = `${part.height}px`;
  return true;
}

function show() {
  if (!place()) return;
  frame.hidden = false;
  if (!frame.isConnected) document.body.append(frame);
  clearTimeout(timer);
  timer = setTimeout(hide, LASTS);
}

const hide = () => { frame.hidden = true; };

for (const side of ["width", "height"]) {
  // The slider sets the number box in a moment.
  when(`#img2img_${side}`, (control) => control.addEventListener("input", () => setTimeout(show)));
}
addEventListener("scroll", () => { if (!frame.hidden && !place()) hide(); }, { capture: true, passive: true });
