// @ts-check
// A grid of squares, of which only those in and near the window are elements: as quick with 100,000 as with ten.
import { make } from "./dom.js";
import { layout, near } from "./squares.js";

/**
 * Takes an element away, and ends the loading of its picture, which would hold up those that are seen.
 * @param {HTMLElement} cell
 */
function drop(cell) {
  cell.remove();
  for (const image of cell.querySelectorAll("img")) image.removeAttribute("src");
}

export class LongGrid {
  /**
   * @param {HTMLElement} element
   * @param {(index: number) => HTMLElement} cell Makes the element of a place.
   * @param {(first: number, last: number) => void} seen Told of the places that are in or near the window.
   */
  constructor(element, cell, seen) {
    this.element = element;
    this.cell = cell;
    this.seen = seen;
    this.count = 0;
    /** @type {Map<number, HTMLElement>} */
    this.cells = new Map();
    this.grid = layout(1, 0, 128, 6);
    this.due = 0;
    const later = () => this.later();
    document.addEventListener("scroll", later, { passive: true, capture: true });
    new ResizeObserver(later).observe(element);
    new IntersectionObserver(later).observe(element);
    this.filler = make("div.longgrid-filler", { "aria-hidden": "true" });
    element.setAttribute("role", "list");
    element.replaceChildren(this.filler);
  }

  later() {
    this.due ||= requestAnimationFrame(() => {
      this.due = 0;
      this.draw();
    });
  }

  /**
   * Everything anew.
   * @param {number} count
   */
  reset(count) {
    this.cells.forEach(drop);
    this.cells.clear();
    this.count = count;
    this.draw();
  }

  /**
   * Makes the elements of these places anew.
   * @param {number} first
   * @param {number} last Behind the last one.
   */
  renew(first, last) {
    for (const [index, cell] of this.cells) {
      if (index < first || index >= last) continue;
      const held = cell.contains(document.activeElement);
      const made = this.placed(index);
      cell.replaceWith(made);
      this.cells.set(index, made);
      if (held) made.querySelector("button")?.focus({ preventScroll: true });
    }
  }

  draw() {
    const width = this.element.clientWidth;
    if (!width) return;
    const narrow = innerWidth <= 760;
    const before = this.grid;
    this.grid = layout(width, this.count, narrow ? 92 : 128, 6);
    this.filler.style.height = `${this.grid.height}px`;
    const [first, last] = near(this.grid, this.count, this.element.getBoundingClientRect().top, innerHeight, 900);
    if (before.side !== this.grid.side || before.columns !== this.grid.columns) {
      for (const [index, cell] of this.cells) this.put(cell, index);
    }
    for (const [index, cell] of this.cells) {
      // What has the focus stays, wherever the window goes.
      if ((index < first || index >= last) && !cell.contains(document.activeElement)) {
        drop(cell);
        this.cells.delete(index);
      }
    }
    const fresh = [];
    for (let index = first; index < last; index += 1) {
      if (this.cells.has(index)) continue;
      const made = this.placed(index);
      this.cells.set(index, made);
      fresh.push(made);
    }
    this.element.append(...fresh);
    if (fresh.length) this.sort();
    this.seen(first, last);
  }

  /** In the document they stand in their order, for the keyboard and for screen readers. */
  sort() {
    const order = [...this.cells.keys()].sort((one, other) => one - other);
    let at = this.filler.nextElementSibling;
    for (const index of order) {
      const cell = this.cells.get(index);
      if (!cell) continue;
      if (cell === at) at = at.nextElementSibling;
      else this.element.insertBefore(cell, at);
    }
  }

  /** @param {number} index */
  placed(index) {
    const made = this.cell(index);
    made.setAttribute("role", "listitem");
    made.setAttribute("aria-posinset", String(index + 1));
    made.setAttribute("aria-setsize", String(this.count));
    this.put(made, index);
    return made;
  }

  /**
   * @param {HTMLElement} cell
   * @param {number} index
   */
  put(cell, index) {
    const { columns, side, step } = this.grid;
    cell.style.width = cell.style.height = `${side}px`;
    cell.style.transform = `translate(${(index % columns) * step}px, ${Math.floor(index / columns) * step}px)`;
  }

  /**
   * Brings a place into the window; its element is there afterwards.
   * @param {number} index
   */
  show(index) {
    const { columns, step, side } = this.grid;
    const top = this.element.getBoundingClientRect().top + Math.floor(index / columns) * step;
    if (top < 0) scrollBy(0, top - 8);
    else if (top + side > innerHeight) scrollBy(0, top + side - innerHeight + 8);
    this.draw();
  }
}
