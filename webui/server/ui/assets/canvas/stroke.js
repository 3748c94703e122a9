// @ts-check
// A brush on a draft: crisp strokes as outlines, soft ones as dabs.
import { capsule, dab, flow, mirrored, pressed } from "./brush.js";
import { canvasOf, penOf } from "./pixels.js";
import { around, grown } from "./rects.js";

/** @typedef {import("./brush.js").Brush} Brush */
/** @typedef {import("./brush.js").Dab} Dab */
/** @typedef {import("./brush.js").Sample} Sample */
/** @typedef {import("./pixels.js").Draft} Draft */

const TIP = 128;
/** @type {Map<string, HTMLCanvasElement>} */
const tips = new Map();

/**
 * A soft dab, to be drawn in any size.
 * @param {string} colour
 * @param {number} hardness
 */
function tip(colour, hardness) {
  const key = `${colour} ${hardness.toFixed(2)}`;
  const known = tips.get(key);
  if (known) return known;
  if (tips.size > 32) tips.clear();
  const made = canvasOf(TIP, TIP);
  const pen = penOf(made);
  const shade = pen.createRadialGradient(TIP / 2, TIP / 2, 0, TIP / 2, TIP / 2, TIP / 2);
  for (let at = 0; at <= 8; at += 1) {
    const share = at / 8;
    const alpha = Math.round(255 * (1 - share * share * (3 - 2 * share))).toString(16).padStart(2, "0");
    shade.addColorStop(Math.min(hardness + (1 - hardness) * share, 1), `${colour}${alpha}`);
  }
  pen.fillStyle = shade;
  pen.fillRect(0, 0, TIP, TIP);
  tips.set(key, made);
  return made;
}

export class Stroke {
  /**
   * @param {Draft} draft
   * @param {Brush} brush
   */
  constructor(draft, brush) {
    this.draft = draft;
    this.brush = brush;
    /** @type {Dab | null} */
    this.last = null;
    this.left = 0;
    this.crisp = brush.hardness >= 0.98 && !brush.pressesOpacity;
  }

  /** @param {readonly Sample[]} samples */
  add(samples) {
    /** @type {[from: Dab, to: Dab][]} */
    const pairs = [];
    for (const sample of samples) {
      const here = dab(this.brush, sample);
      pairs.push([this.last ?? here, here]);
      this.last = here;
    }
    if (this.crisp && pairs.every(([from, to]) => from.ratio === 1 && to.ratio === 1)) this.outline(pairs);
    else this.stamp(pairs);
  }

  /** @param {Dab} one */
  images(one) {
    return mirrored(one, this.brush.symmetry, this.draft.bounds);
  }

  /** @param {[from: Dab, to: Dab][]} pairs */
  outline(pairs) {
    const all = pairs.map(([from, to]) => [this.images(from), this.images(to)]);
    const count = all[0]?.[0]?.length ?? 0;
    for (let image = 0; image < count; image += 1) {
      const strokes = all.map(([from, to]) => /** @type {[Dab, Dab]} */ ([from?.[image], to?.[image]]));
      const widest = Math.max(...strokes.flat().map(({ radius }) => radius));
      const area = grown(around(strokes.flat().map(({ x, y }) => [x, y])), widest + 1);
      this.draft.paint(area, (pen) => {
        pen.fillStyle = this.brush.colour;
        // One by one: the middle of an outline that is convex is wholly opaque, that of several together is not.
        for (const [from, to] of strokes) {
          pen.beginPath();
          trace(pen, from, to);
          pen.fill();
        }
      });
    }
  }

  /** @param {[from: Dab, to: Dab][]} pairs */
  stamp(pairs) {
    const dabs = pairs.flatMap(([from, to]) => {
      if (from === to) return [to];
      const found = pressed(from, to, this.left);
      this.left = found.left;
      return found.dabs;
    });
    const { colour, hardness } = this.brush;
    const mark = tip(colour, Math.min(hardness, 0.96));
    const strength = flow(Math.min(hardness, 0.96));
    const images = dabs.map((each) => this.images(each));
    for (let image = 0; image < (images[0]?.length ?? 0); image += 1) {
      const own = images.map((each) => /** @type {Dab} */ (each[image]));
      const widest = Math.max(...own.map(({ radius, ratio }) => radius * ratio));
      this.draft.paint(grown(around(own.map(({ x, y }) => [x, y])), widest + 1), (pen) => {
        const before = pen.getTransform();
        for (const one of own) {
          pen.globalAlpha = Math.min(strength * one.strength, 1);
          if (one.ratio === 1) {
            pen.drawImage(mark, one.x - one.radius, one.y - one.radius, 2 * one.radius, 2 * one.radius);
            continue;
          }
          pen.translate(one.x, one.y);
          pen.rotate(one.angle);
          pen.drawImage(mark, -one.radius * one.ratio, -one.radius, 2 * one.radius * one.ratio, 2 * one.radius);
          pen.setTransform(before);
        }
      });
    }
  }
}

/**
 * @param {CanvasRenderingContext2D} pen
 * @param {Dab} from
 * @param {Dab} to
 */
function trace(pen, from, to) {
  const { full, along, side } = capsule(from, to);
  if (full) {
    pen.moveTo(full.x + full.radius, full.y);
    pen.arc(full.x, full.y, full.radius, 0, 2 * Math.PI);
    return;
  }
  pen.moveTo(from.x + from.radius * Math.cos(along + side), from.y + from.radius * Math.sin(along + side));
  pen.arc(from.x, from.y, from.radius, along + side, along - side + 2 * Math.PI);
  pen.arc(to.x, to.y, to.radius, along - side, along + side);
  pen.closePath();
}
