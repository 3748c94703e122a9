// @ts-check
// Below a prompt that is typed into: what the word may become. Tab takes it, the arrows choose, Esc closes.
import { around, make } from "../dom.js";
import { facts } from "../facts.js";
import { told, url } from "../server.js";
import { completed, short, unfinished } from "./completion.js";
import { apply } from "./edit.js";

/** @import { Completion, Unfinished } from "./completion.js" */
/**
 * @typedef {Completion & {id?: string, picture?: string}} Offer
 * @typedef {{area: HTMLTextAreaElement, begun: Unfinished, offers: Offer[], at: number}} Open
 */

const WAIT = 120; // milliseconds after the last key
const MOST = 20;
const CARDS = "internal/cards";
/** @type {Record<string, string>} By what is begun: the page of cards. */
const PAGES = { lora: "loras", hypernet: "hypernetworks", text: "embeddings" };
/** @type {Record<string, string>} */
const NAMES = { tag: "tag", own: "used before", style: "style", wildcard: "wildcard", loras: "LoRA", hypernetworks: "hypernetwork", embeddings: "embedding" };

const list = make("ul.completions", { id: "completions", role: "listbox", "aria-label": "Completions", hidden: true });
const said = make("div.completions-said", { role: "status" });
/** @type {Open | null} */
let open = null;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;
let asked = 0;
let own = false; // whether a change of the text is ours

document.addEventListener("input", (event) => {
  const area = event.target;
  if (!(area instanceof HTMLTextAreaElement) || !area.closest("[id$=prompt]") || !event.isTrusted || own || !facts.completes) return;
  clearTimeout(timer);
  asked++;
  const begun = unfinished(area.value, area.selectionStart);
  if (!begun || area.selectionStart !== area.selectionEnd) return close();
  timer = setTimeout(() => look(area, begun), WAIT);
});

/**
 * @param {HTMLTextAreaElement} area
 * @param {Unfinished} begun
 */
async function look(area, begun) {
  const mine = asked;
  const text = area.value;
  try {
    const found = await Promise.all([words(begun), models(begun)]);
    if (mine !== asked || area.value !== text || document.activeElement !== area) return;
    const { matched, offers } = found[0];
    // Of several words the last ones alone may have been found.
    const start = begun.kind === "text" && offers.length ? area.selectionStart - lengthIn(text, area.selectionStart, matched) : begun.start;
    const all = [...found[1], ...offers].slice(0, MOST);
    if (all.length) show({ area, begun: { ...begun, start: found[1].length ? begun.start : start }, offers: all, at: -1 });
    else close();
  } catch {
    close(); // No connection: the next key asks again.
  }
}

/**
 * How many letters before a place are the matched ones: brackets may stand there with a backslash.
 * @param {string} text
 * @param {number} caret
 * @param {string} matched
 */
function lengthIn(text, caret, matched) {
  let at = caret;
  for (let left = matched.length; left > 0 && at > 0; left--) {
    at--;
    if (/[()]/.test(text.charAt(at)) && text.charAt(at - 1) === "\\") at--;
  }
  return caret - at;
}

/**
 * @param {Unfinished} begun
 * @returns {Promise<{matched: string, offers: Offer[]}>}
 */
async function words({ kind, text }) {
  if (kind !== "text" && kind !== "wildcard") return { matched: text, offers: [] };
  const query = new URLSearchParams({ text, kind });
  const { matched = text, found = [] } = await told(await fetch(url(`internal/desk/complete?${query}`)));
  return { matched, offers: found };
}

/**
 * @param {Unfinished} begun
 * @returns {Promise<Offer[]>}
 */
async function models({ kind, text }) {
  const page = PAGES[kind];
  if (!page) return [];
  const query = new URLSearchParams({ search: text, count: String(kind === "text" ? 5 : MOST) });
  const { cards = [] } = await told(await fetch(url(`${CARDS}/list/${page}?${query}`)));
  return cards
    .filter((/** @type {{fault: string}} */ card) => !card.fault)
    .map((/** @type {{id: string, name: string, picture: string}} */ card) => ({
      id: card.id,
      kind: page,
      text: card.name,
      picture: card.picture && url(`${CARDS}/card/${card.id}/picture?${card.picture}`),
    }));
}

/** @param {Open} wanted */
function show(wanted) {
  open = wanted;
  list.replaceChildren(...wanted.offers.map(line));
  if (!list.isConnected) document.body.append(list, said);
  place(wanted);
  list.hidden = false;
  said.textContent = `${wanted.offers.length} completions; Tab takes the first`;
  for (const [name, value] of [["aria-autocomplete", "list"], ["aria-haspopup", "listbox"], ["aria-controls", list.id]]) {
    if (name && value) wanted.area.setAttribute(name, value);
  }
}

/**
 * @param {Offer} offer
 * @param {number} number
 */
function line(offer, number) {
  const picture = offer.picture
    ? make("img", { src: offer.picture, alt: "", loading: "lazy", width: "32", height: "32" })
    : null;
  const note = offer.count ? short(offer.count) : NAMES[offer.kind] ?? "";
  return make(
    "li",
    {
      id: `completion_${number}`,
      role: "option",
      "aria-selected": "false",
      class: `of-${offer.kind}${offer.type ? ` type-${offer.type}` : ""}`,
      onpointerdown: (/** @type {PointerEvent} */ event) => event.preventDefault(), // the prompt keeps the focus
      onclick: () => take(number),
    },
    picture,
    make("span.word", {}, offer.alias ? `${offer.alias} → ${offer.text}` : offer.text),
    make("span.note", {}, note),
  );
}

/** Below the line with the caret, or above it where there is more room. @param {Open} wanted */
function place({ area, begun }) {
  const box = area.getBoundingClientRect();
  const style = getComputedStyle(area);
  const mirror = make("div", { "aria-hidden": "true" }, area.value.slice(0, begun.start));
  const mark = make("span", {}, "\u200b");
  mirror.append(mark);
  for (const name of ["font", "letter-spacing", "line-height", "padding", "border", "box-sizing", "tab-size"]) {
    mirror.style.setProperty(name, style.getPropertyValue(name));
  }
  Object.assign(mirror.style, {
    position: "absolute", visibility: "hidden", top: "0", left: "0", width: `${box.width}px`, whiteSpace: "pre-wrap", overflowWrap: "break-word",
  });
  document.body.append(mirror);
  const { offsetLeft, offsetTop, offsetHeight } = mark;
  mirror.remove();
  const top = box.top + Math.min(Math.max(offsetTop - area.scrollTop, 0), box.height - offsetHeight);
  const below = top + offsetHeight + 4;
  const room = document.documentElement.clientHeight - below;
  const high = Math.min(320, Math.max(room, top) - 8);
  list.style.maxHeight = `${high}px`;
  const width = Math.min(380, document.documentElement.clientWidth - 16);
  list.style.width = `${width}px`;
  list.style.left = `${Math.max(8, Math.min(box.left + offsetLeft, document.documentElement.clientWidth - width - 8))}px`;
  if (room >= 160 || room >= top) Object.assign(list.style, { top: `${below}px`, bottom: "auto" });
  else Object.assign(list.style, { top: "auto", bottom: `${document.documentElement.clientHeight - top + 4}px` });
}

function close() {
  if (!open) return;
  for (const name of ["aria-activedescendant", "aria-controls", "aria-haspopup"]) open.area.removeAttribute(name);
  open = null;
  list.hidden = true;
  said.textContent = "";
}

/** @param {number} to */
function choose(to) {
  if (!open) return;
  open.at = (to + open.offers.length) % open.offers.length;
  for (const [number, option] of [...list.children].entries()) option.setAttribute("aria-selected", String(number === open.at));
  list.children[open.at]?.scrollIntoView({ block: "nearest" });
  open.area.setAttribute("aria-activedescendant", `completion_${open.at}`);
}

/** @param {number} number */
async function take(number) {
  const offer = open?.offers[number];
  if (!open || !offer) return;
  const { area, begun } = open;
  const text = area.value;
  const caret = area.selectionStart;
  close();
  let chosen = offer;
  if (offer.id) {
    const { prompt } = await told(await fetch(url(`${CARDS}/card/${offer.id}/insertion`)));
    if (!prompt || area.value !== text) return;
    chosen = { ...offer, insert: prompt };
  }
  own = true;
  apply(area, completed(text, begun, caret, chosen, { underscores: facts.underscores, comma: facts.completion_comma }));
  own = false;
}

// Before whoever else listens to keys.
document.addEventListener("keydown", (event) => {
  if (!open || event.target !== open.area || event.isComposing || event.ctrlKey || event.metaKey || event.altKey) return;
  const { key } = event;
  if (key === "ArrowDown") choose(open.at + 1);
  else if (key === "ArrowUp") choose(open.at < 0 ? -1 : open.at - 1);
  else if (key === "Tab" && !event.shiftKey) void take(Math.max(open.at, 0));
  else if (key === "Enter" && open.at >= 0) void take(open.at);
  else if (key === "Escape") close();
  else {
    if (["ArrowLeft", "ArrowRight", "Home", "End", "Enter", "Tab"].includes(key)) close();
    return;
  }
  event.preventDefault();
  event.stopPropagation();
}, true);
document.addEventListener("focusout", (event) => {
  if (open && event.target === open.area) close();
});
document.addEventListener("pointerdown", (event) => {
  if (open && !around(event, ".completions") && event.target !== open.area) close();
});
for (const what of ["scroll", "resize"]) {
  globalThis.addEventListener(what, (event) => {
    if (open && event.target !== list) close();
  }, { capture: true, passive: true });
}
