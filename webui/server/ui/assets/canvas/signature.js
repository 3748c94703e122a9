// @ts-check
// By what a picture is known again.

const SMALL = 8;

/**
 * Eight times eight pixels of a picture, and its size, as a text.
 * @param {HTMLImageElement} image
 */
export function signature(image) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = SMALL;
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  pen?.drawImage(image, 0, 0, SMALL, SMALL);
  return `${image.naturalWidth}x${image.naturalHeight} ${pen?.getImageData(0, 0, SMALL, SMALL).data.join(" ") ?? ""}`;
}
