// @ts-check
// The pictures of the history that are wanted: how many there are is known, and each hundred is fetched when it is seen.
import { ask } from "./historyserver.js";
import { ALL, behind, PAGE, question } from "./historyquery.js";

/** @import { Filters } from "./historyquery.js" */
/** @import { Listed } from "./historyserver.js" */

export class HistoryList {
  /** @param {(first: number, last: number) => void} came Told of places whose pictures are there now. */
  constructor(came) {
    this.came = came;
    /** @type {Filters} */
    this.filters = { ...ALL };
    /** By place; there are holes where nothing was fetched yet.
     * @type {Listed[]} */
    this.pictures = [];
    /** @type {string[]} */
    this.anchors = [];
    /** @type {Map<number, Promise<void>>} */
    this.coming = new Map();
    this.round = 0;
    /** Whether what is listed is a choice of its own, not what the filters say. */
    this.own = false;
  }

  get count() {
    return this.pictures.length;
  }

  /** @param {string} id */
  placeOf(id) {
    return this.pictures.findIndex((picture) => picture?.id === id);
  }

  /** @returns {Listed[]} */
  get fetched() {
    return this.pictures.filter(Boolean);
  }

  /** Begins anew with what the filters say; false: meanwhile it was begun anew again. */
  async restart() {
    const round = ++this.round;
    this.coming.clear();
    const [outline, first] = await Promise.all([this.outline(), ask(`pictures${question(this.filters, { limit: PAGE })}`)]);
    if (round !== this.round) return false;
    this.own = false;
    this.anchors = outline.anchors;
    this.pictures = [];
    this.pictures.length = Math.max(outline.total, first.pictures.length);
    this.put(0, first.pictures);
    return true;
  }

  /**
   * Lists these and no others.
   * @param {Listed[]} pictures
   */
  only(pictures) {
    this.round += 1;
    this.coming.clear();
    this.own = true;
    this.anchors = [];
    this.pictures = [...pictures];
  }

  /**
   * Fetches what is missing of these places.
   * @param {number} first
   * @param {number} last Behind the last one.
   */
  async need(first, last) {
    const wanted = [];
    for (let page = Math.floor(first / PAGE); page * PAGE < last; page += 1) {
      const from = Math.max(page * PAGE, first);
      const to = Math.min((page + 1) * PAGE, last, this.count);
      let whole = true;
      for (let at = from; at < to && whole; at += 1) whole = Boolean(this.pictures[at]);
      if (!whole && this.anchors[page]) wanted.push(this.page(page));
    }
    await Promise.all(wanted);
  }

  /**
   * @param {number} page
   * @returns {Promise<void>}
   */
  page(page) {
    const there = this.coming.get(page);
    if (there) return there;
    const round = this.round;
    const before = behind(this.anchors[page] ?? "0");
    const fetching = ask(`pictures${question(this.filters, { limit: PAGE, before })}`).then(
      ({ pictures }) => {
        if (round !== this.round) return;
        this.coming.delete(page);
        this.put(page * PAGE, pictures);
        this.came(page * PAGE, (page + 1) * PAGE);
      },
      (error) => {
        if (round === this.round) this.coming.delete(page);
        throw error;
      });
    this.coming.set(page, fetching);
    return fetching;
  }

  /** Looks whether there are others now; how many came in front. */
  async refresh() {
    if (this.own) return 0;
    const round = this.round;
    const [outline, first] = await Promise.all([this.outline(), ask(`pictures${question(this.filters, { limit: PAGE })}`)]);
    if (round !== this.round) return 0;
    this.coming.clear();
    this.round += 1; // What is on its way was counted from another beginning.
    const top = this.pictures[0]?.id;
    const fresh = top ? first.pictures.findIndex((/** @type {Listed} */ picture) => picture.id === top) : outline.total - this.count;
    this.anchors = outline.anchors;
    if (fresh >= 0 && this.count + fresh === outline.total) {
      /** @type {Listed[]} */
      const front = [];
      front.length = fresh;
      this.pictures = [...front, ...this.pictures];
    } else this.pictures = [];
    this.pictures.length = outline.total;
    this.put(0, first.pictures);
    return Math.max(fresh, 0);
  }

  /**
   * Takes pictures out that are no longer there.
   * @param {Set<string>} ids
   */
  async remove(ids) {
    this.pictures = Array.from(this.pictures).filter((picture) => !picture || !ids.has(picture.id));
    if (this.own) return;
    const round = ++this.round;
    this.coming.clear();
    const outline = await this.outline();
    if (round !== this.round) return;
    this.anchors = outline.anchors;
    this.pictures.length = outline.total;
  }

  /**
   * @param {number} at
   * @param {Listed[]} pictures
   */
  put(at, pictures) {
    pictures.forEach((picture, index) => {
      if (at + index < this.count) this.pictures[at + index] = picture;
    });
  }

  /** @returns {Promise<{total: number, anchors: string[]}>} */
  outline() {
    return ask(`outline${question(this.filters, { step: PAGE })}`);
  }
}
