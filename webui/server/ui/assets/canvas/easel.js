// @ts-check
// A canvas as it stands on the page: over a picture in its frame, with its bars, or over the whole window.
import { iconButton } from "../dom.js";
import { bars, viewBar } from "./bar.js";
import { Desk } from "./desk.js";
import { asked, isHeld, obey, wheels } from "./keys.js";
import { facts } from "../facts.js";
import { layerPanel } from "./panel.js";

/** @typedef {import("./states.js").Kind} Kind */

/** @type {Set<Easel>} */
export const easels = new Set();

export class Easel {
  /**
   * @param {HTMLElement} place What it is laid over.
   * @param {object} how
   * @param {"mask" | "raster"} how.kind
   * @param {string} how.label
   * @param {readonly Kind[]} how.kinds Of layers that can be added.
   * @param {number} [how.percent]
   * @param {(desk: Desk) => (Node | false)[]} [how.buttons]
   * @param {(desk: Desk) => Node[]} [how.panelButtons]
   */
  constructor(place, { kind, label, kinds, percent, buttons = () => [], panelButtons = () => [] }) {
    this.desk = new Desk({ kind, label, percent });
    const { desk } = this;
    const { bar, colour } = bars(desk, buttons(desk));
    this.colour = colour;
    const { panel, toggle } = layerPanel(desk, kinds, panelButtons(desk));
    this.toggle = toggle;
    this.full = iconButton("fullscreen", "Fill the window (S)", () => this.fill());
    this.full.setAttribute("aria-pressed", "false");
    desk.stage.append(viewBar(desk, [toggle, this.full]));
    desk.root.append(panel, bar);
    wheels(desk, () => this.isFull);
    desk.stage.addEventListener("pointerenter", () => {
      const at = document.activeElement;
      if (facts.canvas.blurs && at instanceof HTMLElement && at.closest(".prompt")) at.blur();
    });
    place.append(desk.root);
    easels.add(this);
  }

  get isFull() {
    return this.desk.root.classList.contains("full");
  }

  /** Over the whole window, or back. */
  fill(full = !this.isFull) {
    this.desk.root.classList.toggle("full", full);
    document.documentElement.classList.toggle("canvas-full", full);
    this.full.setAttribute("aria-pressed", String(full));
    this.desk.view.fits = true;
    this.desk.fitted();
    this.desk.stage.focus({ preventScroll: true });
  }

  get isThere() {
    return this.desk.root.isConnected;
  }

  remove() {
    if (this.isFull) this.fill(false);
    this.desk.root.remove();
    easels.delete(this);
  }

  /**
   * @param {KeyboardEvent} event
   * @returns {boolean}
   */
  key(event) {
    const wish = asked(event, facts.canvas);
    if (wish === "leave") {
      if (!this.isFull) return false;
      this.fill(false);
      return true;
    }
    return obey(this.desk, wish, { fullscreen: () => this.fill(), layers: () => this.toggle.click() });
  }
}

/** @param {EventTarget | null} at */
const isWriting = (at) => at instanceof HTMLElement
  && at.matches("textarea, select, [contenteditable], input:not([type=range], [type=checkbox], [type=radio], [type=color])");

const used = () => [...easels].find(({ desk }) => desk.isUsed);

document.addEventListener("keydown", (event) => {
  if (event.isComposing || isWriting(event.target)) return;
  // Enter and Space press a button that has the focus.
  if (event.key === " " && event.target instanceof HTMLButtonElement) return;
  const easel = used();
  if (!easel || (document.querySelector("dialog[open]") && !easel.desk.root.closest("dialog"))) return;
  if (easel.key(event)) {
    event.preventDefault();
    if (event.key === "Escape") event.stopPropagation();
  } else if (isHeld(facts.canvas.zoom, event) && event.key === "Alt") event.preventDefault(); // The menu of the window stays shut.
}, true);
document.addEventListener("keyup", (event) => {
  for (const { desk } of easels) if (desk.held && asked(event, facts.canvas) === "pan") desk.hold(false);
});
addEventListener("blur", () => { for (const { desk } of easels) desk.hold(false); });
