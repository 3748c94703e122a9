// @ts-check
// One canvas: its document and history, what is being drawn, and how it is looked at. Bars, panels and keys are views of it.
import { make } from "../dom.js";
import { radius, sheet } from "../geometry.js";
import { say } from "../say.js";
import { History } from "./history.js";
import { Input } from "./input.js";
import { Draft, WEIGHT, canvasOf, isPainted, penOf, tilesOf } from "./pixels.js";
import { TILE, meet, placeOf, tilesIn } from "./rects.js";
import { Renderer, flattened } from "./renderer.js";
import { KINDS, MASK_COLOUR, REGION_COLOURS, changed, layer as layerWith, layerOf, shifted, withLayer, withoutLayer } from "./states.js";
import { TOOLS, words } from "./tools.js";
import { View } from "./view.js";

/** @typedef {import("./rects.js").Rect} Rect */
/** @typedef {import("./brush.js").Brush} Brush */
/** @typedef {import("./brush.js").Sample} Sample */
/** @typedef {import("./pixels.js").State} State */
/** @typedef {import("./pixels.js").Layer} Layer */
/** @typedef {import("./pixels.js").Tile} Tile */
/** @typedef {import("./states.js").Kind} Kind */
/** @typedef {import("./tools.js").Tool} Tool */
/** @typedef {"document" | "tool" | "view" | "staging"} News */
/**
 * What all tools share; sizes and hardness are each tool's own.
 * @typedef {object} Settings
 * @property {"fill" | "select"} does Of lasso and rectangle.
 * @property {boolean} round
 * @property {boolean} radial
 * @property {number} tolerance 0 to 255.
 * @property {import("./brush.js").Symmetry} symmetry
 * @property {boolean} pressesSize
 * @property {boolean} pressesOpacity
 * @property {boolean} tilts
 */
/** @typedef {{percent: number, hardness: number, opacity: number}} Tip */

/** Pixels of a side: beyond it a picture is drawn on in a smaller copy. */
export const LARGEST = 4096;

let count = 0;
const newId = () => `${Date.now().toString(36)}${(count += 1).toString(36)}`;

export class Desk {
  /**
   * @param {object} how
   * @param {"mask" | "raster"} how.kind What the first layer is, beside the picture.
   * @param {string} how.label What the picture is called by those who cannot see it.
   * @param {number} [how.percent] The brush at first, on its slider.
   */
  constructor({ kind, label, percent = 22 }) {
    this.kind = kind;
    this.view = new View();
    this.colour = "#f2b134";
    /** @type {Tool} */
    this.tool = /** @type {Tool} */ (TOOLS[0]);
    /** @type {Settings} */
    this.settings = { does: "fill", round: false, radial: false, tolerance: 32, symmetry: "none", pressesSize: true, pressesOpacity: false, tilts: true };
    /** @type {Record<string, Tip>} */
    this.tips = Object.fromEntries(TOOLS.map(({ name }) => [name, { percent, hardness: 1, opacity: 1 }]));
    /** @type {HTMLCanvasElement | null} */
    this.picture = null;
    /** @type {Draft | null} */
    this.draft = null;
    /** @type {Path2D | null} What is being selected. */
    this.outline = null;
    /** @type {((pen: CanvasRenderingContext2D) => void)[]} What others draw over the picture, in pixels of the stage. */
    this.overlays = [];
    /** @type {((what: News) => void)[]} */
    this.readers = [];
    /** @type {History<State>} */
    this.history = new History(this.blank({ width: 1, height: 1 }));
    this.active = this.history.state.layers.at(-1)?.id ?? "";
    this.held = false;
    /** @type {Tool | null} */
    this.before = null;
    this.due = false;
    this.paper = make("div.canvas-paper", { role: "img", "aria-label": label });
    this.cursor = make("div.canvas-cursor", { hidden: true });
    this.over = make("canvas.canvas-over");
    this.renderer = new Renderer(make("canvas.canvas-view"));
    this.stage = make("div.canvas-stage", { tabindex: "0", role: "group", "aria-label": "Canvas" }, this.renderer.canvas, this.over, this.paper, this.cursor);
    this.root = make("div.canvas", {}, this.stage);
    /** @type {PointerEvent | null} */
    this.last = null;
    this.input = new Input(this.stage, this.hands());
    new ResizeObserver(() => this.fitted()).observe(this.stage);
  }

  /**
   * @param {(what: News) => void} reader
   */
  read(reader) {
    this.readers.push(reader);
  }

  /** @param {News} what */
  tell(what) {
    for (const reader of this.readers) reader(what);
  }

  // --- the document ---

  /**
   * @param {{width: number, height: number}} size
   * @returns {State}
   */
  blank({ width, height }) {
    return {
      bounds: { x: 0, y: 0, width, height }, selection: null, frame: null,
      layers: [layerWith({ id: newId(), kind: "raster", name: "Picture", base: true, locked: true }), layerWith({ id: newId(), kind: this.kind })],
    };
  }

  /**
   * Begins with a picture.
   * @param {HTMLImageElement | HTMLCanvasElement} image
   * @returns {boolean} Whether it is drawn on in a smaller copy.
   */
  open(image) {
    const natural = image instanceof HTMLImageElement ? { width: image.naturalWidth, height: image.naturalHeight } : image;
    const size = sheet(natural, LARGEST);
    this.picture = canvasOf(size.width, size.height);
    const pen = penOf(this.picture);
    pen.imageSmoothingQuality = "high";
    pen.drawImage(image, 0, 0, size.width, size.height);
    this.renderer.picture = this.picture;
    this.restore(new History(this.blank(size)));
    this.view.fits = true;
    this.fitted();
    return size.width < natural.width;
  }

  /**
   * Goes on with a history.
   * @param {History<State>} history
   * @param {string} active
   */
  restore(history, active = "") {
    this.history = history;
    this.active = active;
    this.renderer.forget();
    this.updated();
  }

  get state() {
    return this.history.state;
  }

  /** The layer that is painted on. */
  get layer() {
    return layerOf(this.state, this.active);
  }

  /** The document is another one: by a step, an undo, or as a whole. */
  updated() {
    const { layers } = this.state;
    if (!this.layer) this.active = (layers.findLast((each) => !each.locked) ?? layers.at(-1))?.id ?? "";
    const { x, y, width, height } = this.view.picture;
    const { bounds } = this.state;
    if (x !== bounds.x || y !== bounds.y || width !== bounds.width || height !== bounds.height) this.view.resize(this.view.stage, bounds);
    this.renderer.show(this.state, this.active);
    this.redraw();
    this.tell("document");
  }

  /**
   * @param {State} state
   * @param {string} name
   * @param {number} weight
   */
  push(state, name, weight = 0) {
    this.history.push(state, name, weight);
    this.updated();
  }

  undo() {
    if (this.history.undo()) this.updated();
  }

  redo() {
    if (this.history.redo()) this.updated();
  }

  /** @param {string} id */
  choose(id) {
    this.active = id;
    this.updated();
  }

  /**
   * A new layer above the active one.
   * @param {Kind} kind
   * @param {Partial<Layer>} more
   */
  add(kind, more = {}) {
    const number = this.state.layers.filter((each) => each.kind === kind && !each.base).length;
    const made = layerWith({ id: newId(), kind, name: `${KINDS[kind]} ${number + 1}`,
      colour: kind === "region" ? REGION_COLOURS[number % REGION_COLOURS.length] : MASK_COLOUR, ...more });
    const above = this.active;
    this.active = made.id;
    this.push(withLayer(this.state, made, above), `New layer: ${made.name}`, (made.tiles.size) * WEIGHT);
    return made;
  }

  /**
   * @param {string} id
   * @param {Partial<Layer>} changes
   * @param {string} name
   */
  change(id, changes, name) {
    this.push(changed(this.state, id, changes), name);
  }

  /** The active layer once more, above itself. */
  twin() {
    const { layer } = this;
    if (!layer) return;
    const { id: _id, base, ...same } = layer;
    const tiles = base ? tilesOf(flattened(this.state, this.picture, (each) => each === layer, this.state.bounds, { plain: true }), this.state.bounds) : layer.tiles;
    this.add(layer.kind, { ...same, tiles, locked: false, name: `${layer.name} copy` });
  }

  /** @param {string} id */
  remove(id) {
    const rest = withoutLayer(this.state, id);
    if (rest.layers.length) this.push(rest, "Delete layer");
  }

  /**
   * @param {string} id
   * @param {number} by
   */
  shift(id, by) {
    const state = shifted(this.state, id, by);
    if (state !== this.state) this.push(state, "Order of layers");
  }

  // --- drawing ---

  /** @returns {Brush} The tool that is held, in pixels of the picture. */
  get brush() {
    const { percent, hardness, opacity } = this.tip;
    const { symmetry, tilts } = this.settings;
    const isPen = this.last?.pointerType === "pen";
    return { radius: radius(percent, this.state.bounds), hardness, opacity, symmetry, tilts, colour: this.ink, erasing: false,
      pressesSize: isPen && this.settings.pressesSize, pressesOpacity: isPen && this.settings.pressesOpacity };
  }

  /** @returns {Tip} */
  get tip() {
    return this.tips[this.tool.name] ?? { percent: 22, hardness: 1, opacity: 1 };
  }

  /** What the active layer is painted with. */
  get ink() {
    const layer = this.layer;
    return layer && (layer.kind === "mask" || layer.kind === "region") ? layer.colour : this.colour;
  }

  /**
   * A change of the active layer begins; null: it cannot be painted on.
   * @param {{opacity?: number, erasing?: boolean}} how
   */
  begin(how) {
    const layer = this.layer;
    if (!layer) return null;
    if (layer.locked || !layer.visible) {
      say(layer.locked ? `“${layer.name}” is locked. Unlock it, or choose another layer.` : `“${layer.name}” is hidden. Show it, or choose another layer.`);
      return null;
    }
    const draft = new Draft(layer.tiles, { ...how, bounds: this.state.bounds, selection: this.state.selection,
      below: (tile) => (layer.base ? this.baseTile(tile) : null) });
    this.draft = draft;
    this.renderer.draft = { layer: layer.id, draft };
    return draft;
  }

  /** @param {number} tile */
  baseTile(tile) {
    const made = canvasOf();
    this.renderer.layPicture(penOf(made), tile, [0, 0, TILE, TILE]);
    return made;
  }

  /** The draft has changed. */
  drawn() {
    if (!this.draft) return;
    this.renderer.touch(this.draft.compose());
    this.redraw();
  }

  /** @param {string} name */
  commit(name) {
    const { draft, layer } = this;
    if (!draft || !layer) return;
    this.renderer.touch(draft.compose());
    const { tiles, weight } = draft.finished(layer.base);
    this.dropped();
    const same = tiles.size === layer.tiles.size && ![...tiles].some(([tile, content]) => layer.tiles.get(tile) !== content);
    if (!same) this.push(changed(this.state, layer.id, { tiles }), name, weight);
    else this.redraw();
  }

  dropped() {
    this.draft = null;
    this.renderer.draft = null;
  }

  /** What is being drawn goes. */
  drop() {
    const changed = this.draft?.after.keys() ?? [];
    this.dropped();
    this.renderer.touch(new Map([...changed].map((tile) => [tile, { x: 0, y: 0, width: TILE, height: TILE }])));
    this.redraw();
  }

  /**
   * Draws on the active layer at once.
   * @param {string} name
   * @param {Rect} area
   * @param {(pen: CanvasRenderingContext2D) => void} draw
   * @param {{opacity?: number, erasing?: boolean}} how
   */
  paint(name, area, draw, how = {}) {
    const draft = this.begin(how);
    if (!draft) return;
    draft.paint(area, draw);
    this.commit(name);
  }

  /** Empties the active layer, or what of it is selected. */
  clear() {
    const layer = this.layer;
    if (!layer) return;
    if (!this.state.selection && !layer.base && !layer.locked) {
      if (layer.tiles.size) this.change(layer.id, { tiles: new Map() }, "Clear");
      return;
    }
    const { bounds } = this.state;
    this.paint("Clear", bounds, (pen) => pen.fillRect(bounds.x, bounds.y, bounds.width, bounds.height), { erasing: true });
  }

  /** What is painted on a mask is not, and the other way round. */
  invert() {
    const layer = this.layer;
    if (!layer) return;
    const { bounds } = this.state;
    const tiles = new Map();
    for (const tile of tilesIn(bounds)) {
      const made = canvasOf();
      const pen = penOf(made);
      const place = placeOf(tile);
      const area = meet(place, bounds);
      pen.fillStyle = this.ink;
      pen.fillRect(area.x - place.x, area.y - place.y, area.width, area.height);
      pen.globalCompositeOperation = "destination-out";
      const there = layer.tiles.get(tile);
      if (there) pen.drawImage(there, 0, 0);
      if (isPainted(made)) tiles.set(tile, made);
    }
    if (!layer.locked) this.push(changed(this.state, layer.id, { tiles }), "Invert", tiles.size * WEIGHT);
  }

  /**
   * Words on the layer: asked for in a box where they will stand.
   * @param {Sample} sample
   */
  write(sample) {
    const size = Math.max(this.brush.radius * 2, 6);
    const [left, top] = this.view.toStage([sample.x, sample.y]);
    const box = make("textarea.canvas-words", { rows: "1", "aria-label": "Text to write; Ctrl+Enter places it", placeholder: "Text" });
    Object.assign(box.style, { left: `${left}px`, top: `${top}px`, fontSize: `${Math.max(size * this.view.scale, 8)}px`, color: this.ink });
    const end = (/** @type {boolean} */ keeps) => {
      if (!box.isConnected) return;
      const text = box.value;
      box.remove();
      if (!keeps || !text.trim()) return;
      const { area, draw } = words(text, size, [sample.x, sample.y], this.ink);
      this.paint("Text", area, draw, { opacity: this.tip.opacity });
    };
    box.addEventListener("keydown", (event) => {
      event.stopPropagation();
      if (event.key === "Escape" || (event.key === "Enter" && (event.ctrlKey || event.metaKey))) {
        event.preventDefault();
        end(event.key === "Enter");
      }
    });
    box.addEventListener("blur", () => end(true));
    this.stage.append(box);
    setTimeout(() => box.focus());
  }

  // --- selection ---

  /**
   * @param {Rect} area
   * @param {(pen: CanvasRenderingContext2D) => void} draw
   * @param {{shift: boolean, alt: boolean}} keys Shift adds to what is selected, Alt takes from it.
   */
  select(area, draw, { shift, alt }) {
    const { selection, bounds } = this.state;
    const draft = new Draft(selection && (shift || alt) ? selection : new Map(), { bounds, erasing: alt });
    draft.paint(area, draw);
    const { tiles, weight } = draft.finished();
    this.push({ ...this.state, selection: tiles.size ? tiles : null }, "Select", weight);
    this.drawOver();
  }

  /** All that is painted on the active layer. */
  selectLayer() {
    const tiles = this.layer?.tiles;
    if (tiles?.size) this.push({ ...this.state, selection: tiles }, "Select");
  }

  deselect() {
    if (this.state.selection) this.push({ ...this.state, selection: null }, "Deselect");
    this.drawOver();
  }

  selectInverse() {
    const { selection, bounds } = this.state;
    const draft = new Draft(new Map(), { bounds });
    draft.paint(bounds, (pen) => {
      pen.fillRect(bounds.x, bounds.y, bounds.width, bounds.height);
      pen.globalCompositeOperation = "destination-out";
      for (const [tile, content] of selection ?? []) pen.drawImage(content, placeOf(tile).x, placeOf(tile).y);
    });
    const { tiles, weight } = draft.finished();
    this.push({ ...this.state, selection: tiles.size ? tiles : null }, "Invert selection", weight);
  }

  // --- colours ---

  /**
   * Takes the colour of what is seen at a place.
   * @param {readonly [x: number, y: number]} place
   */
  pick([x, y]) {
    const spot = flattened(this.state, this.picture, (each) => each.kind === "raster", { x: Math.floor(x), y: Math.floor(y), width: 1, height: 1 });
    const [red, green, blue] = penOf(spot).getImageData(0, 0, 1, 1).data;
    this.colour = `#${[red, green, blue].map((part) => (part ?? 0).toString(16).padStart(2, "0")).join("")}`;
    this.tell("tool");
  }

  /** The eyedropper gives way to the tool before it. */
  picked() {
    this.take((this.before ?? TOOLS[0])?.name ?? "brush");
  }

  // --- tools and the view ---

  /** @param {string} name */
  take(name) {
    const tool = TOOLS.find((each) => each.name === name);
    if (!tool) return;
    if (tool !== this.tool) this.before = this.tool;
    this.tool = tool;
    this.stage.dataset.tool = name;
    this.point();
    this.tell("tool");
  }

  /**
   * While it is held, the pointer moves the picture.
   * @param {boolean} held
   */
  hold(held) {
    this.held = held;
    this.stage.classList.toggle("holding", held);
    this.point();
  }

  /** @param {number} by Of its slider. */
  resize(by) {
    const { tip } = this;
    tip.percent = Math.min(Math.max(tip.percent + by, 1), 100);
    this.point();
    this.tell("tool");
  }

  /** The stage has another size, or the window another density. */
  fitted() {
    const { clientWidth: width, clientHeight: height } = this.stage;
    if (!width || !height) return;
    const ratio = Math.min(devicePixelRatio || 1, 3);
    this.renderer.ratio = ratio;
    for (const canvas of [this.renderer.canvas, this.over]) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    this.view.resize({ width, height }, this.state.bounds);
    this.moved();
  }

  /** The picture is looked at otherwise. */
  moved() {
    this.renderer.stale = null;
    this.redraw();
    this.tell("view");
  }

  fit() {
    this.view.fit();
    this.moved();
  }

  actual() {
    this.view.zoomTo(1 / (devicePixelRatio || 1));
    this.moved();
  }

  /**
   * @param {number} by
   * @param {readonly [x: number, y: number]} [at]
   */
  zoom(by, at) {
    this.view.zoomTo(this.view.scale * by, at);
    this.point();
    this.moved();
  }

  /** Draws in the next frame. */
  redraw() {
    if (this.due) return;
    this.due = true;
    requestAnimationFrame(() => {
      this.due = false;
      this.renderer.draw(this.view);
      this.drawOver();
    });
  }

  /** What lies over the picture: the selection, the frame, and where the paper is. */
  drawOver() {
    const { x, y, width, height } = this.view.shown(this.state.bounds);
    Object.assign(this.paper.style, { left: `${x}px`, top: `${y}px`, width: `${width}px`, height: `${height}px` });
    const pen = penOf(this.over);
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.clearRect(0, 0, this.over.width, this.over.height);
    const { ratio } = this.renderer;
    if (this.state.selection) this.drawSelection(pen);
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    for (const draw of this.overlays) draw(pen);
    if (!this.outline) return;
    pen.setTransform(ratio * this.view.scale, 0, 0, ratio * this.view.scale, this.view.x * ratio, this.view.y * ratio);
    for (const [colour, dash] of /** @type {[string, number[]][]} */ ([["#000000", []], ["#ffffff", [4, 4]]])) {
      pen.strokeStyle = colour;
      pen.lineWidth = 1.5 / this.view.scale;
      pen.setLineDash(dash.map((part) => part / this.view.scale));
      pen.stroke(this.outline);
    }
    pen.setLineDash([]);
  }

  /**
   * What is not selected is dimmed.
   * @param {CanvasRenderingContext2D} pen In pixels of the screen.
   */
  drawSelection(pen) {
    const bounds = this.renderer.onScreen(this.state.bounds, this.view);
    pen.fillStyle = "rgb(12 11 10 / 45%)";
    pen.fillRect(bounds.x, bounds.y, bounds.width, bounds.height);
    pen.globalCompositeOperation = "destination-out";
    for (const [tile, content] of this.state.selection ?? []) {
      const { x, y, width, height } = this.renderer.onScreen(placeOf(tile), this.view);
      pen.drawImage(content, x, y, width, height);
    }
    pen.globalCompositeOperation = "source-over";
  }

  /** The ring around the pointer that shows the brush. */
  point() {
    const { last, tool } = this;
    this.cursor.hidden = !last || !tool.ring || this.held || last.pointerType === "touch";
    if (this.cursor.hidden || !last) return;
    const [x, y] = this.input.at(last);
    const size = this.brush.radius * 2 * this.view.scale;
    Object.assign(this.cursor.style, { width: `${size}px`, height: `${size}px`, left: `${x - size / 2}px`, top: `${y - size / 2}px` });
  }

  /** @param {Sample} sample Of the stage. */
  onPicture(sample) {
    const [x, y] = this.view.toPicture([sample.x, sample.y]);
    return { ...sample, x, y };
  }

  /** @returns {import("./input.js").Hands} */
  hands() {
    /** @type {Tool | null} */
    let used = null;
    const keys = (/** @type {PointerEvent} */ { shiftKey, altKey }) => ({ shift: shiftKey, alt: altKey });
    return {
      down: ([sample], event) => {
        this.last = event;
        if (!sample) return;
        const picks = event.altKey && this.tool.settings.includes("colour") && this.layer?.kind === "raster" && this.tool.name !== "lasso" && this.tool.name !== "rectangle";
        used = picks ? TOOLS.find(({ name }) => name === "dropper") ?? this.tool : this.tool;
        used.down(this, this.onPicture(sample), keys(event));
        if (picks) used = null;
      },
      move: (samples, event) => {
        this.last = event;
        used?.move?.(this, samples.map((sample) => this.onPicture(sample)), keys(event));
      },
      up: () => {
        used?.up?.(this);
        used = null;
      },
      cancel: () => {
        used?.cancel?.(this);
        used = null;
      },
      hover: (event) => {
        this.last = event;
        this.point();
      },
      pan: (across, down) => {
        this.view.pan(across, down);
        this.moved();
      },
      zoom: (by, at) => this.zoom(by, at),
      tap: (fingers) => (fingers === 2 ? this.undo() : fingers === 3 ? this.redo() : undefined),
      pans: () => this.held || this.tool.name === "hand",
    };
  }

  get isUsed() {
    return this.root.isConnected && this.root.checkVisibility() && (Boolean(this.last) || this.root.contains(document.activeElement));
  }
}
