// @ts-check
// How a picture is looked at: zoomed and moved. All is in CSS pixels of the stage and pixels of the picture.

/** @typedef {import("./rects.js").Rect} Rect */
/** @typedef {{width: number, height: number}} Extent */
/** @typedef {readonly [x: number, y: number]} Point */

/** Pixels of the stage for a pixel of the picture. */
const LARGEST = 40;
const SMALLEST = 0.02;
/** Pixels of the stage on which the picture can be seen, wherever it is moved to. */
const HELD = 48;

export class View {
  constructor() {
    this.scale = 1;
    this.x = 0;
    this.y = 0;
    /** @type {Extent} */
    this.stage = { width: 1, height: 1 };
    /** @type {Rect} */
    this.picture = { x: 0, y: 0, width: 1, height: 1 };
    /** Whether it is the picture as large as it fits, and stays so when the stage changes. */
    this.fits = true;
  }

  /**
   * @param {Extent} stage
   * @param {Rect} picture
   */
  resize(stage, picture) {
    this.stage = stage;
    this.picture = picture;
    if (this.fits) this.fit();
    else this.hold();
  }

  /** The whole picture, in the middle. */
  fit() {
    const { stage, picture } = this;
    this.scale = Math.min(stage.width / picture.width, stage.height / picture.height) || 1;
    this.x = (stage.width - picture.width * this.scale) / 2 - picture.x * this.scale;
    this.y = (stage.height - picture.height * this.scale) / 2 - picture.y * this.scale;
    this.fits = true;
  }

  /**
   * Zooms to a scale; what is at the place of the stage stays there.
   * @param {number} scale
   * @param {Point} at
   */
  zoomTo(scale, [x, y] = [this.stage.width / 2, this.stage.height / 2]) {
    const to = Math.min(Math.max(scale, SMALLEST), LARGEST);
    const by = to / this.scale;
    this.x = x - (x - this.x) * by;
    this.y = y - (y - this.y) * by;
    this.scale = to;
    this.fits = false;
    this.hold();
  }

  /**
   * @param {number} across
   * @param {number} down
   */
  pan(across, down) {
    this.x += across;
    this.y += down;
    this.fits = false;
    this.hold();
  }

  /** Some of the picture stays in sight. */
  hold() {
    const { picture, scale, stage } = this;
    const [left, top] = [picture.x * scale, picture.y * scale];
    const kept = (/** @type {number} */ at, /** @type {number} */ start, /** @type {number} */ size, /** @type {number} */ room) =>
      Math.min(Math.max(at, Math.min(HELD, size) - size - start), room - Math.min(HELD, size) - start);
    this.x = kept(this.x, left, picture.width * scale, stage.width);
    this.y = kept(this.y, top, picture.height * scale, stage.height);
  }

  /**
   * A place of the stage as one of the picture.
   * @param {Point} point
   * @returns {[x: number, y: number]}
   */
  toPicture([x, y]) {
    return [(x - this.x) / this.scale, (y - this.y) / this.scale];
  }

  /**
   * @param {Point} point
   * @returns {[x: number, y: number]}
   */
  toStage([x, y]) {
    return [x * this.scale + this.x, y * this.scale + this.y];
  }

  /**
   * @param {Rect} rect Of the picture.
   * @returns {Rect} Of the stage.
   */
  shown({ x, y, width, height }) {
    const [left, top] = this.toStage([x, y]);
    return { x: left, y: top, width: width * this.scale, height: height * this.scale };
  }

  /** The part of the plane that the stage shows. */
  get seen() {
    const [x, y] = this.toPicture([0, 0]);
    return { x, y, width: this.stage.width / this.scale, height: this.stage.height / this.scale };
  }
}
