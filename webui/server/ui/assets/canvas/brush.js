// @ts-check
// How a brush moves: how large it is where, at which places it is pressed on, and its mirror images. Pure.

/** @typedef {import("./rects.js").Rect} Rect */
/** @typedef {{x: number, y: number, pressure: number, tiltX: number, tiltY: number}} Sample `pressure`: 0 to 1; tilts in degrees. */
/** @typedef {{x: number, y: number, radius: number, strength: number, angle: number, ratio: number}} Dab `ratio`: its length to its width. */
/**
 * @typedef {object} Brush
 * @property {number} radius Pixels of the picture.
 * @property {number} hardness 0 to 1.
 * @property {number} opacity 0 to 1, of the stroke as a whole.
 * @property {string} colour
 * @property {boolean} erasing
 * @property {boolean} pressesSize Whether a pen's pressure makes it larger.
 * @property {boolean} pressesOpacity Whether a pen's pressure makes it more opaque.
 * @property {boolean} tilts Whether a pen that is tilted draws a longer dab.
 * @property {Symmetry} symmetry
 */
/** @typedef {"none" | "across" | "down" | "both"} Symmetry */

/** Parts of the radius between two dabs of a soft brush. */
const SPACING = 0.22;
/** The thinnest part of a stroke, as a share of the brush. */
const THINNEST = 0.08;

/**
 * @param {Brush} brush
 * @param {Sample} sample
 * @returns {Dab}
 */
export function dab({ radius, pressesSize, pressesOpacity, tilts }, { x, y, pressure, tiltX, tiltY }) {
  const pressed = Math.min(Math.max(pressure, 0), 1);
  const lean = tilts ? Math.min(Math.hypot(tiltX, tiltY), 70) / 70 : 0;
  return {
    x, y,
    radius: Math.max(radius * (pressesSize ? THINNEST + (1 - THINNEST) * pressed : 1), 0.35),
    strength: pressesOpacity ? pressed : 1,
    angle: lean > 0.15 ? Math.atan2(tiltY, tiltX) : 0,
    ratio: lean > 0.15 ? 1 + lean * 1.5 : 1,
  };
}

/**
 * The dabs between two, the last one included, and how far behind the last one is what is left to go on with.
 * @param {Dab} from
 * @param {Dab} to
 * @param {number} left Pixels since the last dab.
 * @returns {{dabs: Dab[], left: number}}
 */
export function pressed(from, to, left) {
  const length = Math.hypot(to.x - from.x, to.y - from.y);
  const dabs = [];
  let at = 0;
  let gone = left;
  for (;;) {
    const here = mixed(from, to, length ? at / length : 1);
    const step = Math.max(here.radius * SPACING, 0.5) - gone;
    if (at + step > length) return { dabs, left: gone + length - at };
    at += Math.max(step, 0.01);
    gone = 0;
    dabs.push(mixed(from, to, at / length));
  }
}

/**
 * @param {Dab} from
 * @param {Dab} to
 * @param {number} share
 * @returns {Dab}
 */
export function mixed(from, to, share) {
  const of = (/** @type {"x" | "y" | "radius" | "strength" | "ratio"} */ name) => from[name] + (to[name] - from[name]) * share;
  return { x: of("x"), y: of("y"), radius: of("radius"), strength: of("strength"), ratio: of("ratio"), angle: to.angle };
}

/**
 * How opaque a single dab of a soft brush is, so that all that lie on each other come near to the whole.
 * @param {number} hardness
 */
export const flow = (hardness) => 1 - (1 - 0.985) ** (SPACING / (0.6 + hardness));

/**
 * The outline of a stroke between two round dabs: tangents on both sides, and the arcs around both ends.
 * `full` says that one lies within the other, and is all that there is.
 * @param {Dab} from
 * @param {Dab} to
 * @returns {{full: Dab | null, side: number, along: number}} Angles in radians.
 */
export function capsule(from, to) {
  const [dx, dy] = [to.x - from.x, to.y - from.y];
  const length = Math.hypot(dx, dy);
  const narrows = from.radius - to.radius;
  if (length <= Math.abs(narrows) + 1e-6) return { full: narrows > 0 ? from : to, side: 0, along: 0 };
  return { full: null, along: Math.atan2(dy, dx), side: Math.acos(narrows / length) };
}

/**
 * A dab and its mirror images about the picture's middle.
 * @param {Dab} one
 * @param {Symmetry} symmetry
 * @param {Rect} bounds
 * @returns {Dab[]}
 */
export function mirrored(one, symmetry, bounds) {
  if (symmetry === "none") return [one];
  const x = 2 * bounds.x + bounds.width - one.x;
  const y = 2 * bounds.y + bounds.height - one.y;
  const across = { ...one, x, angle: Math.PI - one.angle };
  const down = { ...one, y, angle: -one.angle };
  if (symmetry === "across") return [one, across];
  if (symmetry === "down") return [one, down];
  return [one, across, down, { ...one, x, y, angle: Math.PI + one.angle }];
}
