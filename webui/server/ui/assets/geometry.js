// @ts-check
// Where a picture lies in its frame, and how large a brush is.

/**
 * @typedef {{width: number, height: number}} Extent
 * @typedef {{width: number, height: number, left: number, top: number, scale: number}} Fit
 */

/**
 * A picture centred in a frame, as large as it can be. `scale` is pixels of the frame for a pixel of the picture.
 * @param {Extent} frame
 * @param {Extent} picture
 * @returns {Fit}
 */
export function fitted(frame, picture) {
  const scale = Math.min(frame.width / picture.width, frame.height / picture.height) || 1;
  const [width, height] = [picture.width * scale, picture.height * scale];
  return { width, height, left: (frame.width - width) / 2, top: (frame.height - height) / 2, scale };
}

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
 * Turns paint into a mask, in place: white where there is paint, black elsewhere -> whether there is any.
 * @param {Uint8ClampedArray} pixels RGBA
 */
export function whitened(pixels) {
  let painted = false;
  for (let at = 0; at < pixels.length; at += 4) {
    const white = (pixels[at + 3] ?? 0) > 127 ? 255 : 0;
    painted ||= white > 0;
    pixels[at] = pixels[at + 1] = pixels[at + 2] = white;
    pixels[at + 3] = 255;
  }
  return painted;
}

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

/**
 * Whether any pixel is not wholly transparent.
 * @param {Uint8ClampedArray} pixels RGBA
 */
export const isPainted = (pixels) => pixels.some((value, at) => at % 4 === 3 && value > 0);

const LEANS = 0.5;

/**
 * Which way a stick leans: -1, 0 or 1.
 * @param {number} axis -1 to 1.
 */
export const leaning = (axis) => (Math.abs(axis) < LEANS ? 0 : Math.sign(axis));
