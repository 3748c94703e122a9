// @ts-check
// Painting over a picture: a mask in the Inpaint tab, colours in the sketch tabs. The picture stays a file on the
// server; what is sent along is the paint alone, as a PNG of the picture's size: a mask in black and white, or colours on
// nothing.
import { field, iconButton, make, type, when } from "./dom.js";
import { fitted, isPainted, placeIn, radius, sheet, stencilled, whitened } from "./geometry.js";
import { keepPaint, keptPaint } from "./paint.js";
import { failed, say } from "./say.js";
import { post, told } from "./server.js";

/**
 * @typedef {{kind: "invert"} | {kind: "clear"}} Whole
 * @typedef {{kind: "area", stencil: HTMLCanvasElement}} Area
 * @typedef {{kind: "stroke", erasing: boolean, colour: string, radius: number, points: [x: number, y: number][]}} Stroke
 * @typedef {Whole | Area | Stroke} Step
 * @typedef {{box: string, value?: string, coloured?: boolean}} Surface
 */


const LARGEST = 4096;
const MASK_COLOUR = "#4a47dc";
/** @type {[number, number, number]} */
const MASK_LEVELS = [0x4a, 0x47, 0xdc];
/** Pixels of the longer side of what is looked at for a subject; networks see fewer. */
const LOOKED_AT = 1024;
/** @type {Surface[]} */
const SURFACES = [
  { box: "img2img_inpaint_image", value: "img2img_inpaint_mask" },
  { box: "img2img_sketch_image", value: "img2img_sketch_strokes", coloured: true },
  { box: "img2img_inpaint_sketch_image", value: "img2img_inpaint_sketch_strokes", coloured: true },
];
/** @type {Map<string, Painter>} By the ids of their boxes. */
export const painters = new Map();

/**
 * @param {HTMLElement} element
 * @param {string} selector
 */
function outer(element, selector) {
  /** @type {HTMLElement | null} */
  const found = element.closest(selector);
  if (!found) throw new Error(`Nothing around the picture is a ${selector}.`);
  return found;
}

/** @param {HTMLCanvasElement} canvas */
function drawing(canvas) {
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  if (!pen) throw new Error("This browser cannot draw.");
  return pen;
}

export class Painter {
  /**
   * @param {HTMLImageElement} image
   * @param {Surface} surface Where what is painted goes; without a value, whoever made it asks for it.
   */
  constructor(image, { value = "", coloured = false }) {
    this.image = image;
    this.value = value;
    this.coloured = coloured;
    /** @type {(Whole | Area | Stroke)[]} */
    this.done = [];
    /** @type {(Whole | Area | Stroke)[]} */
    this.undone = [];
    this.erasing = false;
    this.picking = false;
    this.scale = 1;
    /** @type {Stroke | null} */
    this.stroke = null;
    /** @type {PointerEvent | null} */
    this.last = null;
    this.canvas = make(coloured ? "canvas.mask.coloured" : "canvas.mask",
      { "aria-label": coloured ? "Sketch: paint on the picture" : "Mask: paint over the areas to change" });
    this.pen = drawing(this.canvas);
    this.cursor = make("div.mask-cursor", { hidden: true });
    this.slider = make("input", { type: "range", min: "1", max: "100", value: "22", title: "Brush size (Q, W, or Ctrl+wheel)", "aria-label": "Brush size" });
    this.brush = iconButton("brush", "Brush (B)", () => this.choose(false));
    this.eraser = iconButton("eraser", "Eraser (E)", () => this.choose(true));
    this.colour = make("input.swatch", { type: "color", value: "#f2b134", title: "Colour", "aria-label": "Colour",
      oninput: () => this.choose(false) });
    this.dropper = iconButton("dropper", "Pick a color from the picture (Alt+click)", () => this.pickNext());
    this.finder = !coloured && Boolean(value)
      && iconButton("subject", "Select the subject: mask what stands out of the picture", () => void this.select());
    this.bar = make("div.mask-bar", { role: "toolbar", "aria-label": coloured ? "Sketch" : "Mask" },
      this.brush, this.eraser, coloured && this.colour, coloured && this.dropper, this.slider,
      iconButton("undo", "Undo (Ctrl+Z)", () => this.undo()),
      iconButton("redo", "Redo (Ctrl+Shift+Z)", () => this.redo()),
      !coloured && iconButton("invert", "Invert the mask", () => this.add({ kind: "invert" })),
      this.finder,
      iconButton("clear", coloured ? "Clear the sketch" : "Clear the mask", () => this.add({ kind: "clear" })));
    this.frame = outer(image, ".image-frame");
    this.frame.append(this.canvas, this.cursor);
    outer(this.frame, ".source").append(this.bar);
    this.choose(false);
    this.listen();
    image.addEventListener("load", () => this.begin());
    new ResizeObserver(() => this.fit()).observe(this.frame);
    if (image.complete && image.naturalWidth) this.begin();
  }

  /** A new picture: an empty mask of its size, or what was painted over it before the page came. */
  begin() {
    Object.assign(this.canvas, sheet({ width: this.image.naturalWidth, height: this.image.naturalHeight }, LARGEST));
    this.done = [];
    this.undone = [];
    this.fit();
    if (!this.value || !this.image.naturalWidth) return;
    const before = keptPaint(this.value, this.image);
    type(field(this.value), "");
    before.then((steps) => {
      if (this.done.length || !steps.length) return;
      this.done = steps;
      this.redraw();
    });
  }

  /** Lays the canvas over the picture, which is centred in its frame. */
  fit() {
    const { clientWidth: width, clientHeight: height } = this.frame;
    const fit = fitted({ width, height }, this.canvas);
    Object.assign(this.canvas.style, {
      width: `${fit.width}px`,
      height: `${fit.height}px`,
      left: `${fit.left}px`,
      top: `${fit.top}px`,
    });
    this.scale = fit.scale;
  }

  /** The brush's radius in pixels of the picture. */
  get radius() {
    return radius(Number(this.slider.value), this.canvas);
  }

  /** @param {boolean} erasing */
  choose(erasing) {
    this.erasing = erasing;
    this.brush.setAttribute("aria-pressed", String(!erasing));
    this.eraser.setAttribute("aria-pressed", String(erasing));
  }

  /** The next click takes a colour instead of painting. */
  pickNext() {
    this.picking = !this.picking;
    this.dropper.setAttribute("aria-pressed", String(this.picking));
  }

  /**
   * The colour of what is seen at a place: picture and paint.
   * @param {[x: number, y: number]} place
   */
  pick([x, y]) {
    const dot = drawing(make("canvas", { width: 1, height: 1 }));
    const shrink = this.image.naturalWidth / this.canvas.width;
    dot.drawImage(this.image, x * shrink, y * shrink, 1, 1, 0, 0, 1, 1);
    dot.drawImage(this.canvas, x, y, 1, 1, 0, 0, 1, 1);
    const [red, green, blue] = dot.getImageData(0, 0, 1, 1).data;
    this.colour.value = `#${[red, green, blue].map((part) => (part ?? 0).toString(16).padStart(2, "0")).join("")}`;
    if (this.picking) this.pickNext();
    this.choose(false);
  }

  /** @param {number} by */
  resize(by) {
    this.slider.value = String(Number(this.slider.value) + by);
    this.point();
  }

  /** @param {PointerEvent} event */
  at(event) {
    return placeIn(event, this.canvas.getBoundingClientRect(), this.canvas);
  }

  listen() {
    const { canvas } = this;
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      event.preventDefault();
      if (this.coloured && (this.picking || event.altKey)) {
        this.pick(this.at(event));
        return;
      }
      canvas.setPointerCapture(event.pointerId);
      this.stroke = {
        kind: "stroke",
        erasing: this.erasing || event.shiftKey,
        colour: this.coloured ? this.colour.value : MASK_COLOUR,
        radius: this.radius,
        points: [this.at(event)],
      };
      this.draw(this.stroke);
    });
    canvas.addEventListener("pointermove", (event) => {
      this.last = event;
      this.point();
      if (!this.stroke) return;
      const { stroke } = this;
      for (const part of event.getCoalescedEvents?.() ?? [event]) stroke.points.push(this.at(part));
      this.draw({ ...stroke, points: stroke.points.slice(-12) });
    });
    for (const end of /** @type {const} */ (["pointerup", "pointercancel"])) canvas.addEventListener(end, () => {
      if (!this.stroke) return;
      this.done.push(this.stroke);
      this.undone = [];
      this.stroke = null;
      this.tell();
    });
    canvas.addEventListener("pointerleave", () => {
      this.last = null;
      this.point();
    });
    canvas.addEventListener("wheel", (event) => {
      if (!event.ctrlKey) return;
      event.preventDefault();
      this.resize(event.deltaY < 0 ? 3 : -3);
    }, { passive: false });
    canvas.addEventListener("click", (event) => event.stopPropagation());
    this.slider.addEventListener("input", () => this.point());
  }

  /** The ring around the pointer that shows the brush. */
  point() {
    this.cursor.hidden = !this.last;
    if (!this.last) return;
    const box = this.frame.getBoundingClientRect();
    const size = this.radius * 2 * this.scale;
    Object.assign(this.cursor.style, {
      width: `${size}px`,
      height: `${size}px`,
      left: `${this.last.clientX - box.left - size / 2}px`,
      top: `${this.last.clientY - box.top - size / 2}px`,
    });
  }

  /** @param {Whole | Area | Stroke} step */
  draw(step) {
    const { pen, canvas } = this;
    pen.save();
    if (step.kind === "clear") pen.clearRect(0, 0, canvas.width, canvas.height);
    else if (step.kind === "invert") {
      pen.fillStyle = MASK_COLOUR;
      pen.globalCompositeOperation = "xor";
      pen.fillRect(0, 0, canvas.width, canvas.height);
    } else if (step.kind === "area") pen.drawImage(step.stencil, 0, 0, canvas.width, canvas.height);
    else {
      pen.strokeStyle = step.colour;
      if (step.erasing) pen.globalCompositeOperation = "destination-out";
      pen.lineCap = pen.lineJoin = "round";
      pen.lineWidth = step.radius * 2;
      pen.beginPath();
      const [[x, y] = [0, 0], ...rest] = step.points;
      pen.moveTo(x, y);
      if (!rest.length) pen.lineTo(x + 0.01, y);
      for (const point of rest) pen.lineTo(...point);
      pen.stroke();
    }
    pen.restore();
  }

  /** Masks what stands out of the picture, as the server's network sees it; what was painted before stays. */
  async select() {
    const { image, finder } = this;
    if (!finder || finder.disabled) return;
    finder.disabled = true;
    try {
      const looked = sheet({ width: image.naturalWidth, height: image.naturalHeight }, LOOKED_AT);
      const small = make("canvas", looked);
      drawing(small).drawImage(image, 0, 0, looked.width, looked.height);
      const answer = await post("internal/mask", { image: small.toDataURL("image/png"), name: "page" });
      const found = await told(answer);
      if (!answer.ok) throw new Error(found.detail || "The subject could not be selected.");
      const mask = make("img", { src: `data:image/webp;base64,${found.image}` });
      await mask.decode();
      // Another picture may have come meanwhile.
      if (this.isThere && this.image === image && small.width === found.width) this.add(this.area(mask, looked));
      for (const remark of found.comments) say(remark);
    } catch (error) {
      failed(error);
    } finally {
      finder.disabled = false;
    }
  }

  /**
   * @param {HTMLImageElement} mask
   * @param {{width: number, height: number}} size
   * @returns {Area}
   */
  area(mask, size) {
    const stencil = make("canvas", size);
    const pen = drawing(stencil);
    pen.drawImage(mask, 0, 0);
    const pixels = pen.getImageData(0, 0, stencil.width, stencil.height);
    stencilled(pixels.data, MASK_LEVELS);
    pen.putImageData(pixels, 0, 0);
    return { kind: "area", stencil };
  }

  /** @param {Whole | Area} step */
  add(step) {
    this.done.push(step);
    this.undone = [];
    this.draw(step);
    this.tell();
  }

  undo() {
    const step = this.done.pop();
    if (step) this.undone.push(step);
    this.redraw();
  }

  redo() {
    const step = this.undone.pop();
    if (step) this.done.push(step);
    this.redraw();
  }

  redraw() {
    this.pen.clearRect(0, 0, this.canvas.width, this.canvas.height);
    this.done.forEach((step) => this.draw(step));
    this.tell();
  }

  /** Puts the paint into the form; "" while there is none. */
  tell() {
    if (!this.value) return;
    type(field(this.value), this.exported());
    if (this.image.naturalWidth) keepPaint(this.value, this.image, this.done);
  }

  exported() {
    const { width, height } = this.canvas;
    if (!this.done.length || !width) return "";
    const pixels = this.pen.getImageData(0, 0, width, height);
    if (this.coloured) return isPainted(pixels.data) ? this.canvas.toDataURL("image/png") : "";
    if (!whitened(pixels.data)) return "";
    const mask = make("canvas", { width, height });
    drawing(mask).putImageData(pixels, 0, 0);
    return mask.toDataURL("image/png");
  }

  remove() {
    this.bar.remove();
    if (!this.value) return;
    keepPaint(this.value, this.image, []);
    type(field(this.value), "");
  }

  get isThere() {
    return this.canvas.isConnected;
  }

  get isUsed() {
    return Boolean(this.last) || this.bar.contains(document.activeElement);
  }
}

for (const surface of SURFACES) {
  when(`#${surface.box} .image-frame img`, (/** @type {HTMLImageElement} */ image) => {
    painters.get(surface.box)?.bar.remove();
    painters.set(surface.box, new Painter(image, surface));
  });
  when(`#${surface.box}`, (box) => {
    new MutationObserver(() => {
      const painter = painters.get(surface.box);
      if (painter && !painter.isThere) {
        painter.remove();
        painters.delete(surface.box);
      }
    }).observe(box, { childList: true, subtree: true });
  });
}

document.addEventListener("keydown", (event) => {
  if (event.target instanceof Element && /^(TEXTAREA|SELECT)$/.test(event.target.tagName)) return;
  const painter = [...painters.values()].find((one) => one.isThere && one.isUsed);
  if (!painter) return;
  /** @type {Record<string, () => void>} */
  const acts = event.ctrlKey || event.metaKey
    ? { z: () => (event.shiftKey ? painter.redo() : painter.undo()), y: () => painter.redo() }
    : { b: () => painter.choose(false), e: () => painter.choose(true), q: () => painter.resize(-4), w: () => painter.resize(4) };
  const act = acts[event.ctrlKey || event.metaKey ? event.key.toLowerCase() : event.key];
  if (!act) return;
  event.preventDefault();
  act();
});
