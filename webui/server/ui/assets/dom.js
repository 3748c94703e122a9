// @ts-check
// What the other modules build on: elements as they appear, and small verbs for them.

/** @type {{selector: string, meet: (element: any) => void, seen: WeakSet<Element>}[]} */
const wishes = [];

/** @param {string} id */
export const byId = (id) => document.getElementById(id);

/**
 * The field in which a Gradio control of this id is typed into.
 * @param {string} id
 * @returns {HTMLInputElement | HTMLTextAreaElement | null}
 */
export const field = (id) => document.querySelector(`#${CSS.escape(id)} :is(textarea, input[type=number], input)`);

/**
 * Runs `meet(element)` once for each element that ever matches: tabs are built when they are first opened.
 * @template {Element} [E=HTMLElement]
 * @param {string} selector
 * @param {(element: E) => void} meet
 */
export function when(selector, meet) {
  const wish = { selector, meet, seen: new WeakSet() };
  wishes.push(wish);
  grant(wish);
}

/** @param {typeof wishes[number]} wish */
function grant({ selector, meet, seen }) {
  for (const element of document.querySelectorAll(selector)) {
    if (!seen.has(element)) {
      seen.add(element);
      meet(element);
    }
  }
}

let due = false;
new MutationObserver(() => {
  if (due) return;
  due = true;
  setTimeout(() => {
    due = false;
    wishes.forEach(grant);
  });
}).observe(document.documentElement, { childList: true, subtree: true });

/**
 * @typedef {{[name: string]: unknown} & {[E in keyof HTMLElementEventMap as `on${E}`]?: (event: HTMLElementEventMap[E]) => unknown}} Attributes
 */

/**
 * An element: make("a.link", {href: "..."}, "text", child). Texts are texts, never markup.
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T | `${T}.${string}`} what A tag, and classes.
 * @param {Attributes} attributes true is an empty one; false, null and undefined are none; `on...` are listeners.
 * @param {(Node | string | null | undefined | false)[]} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function make(what, attributes = {}, ...children) {
  const [tag, ...classes] = what.split(".");
  const element = /** @type {HTMLElementTagNameMap[T]} */ (document.createElement(/** @type {string} */ (tag)));
  if (classes.length) element.className = classes.join(" ");
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), /** @type {EventListener} */ (value));
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, String(value));
  }
  element.append(...children.filter((child) => child != null && child !== false));
  return element;
}

/**
 * A small button with an icon and a name that screen readers and the pointer get.
 * @param {string} icon
 * @param {string} name
 * @param {(event: MouseEvent) => unknown} click
 */
export const iconButton = (icon, name, click) =>
  make(`button.tool.glyph-${icon}`, { type: "button", title: name, "aria-label": name, onclick: click });

/**
 * A table with a line for each thing; in a narrow window each value stands behind its title.
 * @param {string[]} titles
 * @param {{id: string, cells: (string | Node)[]}[]} lines
 */
export function table(titles, lines) {
  const rows = lines.map(({ id, cells }) =>
    make("tr", { "data-id": id }, ...cells.map((cell, at) => make("td", { "data-title": titles[at] }, cell))));
  const heads = titles.map((title) => make("th", { scope: "col" }, title));
  return make("table", {}, make("thead", {}, make("tr", {}, ...heads)), make("tbody", {}, ...rows));
}

/**
 * Sets a text field as if it were typed into.
 * @param {HTMLInputElement | HTMLTextAreaElement | null} into
 * @param {string} text
 */
export function type(into, text) {
  if (!into) return;
  into.value = text;
  into.dispatchEvent(new Event("input", { bubbles: true }));
}

/**
 * The innermost element around what an event happened to that matches; null: none.
 * @param {Event} event
 * @param {string} selector
 * @returns {HTMLElement | null}
 */
export const around = (event, selector) => (event.target instanceof Element ? event.target.closest(selector) : null);
