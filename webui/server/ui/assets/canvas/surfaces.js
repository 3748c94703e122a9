// @ts-check
// The canvases of img2img: a mask in Inpaint, colours in the sketch tabs. The picture stays a file on the server; what is
// painted is put into the form a moment after the last stroke, and at once when something is generated.
import { field, iconButton, make, type, when } from "../dom.js";
import { sheet, stencilled } from "../geometry.js";
import { History } from "./history.js";
import { canvasOf, penOf } from "./pixels.js";
import { beforeSubmitting } from "../settled.js";
import { failed, say } from "../say.js";
import { post, told } from "../server.js";
import { LARGEST } from "./desk.js";
import { Easel } from "./easel.js";
import { signature } from "./signature.js";
import { sent, stencil } from "./sent.js";
import { Store, clean } from "./store.js";

/** @typedef {import("./desk.js").Desk} Desk */
/** @typedef {import("./states.js").Kind} Kind */
/** @typedef {{box: string, value: string, coloured: boolean}} Surface */

/** Pixels of the longer side of what is looked at for a subject; networks see fewer. */
const LOOKED_AT = 1024;
/** The form, and what is kept, wait for so long after a stroke. */
const TOLD_MS = 250;
const KEPT_MS = 600;
/** @type {[number, number, number]} */
const MASK_LEVELS = [0x4a, 0x47, 0xdc];
/** @type {Surface[]} */
const SURFACES = [
  { box: "img2img_inpaint_image", value: "img2img_inpaint_mask", coloured: false },
  { box: "img2img_sketch_image", value: "img2img_sketch_strokes", coloured: true },
  { box: "img2img_inpaint_sketch_image", value: "img2img_inpaint_sketch_strokes", coloured: true },
];
/** @type {Map<string, Seat>} By the ids of their boxes. */
const seats = new Map();

/** A canvas over the picture of a box. It outlives the picture's element, which may be built anew for the same picture. */
class Seat {
  /**
   * @param {Surface} surface
   * @param {HTMLElement} box
   */
  constructor(surface, box) {
    this.surface = surface;
    this.box = box;
    this.finder = iconButton("subject", "Select the subject: mask what stands out of the picture", () => void this.find());
    const page = sessionStorage.getItem("gesso_page") ?? "page";
    this.store = new Store(`${page} ${surface.value}`);
    this.of = "";
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.telling = undefined;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.keeping = undefined;
    this.told = 0;
    this.easel = new Easel(box, {
      kind: surface.coloured ? "raster" : "mask",
      label: surface.coloured ? "Sketch: paint on the picture" : "Mask: paint over the areas to change",
      kinds: surface.value === "img2img_sketch_strokes" ? ["raster"] : ["raster", "mask"],
      buttons: () => [!surface.coloured && this.finder],
    });
    this.easel.desk.read((what) => what === "document" && this.changed());
    beforeSubmitting(() => this.flush());
  }

  get desk() {
    return this.easel.desk;
  }

  /** @param {HTMLImageElement} image */
  async show(image) {
    if (!image.complete) await image.decode().catch(() => {});
    if (!image.naturalWidth) return;
    const of = signature(image);
    if (!this.easel.isThere) this.box.append(this.desk.root);
    this.box.classList.add("drawn-on");
    if (of === this.of) return;
    this.of = of;
    if (this.desk.open(image)) say(`The picture is ${image.naturalWidth}×${image.naturalHeight}: it is painted on in a copy with sides of at most ${LARGEST} pixels.`);
    this.stop();
    type(field(this.surface.value), "");
    this.desk.paper.dataset.width = String(image.naturalWidth);
    const kept = await this.store.recall(of);
    if (!kept || this.of !== of || this.desk.history.canUndo) return;
    const history = new History(this.desk.state);
    history.done = kept.done;
    history.undone = kept.undone;
    this.desk.restore(history, kept.active);
  }

  /** The document is another one: it is kept and, a moment later, told. */
  changed() {
    if (!this.of) return;
    this.stop();
    this.telling = setTimeout(() => void this.flush(), TOLD_MS);
    this.keeping = setTimeout(() => void this.store.keep(this.desk.history, this.desk.active, this.of), KEPT_MS);
  }

  stop() {
    clearTimeout(this.telling);
    clearTimeout(this.keeping);
    this.telling = this.keeping = undefined;
  }

  /** Puts what is painted into the form. */
  async flush() {
    if (this.telling === undefined) return;
    clearTimeout(this.telling);
    this.telling = undefined;
    const number = (this.told += 1);
    try {
      const value = await sent(this.desk, this.surface.value === "img2img_inpaint_sketch_strokes");
      if (number === this.told && this.of) type(field(this.surface.value), value);
    } catch (error) {
      failed(error);
    }
  }

  /** The picture is gone. */
  leave() {
    this.of = "";
    this.stop();
    this.told += 1;
    this.box.classList.remove("drawn-on");
    if (this.easel.isFull) this.easel.fill(false);
    this.desk.root.remove();
    type(field(this.surface.value), "");
  }

  /** Masks what stands out of the picture, as the server's network sees it; what was painted before stays. */
  async find() {
    const { desk, finder, of } = this;
    if (finder.disabled || !desk.picture) return;
    finder.disabled = true;
    try {
      const looked = sheet(desk.picture, LOOKED_AT);
      const small = canvasOf(looked.width, looked.height);
      penOf(small).drawImage(desk.picture, 0, 0, looked.width, looked.height);
      const answer = await post("internal/mask", { image: small.toDataURL("image/png"), name: "page" });
      const found = await told(answer);
      if (!answer.ok) throw new Error(found.detail || "The subject could not be selected.");
      const mask = make("img", { src: `data:image/webp;base64,${found.image}` });
      await mask.decode();
      // Another picture may have come meanwhile.
      if (this.of === of && small.width === found.width) {
        const paint = stencil(mask, looked, (pixels) => stencilled(pixels, MASK_LEVELS));
        const { width, height } = desk.picture;
        desk.paint("Subject", { x: 0, y: 0, width, height }, (pen) => pen.drawImage(paint, 0, 0, width, height));
      }
      for (const remark of found.comments) say(remark);
    } catch (error) {
      failed(error);
    } finally {
      finder.disabled = false;
    }
  }
}

for (const surface of SURFACES) {
  when(`#${surface.box} .image-frame img`, (/** @type {HTMLImageElement} */ image) => {
    const box = image.closest(".source");
    if (!(box instanceof HTMLElement)) return;
    const seat = seats.get(surface.box) ?? new Seat(surface, box);
    seats.set(surface.box, seat);
    seat.box = box;
    image.addEventListener("load", () => void seat.show(image));
    void seat.show(image);
  });
  when(`#${surface.box}`, (box) => {
    new MutationObserver(() => {
      const seat = seats.get(surface.box);
      if (seat?.of && !box.querySelector(".image-frame img")) seat.leave();
    }).observe(box, { childList: true, subtree: true });
  });
}

// What is under way when the page goes.
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState !== "hidden") return;
  for (const seat of seats.values()) if (seat.keeping !== undefined) void seat.store.keep(seat.desk.history, seat.desk.active, seat.of);
});
void clean();
