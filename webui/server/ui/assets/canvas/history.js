// @ts-check
// Undo and redo: a list of whole states, which share what is the same in them.

/**
 * @template S
 * @typedef {{state: S, name: string, weight: number}} Step `weight`: bytes that only this step and those after it hold.
 */

/** @template S */
export class History {
  /**
   * @param {S} first
   * @param {{limit?: number, budget?: number}} limits `limit`: steps that can be undone; `budget`: bytes that they may hold.
   */
  constructor(first, { limit = 100, budget = 2 ** 30 } = {}) {
    this.limit = limit;
    this.budget = budget;
    /** @type {Step<S>[]} From the oldest; the last one is what is seen. */
    this.done = [{ state: first, name: "", weight: 0 }];
    /** @type {Step<S>[]} The last one is the next to come back. */
    this.undone = [];
  }

  /** @returns {S} */
  get state() {
    return /** @type {Step<S>} */ (this.done.at(-1)).state;
  }

  get canUndo() {
    return this.done.length > 1;
  }

  get canRedo() {
    return this.undone.length > 0;
  }

  /** What would be undone; "": nothing. */
  get last() {
    return this.canUndo ? this.done.at(-1)?.name ?? "" : "";
  }

  /**
   * One more step. What was undone before is gone; the oldest steps go where there are too many.
   * @param {S} state
   * @param {string} name
   * @param {number} weight
   */
  push(state, name, weight = 0) {
    this.undone = [];
    this.done.push({ state, name, weight });
    while (this.done.length > this.limit + 1 || (this.done.length > 2 && this.weight > this.budget)) this.done.shift();
  }

  /** Bytes that the steps hold beside the state that is the oldest. */
  get weight() {
    return this.done.slice(1).reduce((sum, each) => sum + each.weight, 0);
  }

  /** @returns {boolean} Whether there was something. */
  undo() {
    if (!this.canUndo) return false;
    this.undone.push(/** @type {Step<S>} */ (this.done.pop()));
    return true;
  }

  /** @returns {boolean} */
  redo() {
    const step = this.undone.pop();
    if (!step) return false;
    this.done.push(step);
    return true;
  }
}
