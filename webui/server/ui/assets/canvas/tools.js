// @ts-check
// The tools of a canvas. Each takes what the pointer does, in pixels of the picture, and draws by the desk's means.
import { flood } from "./flood.js";
import { canvasOf, penOf } from "./pixels.js";
import { around, between, grown, union } from "./rects.js";
import { flattened } from "./renderer.js";
import { Stroke } from "./stroke.js";

/** @typedef {import("./desk.js").Desk} Desk */
/** @typedef {import("./brush.js").Sample} Sample */
/** @typedef {import("./rects.js").Rect} Rect */
/** @typedef {"size" | "hardness" | "opacity" | "colour" | "does" | "round" | "symmetry" | "pen" | "tolerance" | "radial" | "frame"} Setting */
/** @typedef {{shift: boolean, alt: boolean}} Keys */
/**
 * @typedef {object} Tool
 * @property {string} name
 * @property {string} title
 * @property {string} icon
 * @property {string} key
 * @property {readonly Setting[]} settings What the bar offers for it.
 * @property {boolean} [ring] Whether the pointer shows the brush's size.
 * @property {(desk: Desk, sample: Sample, keys: Keys) => void} down
 * @property {(desk: Desk, samples: Sample[], keys: Keys) => void} [move]
 * @property {(desk: Desk) => void} [up]
 * @property {(desk: Desk) => void} [cancel]
 */

/** @param {boolean} erases */
function brushes(erases) {
  /** @type {Stroke | null} */
  let stroke = null;
  return {
    down(/** @type {Desk} */ desk, /** @type {Sample} */ sample, /** @type {Keys} */ { shift }) {
      const erasing = erases || shift;
      const draft = desk.begin({ erasing, opacity: desk.brush.opacity });
      if (!draft) return;
      stroke = new Stroke(draft, { ...desk.brush, erasing, colour: desk.ink });
      stroke.add([sample]);
      desk.drawn();
    },
    move(/** @type {Desk} */ desk, /** @type {Sample[]} */ samples) {
      stroke?.add(samples);
      if (stroke) desk.drawn();
    },
    up(/** @type {Desk} */ desk) {
      if (stroke) desk.commit(stroke.brush.erasing ? "Eraser" : "Brush");
      stroke = null;
    },
    cancel(/** @type {Desk} */ desk) {
      stroke = null;
      desk.drop();
    },
  };
}

/**
 * A tool that shows what it would draw between where the pointer went down and where it is.
 * @param {string} name
 * @param {(desk: Desk, from: Sample, to: Sample, keys: Keys) => {area: Rect, draw: (pen: CanvasRenderingContext2D) => void}} shape
 */
function shapes(name, shape) {
  /** @type {Sample | null} */
  let from = null;
  return {
    down(/** @type {Desk} */ desk, /** @type {Sample} */ sample) {
      from = desk.begin({ opacity: desk.brush.opacity }) && sample;
    },
    move(/** @type {Desk} */ desk, /** @type {Sample[]} */ samples, /** @type {Keys} */ keys) {
      const to = samples.at(-1);
      if (!from || !to || !desk.draft) return;
      const { area, draw } = shape(desk, from, to, keys);
      desk.draft.clear();
      desk.draft.paint(area, draw);
      desk.drawn();
    },
    up(/** @type {Desk} */ desk) {
      if (from) desk.commit(name);
      from = null;
    },
    cancel(/** @type {Desk} */ desk) {
      from = null;
      desk.drop();
    },
  };
}

/**
 * The end of a line, in steps of 45 degrees where Shift is held.
 * @param {Sample} from
 * @param {Sample} to
 * @param {Keys} keys
 * @returns {[x: number, y: number]}
 */
export function lineEnd(from, to, { shift }) {
  const [across, down] = [to.x - from.x, to.y - from.y];
  if (!shift) return [to.x, to.y];
  const step = Math.PI / 4;
  const angle = Math.round(Math.atan2(down, across) / step) * step;
  const length = Math.hypot(across, down);
  return [from.x + Math.cos(angle) * length, from.y + Math.sin(angle) * length];
}

/**
 * The rectangle that is dragged; a square where Shift is held.
 * @param {Sample} from
 * @param {Sample} to
 * @param {Keys} keys
 */
export function dragged(from, to, { shift }) {
  let [across, down] = [to.x - from.x, to.y - from.y];
  if (shift) {
    const side = Math.max(Math.abs(across), Math.abs(down));
    [across, down] = [Math.sign(across) * side, Math.sign(down) * side];
  }
  return between([from.x, from.y], [from.x + across, from.y + down]);
}

/**
 * An outline that is filled with paint, or that becomes the selection: as the setting "does" says.
 * @param {string} name
 * @param {(samples: Sample[], keys: Keys, desk: Desk) => Path2D} outline
 */
function areas(name, outline) {
  /** @type {Sample[]} */
  let samples = [];
  /** @type {Keys} */
  let held = { shift: false, alt: false };
  const area = () => grown(around(samples.map(({ x, y }) => [x, y])), 2);
  return {
    down(/** @type {Desk} */ desk, /** @type {Sample} */ sample, /** @type {Keys} */ keys) {
      held = keys;
      samples = desk.settings.does === "select" || desk.begin({ opacity: desk.brush.opacity, erasing: keys.alt }) ? [sample] : [];
    },
    move(/** @type {Desk} */ desk, /** @type {Sample[]} */ more, /** @type {Keys} */ keys) {
      if (!samples.length) return;
      samples.push(...more);
      const path = outline(samples, keys, desk);
      if (desk.settings.does === "select") {
        desk.outline = path;
        desk.drawOver();
        return;
      }
      desk.draft?.clear();
      desk.draft?.paint(area(), (pen) => {
        pen.fillStyle = desk.ink;
        pen.fill(path, "nonzero");
      });
      desk.drawn();
    },
    up(/** @type {Desk} */ desk) {
      const moved = samples.length > 2 || (samples.length === 2 && name === "Rectangle");
      desk.outline = null;
      if (samples.length && desk.settings.does === "select") {
        if (moved) desk.select(area(), (pen) => pen.fill(outline(samples, { shift: false, alt: false }, desk)), held);
        else desk.deselect();
      } else if (samples.length) desk.commit(name);
      samples = [];
    },
    cancel(/** @type {Desk} */ desk) {
      samples = [];
      desk.outline = null;
      desk.drop();
    },
  };
}

/** @param {Sample[]} samples */
function polygon(samples) {
  const path = new Path2D();
  samples.forEach(({ x, y }, at) => (at ? path.lineTo(x, y) : path.moveTo(x, y)));
  path.closePath();
  return path;
}

/**
 * @param {Sample[]} samples
 * @param {Keys} keys
 * @param {Desk} desk
 */
function box(samples, keys, desk) {
  const path = new Path2D();
  const [from, to] = [samples[0], samples.at(-1)];
  if (!from || !to) return path;
  const { x, y, width, height } = dragged(from, to, desk.settings.does === "select" ? { shift: false, alt: false } : keys);
  if (desk.settings.round) path.ellipse(x + width / 2, y + height / 2, width / 2, height / 2, 0, 0, 2 * Math.PI);
  else path.rect(x, y, width, height);
  return path;
}

/**
 * @param {Desk} desk
 * @param {Sample} sample
 */
function pour(desk, sample) {
  const draft = desk.begin({ opacity: desk.brush.opacity });
  const layer = desk.layer;
  if (!draft || !layer) return;
  const { bounds } = desk.state;
  const looked = flattened(desk.state, desk.picture, layer.kind === "raster" ? (each) => each.kind === "raster" : (each) => each.id === layer.id);
  const { width, height } = looked;
  const at = /** @type {const} */ ([Math.floor(sample.x - bounds.x), Math.floor(sample.y - bounds.y)]);
  const found = flood(penOf(looked).getImageData(0, 0, width, height).data, width, height, at, desk.settings.tolerance);
  const mask = canvasOf(width, height);
  const pen = penOf(mask);
  const pixels = pen.createImageData(width, height);
  found.forEach((filled, pixel) => {
    if (filled) pixels.data[pixel * 4 + 3] = 255;
  });
  pen.putImageData(pixels, 0, 0);
  pen.globalCompositeOperation = "source-in";
  pen.fillStyle = desk.ink;
  pen.fillRect(0, 0, width, height);
  draft.paint(bounds, (each) => each.drawImage(mask, bounds.x, bounds.y));
  desk.commit("Fill");
}

/** @type {Tool[]} */
export const TOOLS = [
  { name: "brush", title: "Brush", icon: "brush", key: "b", ring: true, settings: ["colour", "size", "hardness", "opacity", "symmetry", "pen"], ...brushes(false) },
  { name: "eraser", title: "Eraser", icon: "eraser", key: "e", ring: true, settings: ["size", "hardness", "opacity", "symmetry", "pen"], ...brushes(true) },
  { name: "lasso", title: "Lasso: fill or select what you draw around", icon: "lasso", key: "l", settings: ["does", "colour", "opacity"], ...areas("Lasso", polygon) },
  { name: "rectangle", title: "Rectangle or ellipse: fill or select", icon: "rectangle", key: "u", settings: ["does", "round", "colour", "opacity"], ...areas("Rectangle", box) },
  { name: "fill", title: "Fill: pour colour into an area", icon: "bucket", key: "g", settings: ["colour", "tolerance", "opacity"], down: pour },
  { name: "gradient", title: "Gradient: from the colour to nothing", icon: "gradient", key: "d", settings: ["colour", "radial", "opacity"], ...shapes("Gradient", (desk, from, to, keys) => {
    const [x, y] = lineEnd(from, to, keys);
    const { bounds } = desk.state;
    return { area: bounds, draw: (pen) => {
      const shade = desk.settings.radial
        ? pen.createRadialGradient(from.x, from.y, 0, from.x, from.y, Math.max(Math.hypot(x - from.x, y - from.y), 1))
        : pen.createLinearGradient(from.x, from.y, x, y);
      shade.addColorStop(0, desk.ink);
      shade.addColorStop(1, `${desk.ink}00`);
      pen.fillStyle = shade;
      pen.fillRect(bounds.x, bounds.y, bounds.width, bounds.height);
    } };
  }) },
  { name: "line", title: "Line: Shift keeps to 45 degrees", icon: "line", key: "n", ring: true, settings: ["colour", "size", "opacity"], ...shapes("Line", (desk, from, to, keys) => {
    const [x, y] = lineEnd(from, to, keys);
    const { radius } = desk.brush;
    return { area: grown(between([from.x, from.y], [x, y]), radius + 2), draw: (pen) => {
      pen.strokeStyle = desk.ink;
      pen.lineWidth = radius * 2;
      pen.lineCap = "round";
      pen.beginPath();
      pen.moveTo(from.x, from.y);
      pen.lineTo(x, y);
      pen.stroke();
    } };
  }) },
  { name: "text", title: "Text", icon: "text", key: "t", settings: ["colour", "size", "opacity"], down: (desk, sample) => desk.write(sample) },
  { name: "dropper", title: "Eyedropper: take a colour (Alt+click)", icon: "dropper", key: "i", settings: ["colour"],
    down: (desk, sample) => desk.pick([sample.x, sample.y]), up: (desk) => desk.picked() },
  { name: "hand", title: "Move the view (hold Space, or two fingers)", icon: "hand", key: "h", settings: [], down: () => {} },
];

/**
 * Words drawn at a place, each line below the other.
 * @param {string} text
 * @param {number} size Pixels of a line.
 * @param {readonly [x: number, y: number]} at
 * @param {string} colour
 * @returns {{area: Rect, draw: (pen: CanvasRenderingContext2D) => void}}
 */
export function words(text, size, [x, y], colour) {
  const font = `600 ${size}px Inter, "Segoe UI", system-ui, sans-serif`;
  const lines = text.split("\n");
  const pen = penOf(canvasOf(8, 8));
  pen.font = font;
  const width = Math.max(...lines.map((line) => pen.measureText(line).width));
  const area = union({ x, y: y - size, width: width + size, height: size * (lines.length * 1.2 + 1) }, { x: x - size, y, width: 1, height: 1 });
  return { area, draw: (on) => {
    on.font = font;
    on.fillStyle = colour;
    on.textBaseline = "top";
    lines.forEach((line, at) => on.fillText(line, x, y + at * size * 1.2));
  } };
}
