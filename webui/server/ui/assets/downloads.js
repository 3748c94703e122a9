// @ts-check
// Pictures saved by the browser.
import { make } from "./dom.js";
import { failed, say } from "./say.js";
import { url } from "./server.js";

/** @import { Picture } from "./stream.js" */

/** @type {Record<string, string>} */
const ENDINGS = { "image/jpeg": "jpg" };

/**
 * A picture's file, and what it is to be called.
 * @param {Picture} picture
 */
export async function named(picture) {
  const answer = await fetch(url(picture.url));
  if (!answer.ok) throw new Error("The file of this picture no longer exists.");
  const content = await answer.blob();
  const ending = ENDINGS[content.type] ?? content.type.split("/")[1] ?? "png";
  return { name: picture.name || `${picture.seed}.${ending}`, content };
}

/**
 * @param {string} name
 * @param {Blob} content
 */
export function download(name, content) {
  const address = URL.createObjectURL(content);
  make("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}

export const nothing = () => say("There is no picture yet.");

/** @param {Picture | undefined} picture */
export async function save(picture) {
  if (!picture) {
    nothing();
    return;
  }
  try {
    const { name, content } = await named(picture);
    download(name, content);
  } catch (error) {
    failed(error);
  }
}
