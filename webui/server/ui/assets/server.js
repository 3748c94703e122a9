// @ts-check
// Requests to the server that this page came from, also where it lives below a subpath.

// The modules lie at page/EDITION/ below the page.
const base = new URL("../../", import.meta.url);

/**
 * The address of a route of this server.
 * @param {string} path
 */
export const url = (path) => new URL(path.replace(/^\//, ""), base).href;

/**
 * @param {string} path
 * @param {unknown} body
 */
export const post = (path, body = {}) =>
  fetch(url(path), {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });

/**
 * What an answer of the server holds; {} where it is no JSON.
 * @param {Response} answer
 * @returns {Promise<any>}
 */
export const told = (answer) => answer.json().catch(() => ({}));
