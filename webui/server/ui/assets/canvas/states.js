// @ts-check
// What a canvas holds, as values that never change: layers, a selection, a frame. A step of the history is such a value,
// which shares all tiles with the one before it but those that were painted on. Pure: a tile may be anything.
import { isEmpty, isSame, meet, placeOf, union } from "./rects.js";

/** @typedef {import("./rects.js").Rect} Rect */
/** @typedef {"raster" | "mask" | "region" | "control"} Kind */
/**
 * @template T
 * @typedef {ReadonlyMap<number, T>} Tiles By their numbers (`rects.js`); where there is none, nothing is painted.
 */
/**
 * @template T
 * @typedef {object} Layer
 * @property {string} id
 * @property {string} name
 * @property {Kind} kind
 * @property {number} opacity 0 to 1.
 * @property {string} blend A name of BLENDS.
 * @property {boolean} visible
 * @property {boolean} locked
 * @property {boolean} base Whether it is the picture that everything began with, which lies below its tiles.
 * @property {string} colour How masks and regions are shown, as #rrggbb.
 * @property {string} text What is written there, or the words of a region.
 * @property {Tiles<T>} tiles
 */
/**
 * @template T
 * @typedef {object} State
 * @property {Rect} bounds The picture. It may begin left of or above 0, 0, where the first picture began.
 * @property {readonly Layer<T>[]} layers From the lowest.
 * @property {Tiles<T> | null} selection What is opaque there can be painted on; null: everything.
 * @property {Rect | null} frame The part that is generated; null: all.
 */

/** How a layer is laid on what is below it: what people read -> the browser's name. */
export const BLENDS = Object.freeze({
  "Normal": "source-over", "Multiply": "multiply", "Screen": "screen", "Overlay": "overlay", "Darken": "darken",
  "Lighten": "lighten", "Color dodge": "color-dodge", "Color burn": "color-burn", "Hard light": "hard-light",
  "Soft light": "soft-light", "Difference": "difference", "Exclusion": "exclusion", "Hue": "hue",
  "Saturation": "saturation", "Color": "color", "Luminosity": "luminosity", "Add": "lighter",
});
/** @type {Readonly<Record<Kind, string>>} */
export const KINDS = Object.freeze({ raster: "Paint", mask: "Mask", region: "Region", control: "Control" });
/** The colours of regions, in turn. */
export const REGION_COLOURS = Object.freeze(["#2f7d5b", "#c93a2b", "#b7791f", "#1f6fb7", "#8a3fb0", "#0f8b8d"]);
export const MASK_COLOUR = "#4a47dc";

/**
 * @template T
 * @param {Partial<Layer<T>> & {id: string, kind: Kind}} given
 * @returns {Layer<T>}
 */
export const layer = (given) => ({
  name: KINDS[given.kind], opacity: given.kind === "mask" ? 0.6 : given.kind === "region" ? 0.5 : 1, blend: "Normal",
  visible: true, locked: false, base: false, colour: MASK_COLOUR, text: "", tiles: new Map(), ...given,
});

/**
 * @template T
 * @param {State<T>} state
 * @param {string} id
 * @returns {Layer<T> | undefined}
 */
export const layerOf = (state, id) => state.layers.find((each) => each.id === id);

/**
 * @template T
 * @param {State<T>} state
 * @param {string} id
 * @param {Partial<Layer<T>>} changes
 * @returns {State<T>}
 */
export const changed = (state, id, changes) => ({
  ...state, layers: state.layers.map((each) => (each.id === id ? { ...each, ...changes } : each)),
});

/**
 * Another layer, above that of the id; else above all.
 * @template T
 * @param {State<T>} state
 * @param {Layer<T>} added
 * @param {string} above
 * @returns {State<T>}
 */
export function withLayer(state, added, above = "") {
  const at = state.layers.findIndex((each) => each.id === above) + 1 || state.layers.length;
  return { ...state, layers: [...state.layers.slice(0, at), added, ...state.layers.slice(at)] };
}

/**
 * @template T
 * @param {State<T>} state
 * @param {string} id
 * @returns {State<T>}
 */
export const withoutLayer = (state, id) => ({ ...state, layers: state.layers.filter((each) => each.id !== id) });

/**
 * A layer goes up (1) or down (-1), as far as there are others.
 * @template T
 * @param {State<T>} state
 * @param {string} id
 * @param {number} by
 * @returns {State<T>}
 */
export function shifted(state, id, by) {
  const layers = [...state.layers];
  const at = layers.findIndex((each) => each.id === id);
  const to = at + by;
  if (at < 0 || to < 0 || to >= layers.length) return state;
  layers.splice(to, 0, ...layers.splice(at, 1));
  return { ...state, layers };
}

/**
 * A picture that is larger, so that it reaches over `rect`.
 * @template T
 * @param {State<T>} state
 * @param {Rect} rect
 * @returns {State<T>}
 */
export const reaching = (state, rect) => ({ ...state, bounds: union(state.bounds, rect) });

/**
 * Whether two layers look different even where their tiles are the same.
 * @template T
 * @param {Layer<T>} one
 * @param {Layer<T>} other
 */
const looksDifferent = (one, other) => one.id !== other.id || one.opacity !== other.opacity || one.blend !== other.blend
  || one.visible !== other.visible || one.colour !== other.colour || one.base !== other.base || one.kind !== other.kind;

/**
 * The tiles that look different in two states; null: all of them may.
 * @template T
 * @param {State<T>} one
 * @param {State<T>} other
 * @returns {Set<number> | null}
 */
export function difference(one, other) {
  const sameLayers = one.layers.length === other.layers.length
    && one.layers.every((each, at) => !looksDifferent(each, /** @type {Layer<T>} */ (other.layers[at])));
  if (!sameLayers || !isSame(one.bounds, other.bounds)) return null;
  /** @type {Set<number>} */
  const found = new Set();
  one.layers.forEach((each, at) => {
    for (const tile of unequal(each.tiles, other.layers[at]?.tiles ?? new Map())) found.add(tile);
  });
  return found;
}

/**
 * @template T
 * @param {Tiles<T>} one
 * @param {Tiles<T>} other
 * @returns {number[]}
 */
export function unequal(one, other) {
  if (one === other) return [];
  const tiles = new Set([...one.keys(), ...other.keys()]);
  return [...tiles].filter((tile) => one.get(tile) !== other.get(tile));
}

/**
 * The tiles of a layer that are within the picture.
 * @template T
 * @param {Tiles<T>} tiles
 * @param {Rect} bounds
 * @returns {[tile: number, content: T][]}
 */
export const within = (tiles, bounds) => [...tiles].filter(([tile]) => !isEmpty(meet(placeOf(tile), bounds)));
