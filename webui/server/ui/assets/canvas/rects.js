// @ts-check
// Rectangles in pixels, and the squares that the pixels of a layer are kept in.

/** @typedef {{x: number, y: number, width: number, height: number}} Rect */

/** Pixels of a tile's side. */
export const TILE = 256;
/** Tiles count from -FAR to FAR in both directions, so that a picture can grow over all of its edges. */
const FAR = 0x4000;

/** @type {Readonly<Rect>} */
export const NOTHING = Object.freeze({ x: 0, y: 0, width: 0, height: 0 });

/** @param {Rect} rect */
export const isEmpty = ({ width, height }) => !(width > 0 && height > 0);

/**
 * @param {Rect} one
 * @param {Rect} other
 */
export const isSame = (one, other) => one.x === other.x && one.y === other.y && one.width === other.width && one.height === other.height;

/**
 * The smallest rectangle around both.
 * @param {Rect} one
 * @param {Rect} other
 * @returns {Rect}
 */
export function union(one, other) {
  if (isEmpty(one)) return other;
  if (isEmpty(other)) return one;
  const [x, y] = [Math.min(one.x, other.x), Math.min(one.y, other.y)];
  return { x, y, width: Math.max(one.x + one.width, other.x + other.width) - x, height: Math.max(one.y + one.height, other.y + other.height) - y };
}

/**
 * What both have in common.
 * @param {Rect} one
 * @param {Rect} other
 * @returns {Rect}
 */
export function meet(one, other) {
  const [x, y] = [Math.max(one.x, other.x), Math.max(one.y, other.y)];
  const width = Math.min(one.x + one.width, other.x + other.width) - x;
  const height = Math.min(one.y + one.height, other.y + other.height) - y;
  return width > 0 && height > 0 ? { x, y, width, height } : NOTHING;
}

/**
 * @param {Rect} rect
 * @param {number} by
 * @returns {Rect}
 */
export const grown = ({ x, y, width, height }, by) => ({ x: x - by, y: y - by, width: width + 2 * by, height: height + 2 * by });

/**
 * Whole pixels, all that it touches.
 * @param {Rect} rect
 * @returns {Rect}
 */
export function whole({ x, y, width, height }) {
  const [left, top] = [Math.floor(x), Math.floor(y)];
  return { x: left, y: top, width: Math.ceil(x + width) - left, height: Math.ceil(y + height) - top };
}

/**
 * The rectangle between two corners.
 * @param {readonly [x: number, y: number]} one
 * @param {readonly [x: number, y: number]} other
 * @returns {Rect}
 */
export const between = ([x, y], [u, v]) => ({ x: Math.min(x, u), y: Math.min(y, v), width: Math.abs(u - x), height: Math.abs(v - y) });

/**
 * Around all points.
 * @param {readonly (readonly [x: number, y: number])[]} points
 * @returns {Rect}
 */
export function around(points) {
  if (!points.length) return NOTHING;
  const [xs, ys] = [points.map(([x]) => x), points.map(([, y]) => y)];
  return between([Math.min(...xs), Math.min(...ys)], [Math.max(...xs), Math.max(...ys)]);
}

/**
 * The number of a tile.
 * @param {number} across
 * @param {number} down
 */
export const tileAt = (across, down) => (down + FAR) * 2 * FAR + across + FAR;

/**
 * Where a tile lies.
 * @param {number} tile
 * @returns {Rect}
 */
export function placeOf(tile) {
  const across = (tile % (2 * FAR)) - FAR;
  const down = Math.floor(tile / (2 * FAR)) - FAR;
  return { x: across * TILE, y: down * TILE, width: TILE, height: TILE };
}

/**
 * All tiles that a rectangle touches.
 * @param {Rect} rect
 * @returns {number[]}
 */
export function tilesIn(rect) {
  if (isEmpty(rect)) return [];
  const found = [];
  const [right, bottom] = [Math.ceil((rect.x + rect.width) / TILE), Math.ceil((rect.y + rect.height) / TILE)];
  for (let down = Math.floor(rect.y / TILE); down < bottom; down += 1) {
    for (let across = Math.floor(rect.x / TILE); across < right; across += 1) found.push(tileAt(across, down));
  }
  return found;
}
