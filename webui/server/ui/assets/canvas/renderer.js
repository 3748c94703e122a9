// @ts-check
// What is seen: layers laid on each other, tile by tile, and of them what lies in the window. While somebody paints, only
// what the brush touched is done anew: what lies below and above the layer is kept composed for the tiles under it.
import { canvasOf, penOf } from "./pixels.js";
import { TILE, isEmpty, meet, placeOf, tilesIn } from "./rects.js";
import { BLENDS, difference } from "./states.js";

/** @typedef {import("./rects.js").Rect} Rect */
/** @typedef {import("./pixels.js").Tile} Tile */
/** @typedef {import("./pixels.js").State} State */
/** @typedef {import("./pixels.js").Layer} Layer */
/** @typedef {import("./pixels.js").Draft} Draft */
/** @typedef {import("./view.js").View} View */

const ALL = /** @type {const} */ ({ x: 0, y: 0, width: TILE, height: TILE });
/** Tiles whose stacks below and above are kept. */
const KEPT = 160;

/** @type {Record<string, GlobalCompositeOperation>} */
const BLEND = /** @type {any} */ (BLENDS);

export class Renderer {
  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.canvas = canvas;
    const pen = canvas.getContext("2d", { desynchronized: false });
    if (!pen) throw new Error("This browser cannot draw.");
    this.pen = pen;
    /** @type {State | null} */
    this.state = null;
    /** @type {HTMLCanvasElement | null} The picture that everything began with, at 0, 0. */
    this.picture = null;
    this.active = "";
    /** @type {{layer: string, draft: Draft} | null} */
    this.draft = null;
    /** @type {Map<number, HTMLCanvasElement>} */
    this.flat = new Map();
    /** @type {Map<number, HTMLCanvasElement>} */
    this.under = new Map();
    /** @type {Map<number, HTMLCanvasElement | null>} null: layers above blend, and are laid on one by one. */
    this.over = new Map();
    /** @type {Map<number, Rect> | null} What the window shows wrongly; null: everything. */
    this.stale = null;
    this.ratio = 1;
  }

  /**
   * @param {State} state
   * @param {string} active The layer that is painted on.
   */
  show(state, active) {
    const before = this.state;
    if (active !== this.active) this.forgetStacks();
    this.active = active;
    this.state = state;
    if (!before || before === state) return;
    const changed = difference(before, state);
    if (changed === null) {
      this.flat.clear();
      this.forgetStacks();
      this.stale = null;
      return;
    }
    for (const tile of changed) {
      this.flat.delete(tile);
      this.under.delete(tile);
      this.over.delete(tile);
      this.stale?.set(tile, ALL);
    }
  }

  forgetStacks() {
    this.under.clear();
    this.over.clear();
  }

  /** Everything is drawn anew. */
  forget() {
    this.flat.clear();
    this.forgetStacks();
    this.stale = null;
  }

  /**
   * Takes in what a draft has changed.
   * @param {Map<number, Rect>} changed
   */
  touch(changed) {
    for (const [tile, rect] of changed) {
      this.compose(tile, rect);
      this.stale?.set(tile, rect);
    }
  }

  /**
   * What the picture is made of at a tile of a layer.
   * @param {Layer} layer
   * @param {number} tile
   * @returns {Tile | undefined}
   */
  content(layer, tile) {
    return this.draft?.layer === layer.id ? this.draft.draft.tile(tile) : layer.tiles.get(tile);
  }

  /**
   * @param {CanvasRenderingContext2D} pen
   * @param {readonly Layer[]} layers
   * @param {number} tile
   * @param {Rect} rect
   */
  lay(pen, layers, tile, { x, y, width, height }) {
    const part = /** @type {const} */ ([x, y, width, height]);
    for (const layer of layers) {
      if (!layer.visible || !layer.opacity) continue;
      const content = this.content(layer, tile);
      if (!content && !layer.base) continue;
      pen.globalAlpha = layer.opacity;
      pen.globalCompositeOperation = BLEND[layer.blend] ?? "source-over";
      if (content) pen.drawImage(content, ...part, ...part);
      else this.layPicture(pen, tile, part);
    }
    pen.globalAlpha = 1;
    pen.globalCompositeOperation = "source-over";
  }

  /**
   * @param {CanvasRenderingContext2D} pen
   * @param {number} tile
   * @param {readonly [number, number, number, number]} part
   */
  layPicture(pen, tile, [x, y, width, height]) {
    if (!this.picture) return;
    const place = placeOf(tile);
    const there = meet({ x: place.x + x, y: place.y + y, width, height },
      { x: 0, y: 0, width: this.picture.width, height: this.picture.height });
    if (isEmpty(there)) return;
    pen.drawImage(this.picture, there.x, there.y, there.width, there.height, there.x - place.x, there.y - place.y, there.width, there.height);
  }

  /**
   * Lays the layers on each other.
   * @param {number} tile
   * @param {Rect} rect Of the tile.
   */
  compose(tile, rect) {
    const layers = this.state?.layers ?? [];
    let flat = this.flat.get(tile);
    if (!flat) {
      flat = canvasOf();
      this.flat.set(tile, flat);
      rect = ALL;
    }
    const pen = penOf(flat);
    const part = /** @type {const} */ ([rect.x, rect.y, rect.width, rect.height]);
    pen.clearRect(...part);
    const at = layers.findIndex((layer) => layer.id === this.active);
    if (!this.draft || at < 0) {
      this.lay(pen, layers, tile, rect);
      return flat;
    }
    this.stack(tile, layers, at);
    const [under, over] = [this.under.get(tile), this.over.get(tile)];
    if (under) pen.drawImage(under, ...part, ...part);
    this.lay(pen, layers.slice(at, at + 1), tile, rect);
    if (over) pen.drawImage(over, ...part, ...part);
    else if (over === null) this.lay(pen, layers.slice(at + 1), tile, rect);
    return flat;
  }

  /**
   * Keeps what lies below and above the active layer.
   * @param {number} tile
   * @param {readonly Layer[]} layers
   * @param {number} at
   */
  stack(tile, layers, at) {
    if (this.under.has(tile)) return;
    if (this.under.size > KEPT) this.forgetStacks();
    const under = canvasOf();
    this.lay(penOf(under), layers.slice(0, at), tile, ALL);
    this.under.set(tile, under);
    const above = layers.slice(at + 1);
    if (above.some((layer) => layer.visible && layer.blend !== "Normal")) {
      this.over.set(tile, null);
      return;
    }
    const over = canvasOf();
    this.lay(penOf(over), above, tile, ALL);
    this.over.set(tile, over);
  }

  /**
   * Draws what the window shows wrongly.
   * @param {View} view
   */
  draw(view) {
    if (!this.state) return;
    const { pen, stale } = this;
    if (!stale) {
      pen.clearRect(0, 0, this.canvas.width, this.canvas.height);
      for (const tile of tilesIn(meet(view.seen, this.state.bounds))) this.drawTile(tile, ALL, view, false);
    } else for (const [tile, rect] of stale) this.drawTile(tile, rect, view, true);
    this.stale = new Map();
  }

  /**
   * @param {number} tile
   * @param {Rect} rect What of it has changed.
   * @param {View} view
   * @param {boolean} clears Whether something is there already.
   */
  drawTile(tile, rect, view, clears) {
    const { pen, ratio } = this;
    const place = placeOf(tile);
    const bounds = /** @type {State} */ (this.state).bounds;
    const shown = meet(place, bounds);
    const box = this.onScreen(place, view);
    const inside = this.onScreen(shown, view);
    if (isEmpty(shown) || inside.x > this.canvas.width || inside.y > this.canvas.height || inside.x + inside.width < 0 || inside.y + inside.height < 0) return;
    const edge = 2 + 2 / (view.scale * ratio);
    const part = meet(shown, { x: place.x + rect.x - edge, y: place.y + rect.y - edge, width: rect.width + 2 * edge, height: rect.height + 2 * edge });
    const clip = this.onScreen(part, view);
    const flat = this.flat.get(tile) ?? this.compose(tile, ALL);
    pen.save();
    pen.beginPath();
    pen.rect(clip.x, clip.y, clip.width, clip.height);
    pen.clip();
    if (clears) pen.clearRect(clip.x, clip.y, clip.width, clip.height);
    pen.imageSmoothingEnabled = view.scale * ratio < 2;
    pen.imageSmoothingQuality = view.scale * ratio < 0.7 ? "medium" : "low";
    pen.drawImage(flat, box.x, box.y, box.width, box.height);
    pen.restore();
  }

  /**
   * In whole pixels of the screen, so that tiles meet without a seam.
   * @param {Rect} rect
   * @param {View} view
   * @returns {Rect}
   */
  onScreen(rect, view) {
    const shown = view.shown(rect);
    const at = (/** @type {number} */ value) => Math.round(value * this.ratio);
    const [x, y] = [at(shown.x), at(shown.y)];
    return { x, y, width: at(shown.x + shown.width) - x, height: at(shown.y + shown.height) - y };
  }
}

/**
 * The layers that are wanted, on one canvas.
 * @param {State} state
 * @param {HTMLCanvasElement | null} picture
 * @param {(layer: Layer) => boolean} wants
 * @param {Rect} rect
 * @param {{plain?: boolean}} how `plain`: every one wholly opaque, and on top of the others.
 */
export function flattened(state, picture, wants, rect = state.bounds, { plain = false } = {}) {
  const canvas = canvasOf(Math.max(rect.width, 1), Math.max(rect.height, 1));
  const pen = penOf(canvas);
  for (const layer of state.layers) {
    if (!layer.visible || !wants(layer)) continue;
    pen.globalAlpha = plain ? 1 : layer.opacity;
    pen.globalCompositeOperation = plain ? "source-over" : BLEND[layer.blend] ?? "source-over";
    if (layer.base && picture) layBase(pen, layer, picture, rect);
    else for (const [tile, content] of layer.tiles) {
      const place = placeOf(tile);
      if (!isEmpty(meet(place, rect))) pen.drawImage(content, place.x - rect.x, place.y - rect.y);
    }
  }
  pen.globalAlpha = 1;
  pen.globalCompositeOperation = "source-over";
  return canvas;
}

/**
 * The first picture, with what was painted on itself.
 * @param {CanvasRenderingContext2D} pen
 * @param {Layer} layer
 * @param {HTMLCanvasElement} picture
 * @param {Rect} rect
 */
function layBase(pen, layer, picture, rect) {
  if (!layer.tiles.size) {
    pen.drawImage(picture, -rect.x, -rect.y);
    return;
  }
  const whole = canvasOf(rect.width, rect.height);
  const own = penOf(whole);
  own.drawImage(picture, -rect.x, -rect.y);
  for (const [tile, content] of layer.tiles) {
    const place = placeOf(tile);
    own.clearRect(place.x - rect.x, place.y - rect.y, TILE, TILE);
    own.drawImage(content, place.x - rect.x, place.y - rect.y);
  }
  pen.drawImage(whole, 0, 0);
}
