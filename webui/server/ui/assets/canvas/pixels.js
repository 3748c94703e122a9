// @ts-check
// Canvases that pixels are kept in, and a change of a layer while it is being made.
import { make } from "../dom.js";
import { TILE, isEmpty, isSame, meet, placeOf, tilesIn, union, whole } from "./rects.js";

/** @typedef {import("./rects.js").Rect} Rect */
/** @typedef {HTMLCanvasElement} Tile A square of TILE pixels; once it is part of a state, nobody draws on it. */
/** @typedef {import("./states.js").Tiles<Tile>} Tiles */
/** @typedef {import("./states.js").State<Tile>} State */
/** @typedef {import("./states.js").Layer<Tile>} Layer */

/** Bytes of a tile. */
export const WEIGHT = TILE * TILE * 4;

/**
 * @param {HTMLCanvasElement} canvas
 * @returns {CanvasRenderingContext2D}
 */
export function penOf(canvas) {
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  if (!pen) throw new Error("This browser cannot draw, or has no memory left for it.");
  return pen;
}

/**
 * An empty canvas in the browser's own memory rather than that of the graphics card: there are many, and they are read.
 * @param {number} width
 * @param {number} height
 */
export const canvasOf = (width = TILE, height = TILE) => make("canvas", { width, height });

/**
 * A copy of a tile, or of what lies where there is none.
 * @param {Tile | null | undefined} tile
 */
export function copied(tile) {
  const made = canvasOf();
  if (tile) penOf(made).drawImage(tile, 0, 0);
  return made;
}

/** @type {WeakMap<Tile, boolean>} */
const painted = new WeakMap();

/**
 * Whether any pixel of a tile of a state is not wholly transparent.
 * @param {Tile} tile
 */
export function isPainted(tile) {
  const known = painted.get(tile);
  if (known !== undefined) return known;
  const words = new Uint32Array(penOf(tile).getImageData(0, 0, TILE, TILE).data.buffer);
  const found = words.some(Boolean);
  painted.set(tile, found);
  return found;
}

/**
 * Draws tiles on a canvas that shows `rect`.
 * @param {CanvasRenderingContext2D} pen
 * @param {Tiles} tiles
 * @param {Rect} rect
 */
export function drawTiles(pen, tiles, rect) {
  for (const [tile, content] of tiles) {
    const place = placeOf(tile);
    if (!isEmpty(meet(place, rect))) pen.drawImage(content, place.x - rect.x, place.y - rect.y);
  }
}

/**
 * A picture cut into tiles; squares without anything in them are left out.
 * @param {CanvasImageSource} picture
 * @param {Rect} rect Where it lies.
 * @param {"copy" | "smooth"} how
 * @returns {Map<number, Tile>}
 */
export function tilesOf(picture, rect, how = "copy") {
  const found = new Map();
  for (const tile of tilesIn(rect)) {
    const place = placeOf(tile);
    const made = canvasOf();
    const pen = penOf(made);
    pen.imageSmoothingEnabled = how === "smooth";
    pen.imageSmoothingQuality = "high";
    pen.drawImage(picture, rect.x - place.x, rect.y - place.y, rect.width, rect.height);
    if (isPainted(made)) found.set(tile, made);
  }
  return found;
}

/**
 * A change of one layer: what is drawn is gathered apart, so that it is laid on the layer as a whole, in the stroke's
 * opacity, and only where the selection allows it.
 */
export class Draft {
  /**
   * @param {Tiles} before
   * @param {object} how
   * @param {Rect} how.bounds Nothing is painted beyond it.
   * @param {Tiles | null} [how.selection]
   * @param {number} [how.opacity]
   * @param {boolean} [how.erasing]
   * @param {(tile: number) => Tile | null} [how.below] What lies where the layer has no tile.
   */
  constructor(before, { bounds, selection = null, opacity = 1, erasing = false, below = () => null }) {
    this.before = before;
    this.bounds = bounds;
    this.selection = selection;
    this.opacity = opacity;
    this.erasing = erasing;
    this.below = below;
    /** @type {Map<number, Tile>} What is drawn. */
    this.drawn = new Map();
    /** @type {Map<number, Tile>} The layer's tiles, with it. */
    this.after = new Map();
    /** @type {Map<number, Tile | null>} What these were before. */
    this.were = new Map();
    /** @type {Map<number, Rect>} What is to be composed anew, in pixels of each tile. */
    this.stale = new Map();
  }

  /**
   * Draws within a rectangle.
   * @param {Rect} rect Of the picture, as is all that `draw` does.
   * @param {(pen: CanvasRenderingContext2D) => void} draw
   */
  paint(rect, draw) {
    const area = whole(meet(rect, this.bounds));
    for (const tile of tilesIn(area)) {
      const place = placeOf(tile);
      let canvas = this.drawn.get(tile);
      if (!canvas) {
        canvas = canvasOf();
        this.drawn.set(tile, canvas);
      }
      const pen = penOf(canvas);
      pen.save();
      pen.translate(-place.x, -place.y);
      const allowed = meet(place, this.bounds);
      if (!isSame(allowed, place)) {
        pen.beginPath();
        pen.rect(allowed.x, allowed.y, allowed.width, allowed.height);
        pen.clip();
      }
      draw(pen);
      pen.restore();
      this.touch(tile, meet(area, place));
    }
  }

  /**
   * @param {number} tile
   * @param {Rect} rect
   */
  touch(tile, rect) {
    const place = placeOf(tile);
    const part = { ...rect, x: rect.x - place.x, y: rect.y - place.y };
    this.stale.set(tile, union(this.stale.get(tile) ?? part, part));
  }

  /** What was drawn goes, to be drawn otherwise. */
  clear() {
    for (const [tile, canvas] of this.drawn) {
      penOf(canvas).clearRect(0, 0, TILE, TILE);
      this.stale.set(tile, { x: 0, y: 0, width: TILE, height: TILE });
    }
  }

  /**
   * Brings the layer's tiles up to date.
   * @returns {Map<number, Rect>} What has changed, in pixels of each tile.
   */
  compose() {
    const { stale } = this;
    this.stale = new Map();
    for (const [tile, rect] of stale) {
      let after = this.after.get(tile);
      if (!after) {
        const before = this.before.get(tile) ?? this.below(tile);
        this.were.set(tile, before);
        after = copied(before);
        this.after.set(tile, after);
      }
      this.lay(tile, penOf(after), rect);
    }
    return stale;
  }

  /**
   * @param {number} tile
   * @param {CanvasRenderingContext2D} pen
   * @param {Rect} rect
   */
  lay(tile, pen, { x, y, width, height }) {
    const part = /** @type {const} */ ([x, y, width, height]);
    const before = this.were.get(tile);
    let drawn = this.drawn.get(tile);
    pen.clearRect(...part);
    if (before) pen.drawImage(before, ...part, ...part);
    if (drawn && this.selection) drawn = selected(drawn, this.selection.get(tile), part);
    if (!drawn) return;
    pen.globalAlpha = this.opacity;
    pen.globalCompositeOperation = this.erasing ? "destination-out" : "source-over";
    pen.drawImage(drawn, ...part, ...part);
    pen.globalAlpha = 1;
    pen.globalCompositeOperation = "source-over";
  }

  /**
   * @param {number} tile
   * @returns {Tile | undefined} The layer's, as it is now.
   */
  tile(tile) {
    return this.after.get(tile) ?? this.before.get(tile);
  }

  /**
   * The layer's tiles with the change, and how many bytes are new.
   * @param {boolean} keepsEmpty Whether a tile without anything in it means something: on the first picture.
   * @returns {{tiles: Map<number, Tile>, weight: number}}
   */
  finished(keepsEmpty = false) {
    this.compose();
    const tiles = new Map(this.before);
    for (const [tile, canvas] of this.after) {
      if (keepsEmpty || isPainted(canvas)) tiles.set(tile, canvas);
      else tiles.delete(tile);
    }
    return { tiles, weight: this.after.size * WEIGHT };
  }
}

/** @type {HTMLCanvasElement | undefined} */
let cut;

/**
 * What of a tile is within the selection's.
 * @param {Tile} drawn
 * @param {Tile | undefined} selection
 * @param {readonly [number, number, number, number]} part
 */
function selected(drawn, selection, part) {
  if (!selection) return undefined;
  cut ??= canvasOf();
  const pen = penOf(cut);
  pen.clearRect(...part);
  pen.drawImage(drawn, ...part, ...part);
  pen.globalCompositeOperation = "destination-in";
  pen.save();
  pen.beginPath();
  pen.rect(...part);
  pen.clip();
  pen.drawImage(selection, 0, 0);
  pen.restore();
  pen.globalCompositeOperation = "source-over";
  return cut;
}
