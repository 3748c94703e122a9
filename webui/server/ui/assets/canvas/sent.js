// @ts-check
// What of a canvas is sent: the paint alone or the mask alone, as long as that says everything; else a picture and a mask.
import { canvasOf, penOf } from "./pixels.js";
import { flattened } from "./renderer.js";

/** @typedef {import("./desk.js").Desk} Desk */
/** @typedef {import("./pixels.js").State} State */
/** @typedef {import("./pixels.js").Layer} Layer */

/** @param {Layer} layer */
const isSeen = (layer) => layer.visible && (layer.base || layer.tiles.size > 0);

/** @param {State} state */
export const masks = (state) => state.layers.filter((layer) => layer.kind === "mask" && layer.visible && layer.tiles.size);

/**
 * Whether the first picture lies below all paint, as it came: then the paint says what has changed.
 * @param {State} state
 */
export function isPlain({ layers, bounds }) {
  const [base, ...rest] = layers.filter((layer) => layer.kind === "raster");
  return Boolean(base?.base && base.visible && base.opacity === 1 && base.blend === "Normal" && !base.tiles.size)
    && rest.every((layer) => !isSeen(layer) || layer.blend === "Normal") && bounds.x === 0 && bounds.y === 0;
}

/**
 * Masks, united: white where they are painted on, black elsewhere.
 * @param {Desk} desk
 * @param {boolean} withPaint Whether what is painted may change, too.
 */
export function maskOf(desk, withPaint = false) {
  const mask = flattened(desk.state, null, (layer) => layer.kind === "mask" || (withPaint && layer.kind === "raster" && !layer.base),
    desk.state.bounds, { plain: true });
  const pen = penOf(mask);
  pen.globalCompositeOperation = "source-in";
  pen.fillStyle = "#ffffff";
  pen.fillRect(0, 0, mask.width, mask.height);
  pen.globalCompositeOperation = "destination-over";
  pen.fillStyle = "#000000";
  pen.fillRect(0, 0, mask.width, mask.height);
  return mask;
}

/**
 * All paint on top of the first picture, on nothing.
 * @param {Desk} desk
 */
export const paintOf = (desk) => flattened(desk.state, null, (layer) => layer.kind === "raster" && !layer.base);

/**
 * The picture that is seen, without masks, regions and controls.
 * @param {Desk} desk
 */
export const pictureOf = (desk) => flattened(desk.state, desk.picture, (layer) => layer.kind === "raster");

/**
 * @param {HTMLCanvasElement} canvas
 * @returns {Promise<string>} A data URL, made beside what the page does.
 */
export async function encoded(canvas) {
  /** @type {Blob | null} */
  const blob = await new Promise((done) => { canvas.toBlob(done, "image/png"); });
  if (!blob) throw new Error("This browser cannot write the canvas as a picture: it may be too large for it.");
  return new Promise((done, fail) => {
    const reader = new FileReader();
    reader.onload = () => done(String(reader.result));
    reader.onerror = () => fail(reader.error);
    reader.readAsDataURL(blob);
  });
}

/**
 * What the form takes; "": nothing is painted.
 * @param {Desk} desk
 * @param {boolean} paintMasks Whether what is painted may change, too.
 * @returns {Promise<string>}
 */
export async function sent(desk, paintMasks = false) {
  const { state } = desk;
  const masked = masks(state).length > 0;
  const painted = state.layers.some((layer) => layer.kind === "raster" && !layer.base && layer.visible && layer.tiles.size);
  const plain = isPlain(state);
  if (!masked && !painted && plain) return "";
  // Alone, what a canvas for masks sends is its mask: paint on it goes with the picture.
  if (!masked && plain && desk.kind !== "mask") return encoded(paintOf(desk));
  if (desk.kind === "mask" && masked && plain && !painted) return encoded(maskOf(desk));
  /** @type {{picture: string, mask?: string}} */
  const all = { picture: await encoded(pictureOf(desk)) };
  if (masked || (paintMasks && painted)) all.mask = await encoded(maskOf(desk, paintMasks));
  return JSON.stringify(all);
}

/**
 * A mask in black and white, or what stands out of a picture, as paint.
 * @param {HTMLImageElement} image
 * @param {{width: number, height: number}} size
 * @param {(pixels: Uint8ClampedArray) => void} turn What makes paint of its pixels.
 */
export function stencil(image, size, turn) {
  const made = canvasOf(size.width, size.height);
  const pen = penOf(made);
  pen.drawImage(image, 0, 0);
  const pixels = pen.getImageData(0, 0, size.width, size.height);
  turn(pixels.data);
  pen.putImageData(pixels, 0, 0);
  return made;
}
