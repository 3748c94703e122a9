// @ts-check
// Mouse, pen and fingers on the stage. One finger draws, two move and zoom; a tap of two undoes, of three redoes. While a
// pen is near, hands that rest on the glass do nothing.

/** @typedef {import("./brush.js").Sample} Sample */
/** @typedef {readonly [x: number, y: number]} Point */
/**
 * @typedef {object} Hands What is done with it. Places are in pixels of the stage.
 * @property {(samples: Sample[], event: PointerEvent) => void} down
 * @property {(samples: Sample[], event: PointerEvent) => void} move
 * @property {() => void} up
 * @property {() => void} cancel
 * @property {(event: PointerEvent | null) => void} hover
 * @property {(across: number, down: number) => void} pan
 * @property {(by: number, at: Point) => void} zoom
 * @property {(fingers: number) => void} tap
 * @property {() => boolean} pans Whether the pointer moves the picture instead of drawing.
 */

/** For so long after its last sign a pen counts as near. */
export const PEN_NEAR_MS = 700;
const TAP_MS = 280;
const TAP_PIXELS = 12;

/**
 * A finger, which may be a palm, does not draw while a pen is near.
 * @param {string} kind Of the pointer.
 * @param {number} now
 * @param {number} penSeen When a pen was seen last.
 */
export const isPalm = (kind, now, penSeen) => kind === "touch" && now - penSeen < PEN_NEAR_MS;

export class Input {
  /**
   * @param {HTMLElement} stage
   * @param {Hands} hands
   */
  constructor(stage, hands) {
    this.stage = stage;
    this.hands = hands;
    /** @type {Map<number, PointerEvent>} Fingers that are down. */
    this.fingers = new Map();
    /** @type {number | null} The pointer that draws. */
    this.drawing = null;
    /** @type {{id: number, x: number, y: number} | null} The pointer that moves the picture. */
    this.panning = null;
    this.penSeen = -Infinity;
    this.began = 0;
    this.moved = 0;
    this.most = 0;
    /** @type {{distance: number, middle: Point} | null} */
    this.pinch = null;
    stage.addEventListener("pointerdown", (event) => this.down(event));
    stage.addEventListener("pointermove", (event) => this.move(event));
    stage.addEventListener("pointerup", (event) => this.up(event));
    stage.addEventListener("pointercancel", (event) => this.up(event));
    stage.addEventListener("pointerleave", () => hands.hover(null));
    stage.addEventListener("click", (event) => event.stopPropagation());
    stage.addEventListener("contextmenu", (event) => {
      if (this.penSeen > performance.now() - PEN_NEAR_MS || this.fingers.size) event.preventDefault();
    });
  }

  /**
   * @param {{clientX: number, clientY: number}} event
   * @returns {[x: number, y: number]}
   */
  at({ clientX, clientY }) {
    const box = this.stage.getBoundingClientRect();
    return [clientX - box.left, clientY - box.top];
  }

  /**
   * @param {PointerEvent} event
   * @returns {Sample}
   */
  sample(event) {
    const [x, y] = this.at(event);
    const isPen = event.pointerType === "pen";
    return { x, y, pressure: isPen ? event.pressure : 1, tiltX: isPen ? event.tiltX : 0, tiltY: isPen ? event.tiltY : 0 };
  }

  /** @param {PointerEvent} event */
  down(event) {
    const now = performance.now();
    if (event.pointerType === "pen") this.penSeen = now;
    if (isPalm(event.pointerType, now, this.penSeen)) return;
    if (event.target instanceof Element && event.target.closest("button, input, textarea, select")) return;
    event.preventDefault();
    this.stage.focus({ preventScroll: true });
    if (event.pointerType === "touch") {
      this.fingers.set(event.pointerId, event);
      if (this.fingers.size === 1) [this.began, this.moved, this.most] = [now, 0, 1];
      this.most = Math.max(this.most, this.fingers.size);
      if (this.fingers.size > 1) {
        this.second(now);
        return;
      }
    }
    if (this.drawing !== null) return;
    this.capture(event.pointerId);
    if (event.button === 1 || (event.button === 0 && this.hands.pans())) {
      this.panning = { id: event.pointerId, x: event.clientX, y: event.clientY };
      this.stage.classList.add("panning");
    } else if (event.button === 0 || (event.pointerType === "pen" && event.button === 5)) {
      this.drawing = event.pointerId;
      this.hands.down([this.sample(event)], event);
    }
  }

  /** @param {number} pointer */
  capture(pointer) {
    try {
      this.stage.setPointerCapture(pointer);
    } catch { /* It has gone already. */ }
  }

  /**
   * Another finger: what the first one drew by chance goes, a stroke that is long already stays.
   * @param {number} now
   */
  second(now) {
    if (this.drawing !== null) {
      const short = now - this.began < TAP_MS || this.moved < TAP_PIXELS;
      if (!short) return;
      this.hands.cancel();
      this.drawing = null;
    }
    this.panning = null;
    this.pinch = this.pinched();
  }

  pinched() {
    const [one, other] = [...this.fingers.values()].map((event) => this.at(event));
    if (!one || !other) return null;
    return { distance: Math.hypot(one[0] - other[0], one[1] - other[1]) || 1, middle: /** @type {Point} */ ([(one[0] + other[0]) / 2, (one[1] + other[1]) / 2]) };
  }

  /** @param {PointerEvent} event */
  move(event) {
    if (event.pointerType === "pen") this.penSeen = performance.now();
    const before = this.fingers.get(event.pointerId);
    if (before) {
      this.moved += Math.hypot(event.clientX - before.clientX, event.clientY - before.clientY);
      this.fingers.set(event.pointerId, event);
    }
    if (this.drawing === event.pointerId) {
      const parts = event.getCoalescedEvents?.() ?? [];
      this.hands.move((parts.length ? parts : [event]).map((part) => this.sample(part)), event);
    } else if (this.panning?.id === event.pointerId) {
      this.hands.pan(event.clientX - this.panning.x, event.clientY - this.panning.y);
      this.panning = { id: event.pointerId, x: event.clientX, y: event.clientY };
    } else if (this.pinch && before) this.follow();
    if (event.pointerType !== "touch") this.hands.hover(event);
  }

  follow() {
    const now = this.pinched();
    if (!now || !this.pinch) return;
    this.hands.pan(now.middle[0] - this.pinch.middle[0], now.middle[1] - this.pinch.middle[1]);
    this.hands.zoom(now.distance / this.pinch.distance, now.middle);
    this.pinch = now;
  }

  /** @param {PointerEvent} event */
  up(event) {
    const wasFinger = this.fingers.delete(event.pointerId);
    if (this.drawing === event.pointerId) {
      this.drawing = null;
      this.hands.up(); // A pointer that the system takes away has drawn what it has drawn.
    }
    if (this.panning?.id === event.pointerId) {
      this.panning = null;
      this.stage.classList.remove("panning");
    }
    if (!wasFinger) return;
    this.pinch = this.fingers.size > 1 ? this.pinched() : null;
    if (this.fingers.size || this.most < 2) return;
    if (performance.now() - this.began < TAP_MS * 1.5 && this.moved < TAP_PIXELS * this.most) this.hands.tap(this.most);
  }
}
