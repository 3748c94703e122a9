// @ts-check
// What a bucket of paint fills: all pixels that hang together with one and look like it. Pure.

/**
 * @param {Uint8ClampedArray} pixels RGBA
 * @param {number} width
 * @param {number} height
 * @param {readonly [x: number, y: number]} from Whole pixels.
 * @param {number} tolerance By how much any part of a colour may differ, 0 to 255.
 * @returns {Uint8Array} 1 where it is filled, a byte a pixel.
 */
export function flood(pixels, width, height, [x, y], tolerance) {
  const found = new Uint8Array(width * height);
  if (!(x >= 0 && y >= 0 && x < width && y < height)) return found;
  const at = (y * width + x) * 4;
  const wanted = [pixels[at] ?? 0, pixels[at + 1] ?? 0, pixels[at + 2] ?? 0, pixels[at + 3] ?? 0];
  const alike = (/** @type {number} */ pixel) => {
    const start = pixel * 4;
    // Colours of what is wholly transparent say nothing.
    if (!wanted[3] && !pixels[start + 3]) return true;
    for (let part = 0; part < 4; part += 1) {
      if (Math.abs((pixels[start + part] ?? 0) - (wanted[part] ?? 0)) > tolerance) return false;
    }
    return true;
  };
  const waiting = [y * width + x];
  while (waiting.length) {
    const pixel = /** @type {number} */ (waiting.pop());
    if (found[pixel]) continue;
    const row = pixel - (pixel % width);
    let [left, right] = [pixel, pixel];
    while (left > row && !found[left - 1] && alike(left - 1)) left -= 1;
    while (right < row + width - 1 && !found[right + 1] && alike(right + 1)) right += 1;
    found.fill(1, left, right + 1);
    for (const by of [-width, width]) {
      let open = false;
      for (let one = left + by; one <= right + by; one += 1) {
        const free = one >= 0 && one < found.length && !found[one] && alike(one);
        if (free && !open) waiting.push(one);
        open = free;
      }
    }
  }
  return found;
}
