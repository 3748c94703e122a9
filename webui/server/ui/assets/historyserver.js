// @ts-check
// Questions to the history.
import { told, url } from "./server.js";

/** @import { Picture } from "./stream.js" */

/**
 * @typedef {Picture & {name: string, missing: boolean, prompt: string, rating: number, favourite: boolean, tags: string[], width: number,
 *   height: number, created: number, parent: string, bytes: number}} Listed
 */

const ROOT = "internal/history";

/** @param {string} path */
export const place = (path) => url(`${ROOT}/${path}`);

/**
 * @param {string} path
 * @param {RequestInit} [options]
 * @returns {Promise<any>}
 */
export async function ask(path, options) {
  const answer = await fetch(place(path), options);
  const said = await told(answer);
  if (!answer.ok) throw new Error(said.detail || "The server did not respond.");
  return said;
}

/**
 * @param {unknown} body
 * @returns {RequestInit}
 */
const posted = (body) => ({ method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });

/**
 * @param {string} path
 * @param {unknown} body
 */
export const tell = (path, body) => ask(path, posted(body));

/**
 * What is no JSON: a file.
 * @param {string} path
 * @param {unknown} body
 */
export async function fetched(path, body) {
  const answer = await fetch(place(path), posted(body));
  if (!answer.ok) throw new Error((await told(answer)).detail || "The server did not respond.");
  return answer.blob();
}
