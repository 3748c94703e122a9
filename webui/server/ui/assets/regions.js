// @ts-check
// Drawing the regions of a picture, each with its prompt: rectangles, and what a brush paints. The form's own text field
// carries them all; what is typed into it or pasted is shown here, and what is drawn here stands there.
import { Behind } from "./behind.js";
import { command } from "./commands.js";
import { byId, iconButton, make, type, when } from "./dom.js";
import { placeIn } from "./geometry.js";
import { between, bounds, CORNERS, covers, hue, isPainted, moved, numbersOf, read, resized, stroke, written } from "./regiontext.js";
import { say } from "./say.js";

/** @import { Corner, Place, Region } from "./regiontext.js" */
/**
 * What the regions of a feature have.
 * @typedef {{id: string, weighs: boolean, paints: boolean, kinds: string[]}} Kind
 * @typedef {"draw" | "paint" | "erase"} Tool
 * @typedef {{from: Place, before: Region | null, corner: Corner | null, places: Place[]}} Drag
 */

const MOST = 32;
const MOST_NUMBERS = 4000;
const STEP = 0.01;
const LONGEST_WAY = 100; // changes that can be undone
/** @type {Kind[]} */
const KINDS = [
  { id: "regional_prompter_regions", weighs: true, paints: true, kinds: [] },
  { id: "tiled_diffusion_regions", weighs: false, paints: false, kinds: ["Background", "Foreground"] },
];
/** @type {Map<string, Editor>} By the ids of their text fields. */
const editors = new Map();

/** @param {number} at */
const colour = (at) => `hsl(${hue(at)} 75% 50%)`;

class Editor {
  /**
   * @param {HTMLElement} box Of the text field.
   * @param {string} tab
   * @param {Kind} kind
   */
  constructor(box, tab, kind) {
    this.box = box;
    this.tab = tab;
    this.kind = kind;
    /** @type {Region[]} */
    this.regions = [];
    /** @type {Region[][]} */
    this.before = [];
    /** @type {Region[][]} */
    this.after = [];
    this.chosen = -1;
    this.typing = false;
    /** @type {Tool} */
    this.tool = "draw";
    /** @type {Drag | null} */
    this.drag = null;
    this.text = "";

    this.canvas = make("canvas", { "aria-hidden": "true" });
    const pen = this.canvas.getContext("2d");
    if (!pen) throw new Error("This browser cannot draw.");
    this.pen = pen;
    this.shapes = make("div.region-shapes");
    this.behind = new Behind(tab);
    this.frame = make("div.region-frame", { role: "group", "aria-label": "The picture's frame: drag to draw a region" },
      this.behind.image, this.canvas, this.shapes);
    this.slider = make("input", { type: "range", min: "1", max: "40", value: "8", title: "Brush size", "aria-label": "Brush size" });
    /** @type {Record<Tool, HTMLButtonElement>} */
    this.tools = {
      draw: this.toolButton("draw", "Rectangles", "Drag over the frame to draw a rectangle"),
      paint: this.toolButton("paint", "Paint", "Paint a region with a brush"),
      erase: this.toolButton("erase", "Erase", "Erase from the painted region"),
    };
    const painting = kind.paints ? [this.tools.draw, this.tools.paint, this.tools.erase, this.slider] : [];
    this.bar = make("div.region-bar", { role: "toolbar", "aria-label": "Regions" },
      make("button.region-add", { type: "button", onclick: () => this.add() }, "Add a region"), ...painting,
      iconButton("undo", "Undo", () => this.step(this.before, this.after)),
      iconButton("redo", "Redo", () => this.step(this.after, this.before)),
      iconButton("clear", "Remove all regions", () => this.change([])),
      iconButton("text", "Show the regions as text", () => this.box.classList.toggle("as-text")),
      this.behind.list);
    this.list = make("ol.region-list");
    this.note = make("p.region-note", { role: "status" });
    this.root = make("div.regions", {}, this.bar, this.frame, this.note, this.list);
    box.prepend(this.root);
    this.choose("draw");
    this.listen();
    new ResizeObserver(() => this.paint()).observe(this.frame);
    this.show();
  }

  /**
   * @param {Tool} tool
   * @param {string} name
   * @param {string} title
   */
  toolButton(tool, name, title) {
    return make("button.region-tool", { type: "button", title, onclick: () => this.choose(tool) }, name);
  }

  /** @param {Tool} tool */
  choose(tool) {
    this.tool = tool;
    for (const [name, button] of Object.entries(this.tools)) button.setAttribute("aria-pressed", String(name === tool));
    this.root.classList.toggle("painting", tool !== "draw");
  }

  /** The form's own, which carries the regions; this editor lies beside it, with fields of its own. */
  get field() {
    /** @type {HTMLTextAreaElement | null} */
    const found = this.box.querySelector("label.container textarea");
    return found;
  }

  /** The picture's size, as the form has it. */
  get extent() {
    const [width, height] = ["width", "height"].map((side) => {
      /** @type {HTMLInputElement | null} */
      const box = document.querySelector(`#${this.tab}_${side} input[type=number]`);
      return Number(box?.value) || 512;
    });
    return { width: width ?? 512, height: height ?? 512 };
  }

  /** What the form's text says now. */
  show() {
    const text = this.field?.value ?? "";
    if (text === this.text) return;
    const found = read(text);
    this.note.textContent = found ? "" : "The text below holds no regions that can be drawn.";
    this.box.classList.toggle("as-text", !found || this.box.classList.contains("as-text"));
    if (!found) return;
    this.text = text;
    this.regions = found;
    this.chosen = Math.min(this.chosen, found.length - 1);
    this.draw();
  }

  /**
   * @param {Region[]} regions
   * @param {{quietly?: boolean}} how quietly: the list stays as it is, since somebody is typing there.
   */
  change(regions, { quietly = false } = {}) {
    if (!quietly || !this.typing) this.before = [...this.before.slice(-LONGEST_WAY), this.regions];
    this.typing = quietly;
    this.after = [];
    this.put(regions, quietly);
  }

  /**
   * @param {Region[]} regions
   * @param {boolean} quietly
   */
  put(regions, quietly = false) {
    this.regions = regions;
    this.chosen = Math.min(this.chosen, regions.length - 1);
    this.text = written(regions);
    this.note.textContent = "";
    type(this.field, this.text);
    if (quietly) this.paint();
    else this.draw();
  }

  /**
   * Undo and redo.
   * @param {Region[][]} from
   * @param {Region[][]} to
   */
  step(from, to) {
    const regions = from.pop();
    if (!regions) return;
    to.push(this.regions);
    this.typing = false;
    this.put(regions);
  }

  /**
   * @param {number} at
   * @param {Partial<Region>} values
   */
  set(at, values) {
    this.change(this.regions.map((region, place) => (place === at ? /** @type {Region} */ ({ ...region, ...values }) : region)), { quietly: true });
  }

  /** @param {Partial<Region>} [shape] */
  add(shape) {
    if (this.regions.length >= MOST) {
      say(`At most ${MOST} regions.`);
      return;
    }
    const place = shape ?? { x: 0.25, y: 0.25, w: 0.5, h: 0.5 };
    /** @type {Region} */
    const region = { x: 0, y: 0, w: 0, h: 0, prompt: "", ...place };
    if (this.kind.weighs) region.weight = 0.8;
    this.chosen = this.regions.length;
    this.change([...this.regions, region]);
  }

  /** @param {number} at */
  remove(at) {
    this.change(this.regions.filter((_, place) => place !== at));
  }

  /**
   * Over the one behind it, or under the one before.
   * @param {number} at
   * @param {number} by
   */
  shift(at, by) {
    const regions = [...this.regions];
    const [region] = regions.splice(at, 1);
    if (!region || at + by < 0 || at + by > regions.length) return;
    regions.splice(at + by, 0, region);
    this.chosen = at + by;
    this.change(regions);
  }

  // -- what is seen

  draw() {
    this.list.replaceChildren(...this.regions.map((region, at) => this.line(region, at)));
    this.paint();
  }

  /**
   * @param {Region} region
   * @param {number} at
   */
  line(region, at) {
    const name = `Region ${at + 1}`;
    const swatch = make("button.region-swatch", { type: "button", title: `Choose ${name}`, "aria-label": `Choose ${name}`,
      onclick: () => this.select(at) }, String(at + 1));
    swatch.style.background = colour(at);
    const prompt = make("textarea", { rows: "2", "aria-label": `Prompt of region ${at + 1}`, placeholder: "What this region shows",
      onfocus: () => this.select(at) });
    prompt.value = region.prompt;
    prompt.addEventListener("input", () => this.set(at, { prompt: prompt.value }));
    const negative = make("input", { type: "text", "aria-label": `Negative prompt of region ${at + 1}`, placeholder: "Negative prompt",
      onfocus: () => this.select(at) });
    negative.value = region.neg_prompt ?? "";
    negative.addEventListener("input", () => this.set(at, { neg_prompt: negative.value }));
    return make("li", { "data-region": String(at) }, swatch,
      make("div.region-texts", {}, prompt, make("div.region-values", {}, negative, this.weight(region, at), this.blend(region, at))),
      make("div.region-acts", {},
        iconButton("up", `Put ${name} under the one before`, () => this.shift(at, -1)),
        iconButton("down", `Put ${name} over the next one`, () => this.shift(at, 1)),
        iconButton("bin", `Remove ${name}`, () => this.remove(at))));
  }

  /**
   * @param {Region} region
   * @param {number} at
   */
  weight(region, at) {
    if (!this.kind.weighs) return null;
    const value = make("output", {}, String(region.weight ?? 0.8));
    const slider = make("input", { type: "range", min: "0", max: "1", step: "0.05", "aria-label": `Weight of region ${at + 1}` });
    slider.value = String(region.weight ?? 0.8);
    slider.addEventListener("input", () => {
      value.textContent = slider.value;
      this.set(at, { weight: Number(slider.value) });
    });
    return make("label.region-weight", { title: "How much the region follows its own prompt; the rest is the prompt of the whole picture" },
      "Weight", slider, value);
  }

  /**
   * @param {Region} region
   * @param {number} at
   */
  blend(region, at) {
    if (!this.kind.kinds.length) return null;
    const list = make("select", { "aria-label": `Type of region ${at + 1}` },
      ...this.kind.kinds.map((each) => make("option", { value: each }, each)));
    list.value = String(region.blend_mode ?? this.kind.kinds[0]);
    list.addEventListener("change", () => this.set(at, { blend_mode: list.value }));
    return list;
  }

  /** @param {number} at */
  select(at) {
    if (this.chosen === at) return;
    this.chosen = at;
    this.paint();
  }

  /** The frame: every region in its colour, a later one over those before, and what the chosen one is moved by. */
  paint() {
    const { width, height } = this.extent;
    this.frame.style.aspectRatio = `${width} / ${height}`;
    this.frame.style.maxWidth = `calc(${width / height} * var(--region-height))`;
    const box = this.frame.getBoundingClientRect();
    const scale = devicePixelRatio || 1;
    const [across, down] = [Math.round(box.width * scale), Math.round(box.height * scale)];
    if (this.canvas.width !== across || this.canvas.height !== down) Object.assign(this.canvas, { width: across, height: down });
    this.pen.clearRect(0, 0, across, down);
    if (across && down) this.regions.forEach((region, at) => this.fill(region, at, across, down));
    this.outline();
    this.list.querySelectorAll("li").forEach((line, at) => line.classList.toggle("chosen", at === this.chosen));
  }

  /**
   * @param {Region} region
   * @param {number} at
   * @param {number} across
   * @param {number} down
   */
  fill(region, at, across, down) {
    const layer = make("canvas", { width: String(across), height: String(down) });
    const pen = layer.getContext("2d");
    if (!pen) return;
    pen.fillStyle = pen.strokeStyle = colour(at);
    pen.lineCap = pen.lineJoin = "round";
    if (!isPainted(region)) pen.fillRect(region.x * across, region.y * down, region.w * across, region.h * down);
    for (const [radius = 0, ...places] of region.strokes ?? []) {
      pen.globalCompositeOperation = radius > 0 ? "source-over" : "destination-out";
      pen.lineWidth = Math.abs(radius) * 2 * Math.min(across, down);
      pen.beginPath();
      for (let point = 0; point + 1 < places.length; point += 2) {
        pen.lineTo((places[point] ?? 0) * across, (places[point + 1] ?? 0) * down + (point ? 0 : 0.01));
      }
      if (places.length === 2) pen.lineTo((places[0] ?? 0) * across, (places[1] ?? 0) * down);
      pen.stroke();
    }
    this.pen.globalAlpha = at === this.chosen ? 0.6 : 0.4;
    this.pen.drawImage(layer, 0, 0);
    this.pen.globalAlpha = 1;
  }

  /** What can be grasped: all rectangles, and the corners of the chosen one. Those of the same number stay, so that the
   * keyboard stays where it is. */
  outline() {
    while (this.shapes.children.length > this.regions.length) this.shapes.lastElementChild?.remove();
    this.regions.forEach((region, at) => {
      let shape = /** @type {HTMLElement | null} */ (this.shapes.children[at] ?? null);
      if (!shape) {
        shape = make("div.region-shape", { tabindex: "0", role: "button", "data-region": String(at) },
          make("span.region-number", {}, String(at + 1)),
          ...CORNERS.map((corner) => make("span.region-corner", { "data-corner": corner, "aria-hidden": "true" })));
        this.shapes.append(shape);
      }
      const said = region.prompt.trim().slice(0, 60) || "without a prompt";
      shape.setAttribute("aria-label", `Region ${at + 1}, ${said}: arrow keys move it, with Shift they resize it, Delete removes it`);
      shape.setAttribute("aria-pressed", String(at === this.chosen));
      shape.classList.toggle("painted", isPainted(region));
      shape.classList.toggle("chosen", at === this.chosen);
      const place = isPainted(region) ? bounds(region, this.extent) : region;
      Object.assign(shape.style, {
        left: `${place.x * 100}%`, top: `${place.y * 100}%`, width: `${place.w * 100}%`, height: `${place.h * 100}%`, borderColor: colour(at),
      });
      /** @type {HTMLElement | null} */
      const number = shape.querySelector(".region-number");
      if (number) number.style.background = colour(at);
    });
  }

  // -- by hand

  /** @param {PointerEvent} event */
  at(event) {
    return placeIn(event, this.frame.getBoundingClientRect(), { width: 1, height: 1 });
  }

  get radius() {
    return (Number(this.slider.value) / 100) * (this.tool === "erase" ? -1 : 1);
  }

  listen() {
    this.frame.addEventListener("pointerdown", (event) => this.begin(event));
    this.frame.addEventListener("pointermove", (event) => this.go(event));
    this.frame.addEventListener("pointerup", (event) => this.end(event));
    this.frame.addEventListener("pointercancel", () => {
      this.drag = null;
      this.paint();
    });
    this.shapes.addEventListener("keydown", (event) => this.key(event));
    this.shapes.addEventListener("focusin", (event) => {
      const shape = event.target instanceof Element ? event.target.closest(".region-shape") : null;
      if (shape && !this.drag) this.select([...this.shapes.children].indexOf(shape));
    });
    // Whatever changes the picture's size: typing, the two buttons beside it, a preset.
    for (const event of ["input", "change", "click"]) byId(`${this.tab}_settings`)?.addEventListener(event, () => setTimeout(() => this.fit(), 150));
    this.frame.addEventListener("pointerenter", () => this.fit());
  }

  /** The frame has the shape of the picture. */
  fit() {
    this.behind.show();
    const { width, height } = this.extent;
    if (this.frame.style.aspectRatio.replace(/\s/g, "") !== `${width}/${height}`) this.paint();
  }

  /** @param {PointerEvent} event */
  begin(event) {
    if (event.button !== 0) return;
    event.preventDefault();
    this.frame.setPointerCapture(event.pointerId);
    const from = this.at(event);
    const corner = event.target instanceof HTMLElement ? event.target.dataset.corner : undefined;
    if (this.tool !== "draw") {
      this.drag = { from, before: null, corner: null, places: [from] };
      return;
    }
    if (!corner) this.chosen = this.regions.findLastIndex((region) => covers(region, from, this.extent));
    const before = this.regions[this.chosen] ?? null;
    this.drag = { from, before, corner: /** @type {Corner | undefined} */ (corner) ?? null, places: [] };
    if (before) /** @type {HTMLElement | undefined} */ (this.shapes.children[this.chosen])?.focus();
    this.paint();
  }

  /** @param {PointerEvent} event */
  go(event) {
    if (!this.drag) return;
    for (const part of event.getCoalescedEvents?.() ?? []) this.drag.places.push(this.at(part));
    this.drag.places.push(this.at(event));
    this.preview(this.dragged(this.drag));
  }

  /** @param {PointerEvent} event */
  end(event) {
    const { drag } = this;
    this.drag = null;
    if (!drag) return;
    drag.places.push(this.at(event));
    const found = this.dragged(drag);
    if (!found || found.every((region, at) => region === this.regions[at]) && found.length === this.regions.length) {
      this.paint();
      return;
    }
    if (found.length > this.regions.length) this.chosen = found.length - 1;
    this.change(found);
  }

  /**
   * What the regions become if it ends here; null: nothing new.
   * @param {Drag} drag
   * @returns {Region[] | null}
   */
  dragged(drag) {
    const to = drag.places.at(-1);
    if (!to) return null;
    if (this.tool !== "draw") return this.painted(drag.places);
    const { before, corner, from } = drag;
    if (!before) {
      const shape = between(from, to);
      if (!shape || this.regions.length >= MOST) return null;
      return [...this.regions, { ...shape, prompt: "", ...(this.kind.weighs && { weight: 0.8 }) }];
    }
    const after = corner ? resized(before, corner, to) : moved(before, [to[0] - from[0], to[1] - from[1]]);
    const far = Math.hypot(to[0] - from[0], to[1] - from[1]) > 0.004;
    return far ? this.regions.map((region) => (region === before ? after : region)) : null;
  }

  /**
   * @param {Place[]} places
   * @returns {Region[] | null}
   */
  painted(places) {
    const region = this.regions[this.chosen];
    const line = stroke(this.radius, places);
    if (region && isPainted(region)) {
      if (numbersOf(region) + line.length > MOST_NUMBERS) {
        say("This region has too many strokes. Add another one.");
        return null;
      }
      return this.regions.map((each) => (each === region ? { ...region, strokes: [...(region.strokes ?? []), line] } : each));
    }
    if (this.tool === "erase" || this.regions.length >= MOST) return null;
    return [...this.regions, { x: 0, y: 0, w: 0, h: 0, prompt: "", strokes: [line], ...(this.kind.weighs && { weight: 0.8 }) }];
  }

  /** @param {Region[] | null} regions */
  preview(regions) {
    if (!regions) return;
    const kept = this.regions;
    this.regions = regions;
    this.paint();
    this.regions = kept;
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    const shape = event.target instanceof Element ? event.target.closest(".region-shape") : null;
    const at = shape ? [...this.shapes.children].indexOf(shape) : -1;
    const region = this.regions[at];
    if (!region) return;
    /** @type {Record<string, Place>} */
    const ways = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] };
    const way = ways[event.key];
    if (way) {
      const after = event.shiftKey && !isPainted(region)
        ? resized(region, "se", [region.x + region.w + way[0], region.y + region.h + way[1]])
        : moved(region, way);
      this.change(this.regions.map((each) => (each === region ? after : each)));
    } else if (event.key === "Delete" || event.key === "Backspace") this.remove(at);
    else return;
    event.preventDefault();
  }
}

for (const kind of KINDS) {
  for (const tab of ["txt2img", "img2img"]) {
    const id = `${tab}_${kind.id}`;
    when(`#${id}`, (box) => editors.set(id, new Editor(box, tab, kind)));
  }
}
// What was pasted, or brought along by an infotext or a preset.
command("regions", (id) => editors.get(id)?.show());
