// @ts-check
// Where the squares of a long grid are.

/**
 * @typedef {object} Layout
 * @property {number} columns
 * @property {number} side Of a square, in pixels.
 * @property {number} step From one row to the next, in pixels.
 * @property {number} height Of all rows, in pixels.
 */

/**
 * @param {number} width Of the grid, in pixels.
 * @param {number} count
 * @param {number} least The side of a square, at least.
 * @param {number} gap
 * @returns {Layout}
 */
export function layout(width, count, least, gap) {
  const columns = Math.max(1, Math.floor((width + gap) / (least + gap)));
  const side = Math.max(1, (width - gap * (columns - 1)) / columns);
  const rows = Math.ceil(count / columns);
  return { columns, side, step: side + gap, height: rows ? rows * (side + gap) - gap : 0 };
}

/**
 * The first square that is to be an element, and the one behind the last.
 * @param {Layout} grid
 * @param {number} count
 * @param {number} top Where the grid begins, in the window.
 * @param {number} height Of the window.
 * @param {number} beyond How far above and below the window, in pixels.
 */
export function near(grid, count, top, height, beyond) {
  const first = Math.floor((-top - beyond) / grid.step);
  const last = Math.ceil((height - top + beyond) / grid.step);
  return /** @type {[number, number]} */ ([first, last].map((row) => Math.min(Math.max(row * grid.columns, 0), count)));
}
