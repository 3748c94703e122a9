// @ts-check
// What is painted over a picture outlives the page, as long as its tab of the browser does: the strokes, and by what the
// picture is known again.

const SMALL = 8;

/** @typedef {import("./mask.js").Step} Step */

/**
 * Eight times eight pixels of a picture, as a text.
 * @param {HTMLImageElement} image
 */
function signature(image) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = SMALL;
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  pen?.drawImage(image, 0, 0, SMALL, SMALL);
  return `${image.naturalWidth}x${image.naturalHeight} ${pen?.getImageData(0, 0, SMALL, SMALL).data.join(" ") ?? ""}`;
}

/**
 * @param {string} place
 * @param {HTMLImageElement} image
 * @param {Step[]} steps
 */
export function keepPaint(place, image, steps) {
  const key = `gesso_paint_${place}`;
  const plain = () => steps.map((step) => step.kind === "area" ? { ...step, stencil: step.stencil.toDataURL("image/png") } : step);
  try {
    if (steps.length) sessionStorage.setItem(key, JSON.stringify({ of: signature(image), steps: plain() }));
    else sessionStorage.removeItem(key);
  } catch {
    sessionStorage.removeItem(key); // Too much paint for the browser's few megabytes.
  }
}

/**
 * What was painted over this picture.
 * @param {string} place
 * @param {HTMLImageElement} image
 * @returns {Promise<Step[]>}
 */
export async function keptPaint(place, image) {
  try {
    const kept = JSON.parse(sessionStorage.getItem(`gesso_paint_${place}`) ?? "{}");
    if (kept.of !== signature(image)) return [];
    return await Promise.all(kept.steps.map(async (/** @type {any} */ step) =>
      step.kind === "area" ? { ...step, stencil: await drawn(step.stencil) } : step));
  } catch {
    return [];
  }
}

/** @param {string} address */
async function drawn(address) {
  const image = new Image();
  image.src = address;
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = image.naturalWidth;
  canvas.height = image.naturalHeight;
  canvas.getContext("2d")?.drawImage(image, 0, 0);
  return canvas;
}
