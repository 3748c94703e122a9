// @ts-check
// Where a place lies in a picture, and how large a brush is.

/**
 * @typedef {{width: number, height: number}} Extent
 */

/**
 * The size of what is painted on a picture: the picture's own, or, of the same shape, the largest that is allowed.
 * @param {Extent} picture
 * @param {number} largest
 * @returns {Extent}
 */
export function sheet({ width, height }, largest) {
  const shrink = Math.min(1, largest / Math.max(width, height));
  return { width: Math.round(width * shrink), height: Math.round(height * shrink) };
}

/**
 * The brush's radius in pixels of the picture: the slider grows faster towards its end.
 * @param {number} percent Of the slider.
 * @param {Extent} picture
 */
export function radius(percent, { width, height }) {
  const share = percent / 100;
  return Math.max(0.5, share * share * Math.min(width, height) * 0.4 + share * 8);
}

/**
 * A place in the window as a place in the picture.
 * @param {{clientX: number, clientY: number}} pointer
 * @param {{left: number, top: number, width: number, height: number}} box Where the picture lies in the window.
 * @param {Extent} picture
 * @returns {[x: number, y: number]}
 */
export const placeIn = ({ clientX, clientY }, box, picture) =>
  [((clientX - box.left) / box.width) * picture.width, ((clientY - box.top) / box.height) * picture.height];

/**
 * Makes a mask in black and white one of a colour on nothing.
 * @param {Uint8ClampedArray} pixels RGBA
 * @param {[red: number, green: number, blue: number]} colour
 */
export function stencilled(pixels, [red, green, blue]) {
  for (let at = 0; at < pixels.length; at += 4) {
    const chosen = (pixels[at] ?? 0) > 127 ? 255 : 0;
    pixels[at] = red;
    pixels[at + 1] = green;
    pixels[at + 2] = blue;
    pixels[at + 3] = chosen;
  }
}

const LEANS = 0.5;

/**
 * Which way a stick leans: -1, 0 or 1.
 * @param {number} axis -1 to 1.
 */
export const leaning = (axis) => (Math.abs(axis) < LEANS ? 0 : Math.sign(axis));
