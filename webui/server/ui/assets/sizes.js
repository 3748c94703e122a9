// @ts-check
// The arithmetic of sizes, in pixels. The server computes the same.

/** @typedef {[width: number, height: number]} Size */

/**
 * What hires fix makes out of a size: by a factor, or to sides of which one may be 0, which then follows the other.
 * @param {Size} from
 * @param {number} factor
 * @param {Size} to
 * @returns {Size}
 */
export function hires([width, height], factor, [toWidth, toHeight]) {
  if (toWidth && toHeight) return [toWidth, toHeight];
  if (toWidth) return [toWidth, Math.floor((toWidth * height) / width)];
  if (toHeight) return [Math.floor((toHeight * width) / height), toHeight];
  return [Math.floor(width * factor), Math.floor(height * factor)];
}

/**
 * What "Resize by" makes of a picture's size: down to what the latents can have.
 * @param {Size} size
 * @param {number} factor
 * @returns {Size}
 */
export function resized([width, height], factor) {
  const down = (/** @type {number} */ side) => Math.max(Math.floor((side * factor) / 8) * 8, 8);
  return [down(width), down(height)];
}

/**
 * The size that the form can have and that is nearest to a picture's.
 * @param {Size} size
 * @returns {Size}
 */
export function nearest([width, height]) {
  const eighths = (/** @type {number} */ side) => Math.min(Math.max(Math.round(side / 8) * 8, 64), 2048);
  return [eighths(width), eighths(height)];
}

/**
 * Where in a box, which shows a picture as large as it fits, the largest part of other proportions lies, in its middle.
 * @param {Size} box
 * @param {Size} picture
 * @param {Size} wanted
 */
export function framed([wide, high], [width, height], [across, down]) {
  const scale = Math.min(wide / width, high / height);
  const fit = Math.min((width * scale) / across, (height * scale) / down);
  const size = { width: across * fit, height: down * fit };
  return { ...size, left: (wide - size.width) / 2, top: (high - size.height) / 2 };
}

/**
 * A size that somebody wrote, such as "1024x768"; null: it is none.
 * @param {string} text
 * @returns {Size | null}
 */
export function written(text) {
  const match = /^\s*(\d{2,5})\s*[x×*]\s*(\d{2,5})\s*$/.exec(text);
  return match ? [Number(match[1]), Number(match[2])] : null;
}

/**
 * By how much an upscaler of this name enlarges; 0: it does not say.
 * @param {string} name
 */
export function factorIn(name) {
  const match = /(?<![a-z0-9])(\d{1,2})x(?![a-z0-9])|x(\d{1,2})(?!\d)/i.exec(name);
  const factor = Number(match?.[1] ?? match?.[2] ?? 0);
  return factor >= 1 && factor <= 8 ? factor : 0;
}
