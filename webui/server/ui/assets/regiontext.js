// @ts-check
// Regions of a picture as the text that forms carry (`features/regions.py`), and their geometry: all places are shares
// of the picture's width and height.
/** @import { Extent } from "./geometry.js" */

/**
 * What is not named here stays as it is.
 * @typedef {{
 *   [name: string]: unknown,
 *   x: number, y: number, w: number, h: number,
 *   prompt: string, neg_prompt?: string, weight?: number,
 *   strokes?: number[][],
 * }} Region
 * @typedef {[x: number, y: number]} Place
 * @typedef {{x: number, y: number, w: number, h: number}} Rectangle
 * @typedef {"nw" | "ne" | "sw" | "se"} Corner
 */

const DEFAULTS = { x: 0.4, y: 0.4, w: 0.2, h: 0.2, prompt: "" };
const LEAST = 0.01;
/** @type {Corner[]} */
export const CORNERS = ["nw", "ne", "sw", "se"];

const isNumber = (/** @type {unknown} */ value) => typeof value === "number" && Number.isFinite(value);
const exact = (/** @type {number} */ value) => Math.round(value * 1000) / 1000;
const held = (/** @type {number} */ value, low = 0, high = 1) => Math.min(Math.max(value, low), high);

/**
 * The regions of a text; null: it has none that can be drawn.
 * @param {string} text
 * @returns {Region[] | null}
 */
export function read(text) {
  if (!text.trim()) return [];
  /** @type {unknown} */
  let told;
  try {
    told = JSON.parse(text);
  } catch {
    return null;
  }
  if (!told || typeof told !== "object" || Array.isArray(told)) return null;
  const found = Object.values(told);
  return found.every(isRegion) ? found.map((region) => ({ ...DEFAULTS, ...region })) : null;
}

/** @param {any} region */
function isRegion(region) {
  if (!region || typeof region !== "object" || Array.isArray(region)) return false;
  const { x = 0, y = 0, w = 0, h = 0, prompt = "", neg_prompt = "", weight = 0, strokes = [] } = region;
  return [x, y, w, h, weight].every(isNumber) && typeof prompt === "string" && typeof neg_prompt === "string"
    && Array.isArray(strokes) && strokes.every((stroke) => Array.isArray(stroke) && stroke.every(isNumber));
}

/**
 * @param {Region[]} regions
 * @returns {string} "": there is none.
 */
export function written(regions) {
  if (!regions.length) return "";
  return JSON.stringify(Object.fromEntries(regions.map((region, at) => [`Region ${at + 1}`, region])));
}

/**
 * The hue of each region's colour, in degrees: as far as may be from those before, as masks have them.
 * @param {number} at From 0.
 */
export function hue(at) {
  if (at === 0) return 0;
  const level = Math.floor(Math.log2(at));
  return (180 / 2 ** level) * (2 * (at - 2 ** level) + 1);
}

/**
 * @param {Region} region
 */
export const isPainted = (region) => Boolean(region.strokes?.length);

/**
 * The rectangle between two places, within the picture; null: it is too small to be meant.
 * @param {Place} from
 * @param {Place} to
 * @returns {Rectangle | null}
 */
export function between(from, to) {
  const [left, right] = [from[0], to[0]].map((value) => held(value)).sort((a, b) => a - b);
  const [top, bottom] = [from[1], to[1]].map((value) => held(value)).sort((a, b) => a - b);
  const found = { x: exact(left ?? 0), y: exact(top ?? 0), w: exact((right ?? 0) - (left ?? 0)), h: exact((bottom ?? 0) - (top ?? 0)) };
  return found.w < LEAST || found.h < LEAST ? null : found;
}

/**
 * The region further on; a rectangle stays within the picture.
 * @param {Region} region
 * @param {Place} by
 * @returns {Region}
 */
export function moved(region, [dx, dy]) {
  if (region.strokes?.length) {
    const strokes = region.strokes.map(([radius = 0, ...places]) =>
      [radius, ...places.map((value, at) => exact(value + (at % 2 ? dy : dx)))]);
    return { ...region, strokes };
  }
  return { ...region, x: exact(held(region.x + dx, 0, 1 - region.w)), y: exact(held(region.y + dy, 0, 1 - region.h)) };
}

/**
 * The rectangle with one of its corners elsewhere; the opposite one stays.
 * @param {Region} region
 * @param {Corner} corner
 * @param {Place} to
 * @returns {Region}
 */
export function resized(region, corner, to) {
  /** @type {Place} */
  const fixed = [region.x + (corner.endsWith("w") ? region.w : 0), region.y + (corner.startsWith("n") ? region.h : 0)];
  return { ...region, ...between(fixed, to) };
}

/**
 * Whether a region covers a place. extent: the picture's size, in which a brush is round.
 * @param {Region} region
 * @param {Place} place
 * @param {Extent} extent
 */
export function covers(region, [x, y], extent) {
  if (!region.strokes?.length) return x >= region.x && x <= region.x + region.w && y >= region.y && y <= region.y + region.h;
  const short = Math.min(extent.width, extent.height);
  const [px, py] = [(x * extent.width) / short, (y * extent.height) / short];
  let inside = false;
  for (const [radius = 0, ...places] of region.strokes) {
    /** @type {Place[]} */
    const points = [];
    for (let at = 0; at + 1 < places.length; at += 2) {
      points.push([((places[at] ?? 0) * extent.width) / short, ((places[at + 1] ?? 0) * extent.height) / short]);
    }
    const near = points.some((point, at) => distance([px, py], points[Math.max(at - 1, 0)] ?? point, point) <= Math.abs(radius));
    if (near) inside = radius > 0;
  }
  return inside;
}

/**
 * The rectangle around what is painted, within the picture.
 * @param {Region} region
 * @param {Extent} extent
 * @returns {Rectangle}
 */
export function bounds(region, { width, height }) {
  const short = Math.min(width, height);
  let [left, top, right, bottom] = [1, 1, 0, 0];
  for (const [radius = 0, ...places] of region.strokes ?? []) {
    if (radius < 0) continue;
    places.forEach((value, at) => {
      const reach = (radius * short) / (at % 2 ? height : width);
      if (at % 2) [top, bottom] = [Math.min(top, value - reach), Math.max(bottom, value + reach)];
      else [left, right] = [Math.min(left, value - reach), Math.max(right, value + reach)];
    });
  }
  [left, top, right, bottom] = [held(left), held(top), held(right), held(bottom)];
  return { x: left, y: top, w: Math.max(right - left, 0), h: Math.max(bottom - top, 0) };
}

/**
 * From a place to the line between two others.
 * @param {Place} place
 * @param {Place} from
 * @param {Place} to
 */
function distance([x, y], [ax, ay], [bx, by]) {
  const [dx, dy] = [bx - ax, by - ay];
  const along = held(((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy || 1));
  return Math.hypot(x - ax - along * dx, y - ay - along * dy);
}

/**
 * A stroke as regions have it; of its places, those that lie nearer to the one before than a third of the brush are left
 * out, but never the last.
 * @param {number} radius Below 0: it erases.
 * @param {Place[]} places
 * @returns {number[]}
 */
export function stroke(radius, places) {
  /** @type {Place[]} */
  const kept = [];
  places.forEach((place, at) => {
    const [lastX, lastY] = kept.at(-1) ?? [Infinity, Infinity];
    const far = Math.hypot(place[0] - lastX, place[1] - lastY) >= Math.abs(radius) / 3;
    if (far || at === places.length - 1) kept.push(place);
  });
  return [exact(radius) || Math.sign(radius) * 0.001, ...kept.flat().map(exact)];
}

/** How many numbers the strokes of a region have. */
export const numbersOf = (/** @type {Region} */ region) => (region.strokes ?? []).reduce((sum, each) => sum + each.length, 0);
