// @ts-check
// In the prompt boxes: the prompt as chips, which are another look at the same text, and the prompts that were written
// before. Ctrl+/ makes lines comments.
import { iconButton, make, when } from "../dom.js";
import { facts } from "../facts.js";
import { changedWeight } from "../prompttext.js";
import { told, url } from "../server.js";
import { apply } from "./edit.js";
import { changed, commented, moved, pieces, switched, without } from "./pieces.js";

/** @import { Piece } from "./pieces.js" */

const SHOWN = "gesso_chips";
const STARRED = "gesso_favourite_prompts";
const MOST = 400; // chips; a longer prompt is better edited as text
const NAMES = { plain: "", stronger: "stronger", weaker: "weaker", network: "network", wildcard: "wildcard", choice: "choice", schedule: "schedule", keyword: "keyword" };

when(".prompt", (box) => {
  const area = box.querySelector("textarea");
  if (!area) return;
  const label = box.id.includes("negative") ? "negative prompt" : "prompt";
  const chips = make("ul.chips", { "aria-label": `The ${label} in pieces`, hidden: true });
  const toggle = iconButton("tags", `Show the ${label} in pieces`, () => show(chips.hidden !== false));
  const past = iconButton("stack", "Prompts written before", () => remembered(area, past));
  box.append(make("div.desk-tools", {}, toggle, past), chips);

  const draw = () => {
    if (!chips.hidden) render(area, chips);
  };
  const show = (/** @type {boolean} */ on) => {
    chips.hidden = !on;
    toggle.setAttribute("aria-pressed", String(on));
    localStorage.setItem(`${SHOWN}_${box.id}`, on ? "1" : "");
    draw();
  };
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  const soon = () => {
    clearTimeout(timer);
    timer = setTimeout(draw, 150);
  };
  area.addEventListener("input", soon);
  box.addEventListener("gesso:text", soon); // whoever wrote it
  show(localStorage.getItem(`${SHOWN}_${box.id}`) === "1");
});

/**
 * @param {HTMLTextAreaElement} area
 * @param {HTMLUListElement} chips
 */
function render(area, chips) {
  const all = pieces(area.value);
  const focused = [...chips.children].indexOf(/** @type {Element} */ (document.activeElement?.closest(".chips > li")));
  chips.replaceChildren(...all.slice(0, MOST).map((piece, place) => chip(area, chips, piece, place)));
  if (!all.length) chips.append(make("li.none", {}, "Nothing is written yet."));
  if (all.length > MOST) chips.append(make("li.none", {}, `and ${all.length - MOST} more`));
  if (focused >= 0) focus(chips, focused);
}

/**
 * @param {HTMLUListElement} chips
 * @param {number} place
 */
function focus(chips, place) {
  const children = [...chips.children];
  /** @type {HTMLElement | null | undefined} */
  const button = children[Math.max(0, Math.min(place, children.length - 1))]?.querySelector(".chip-words");
  button?.focus();
}

/**
 * @param {HTMLTextAreaElement} area
 * @param {HTMLUListElement} chips
 * @param {Piece} piece
 * @param {number} place
 */
function chip(area, chips, piece, place) {
  const write = (/** @type {string} */ text, /** @type {number} */ next) => {
    apply(area, changed(area.value, text));
    render(area, chips);
    focus(chips, next);
  };
  const weigh = (/** @type {1 | -1} */ sign) => {
    const edit = changedWeight(area.value, [piece.start, piece.end], sign * facts.precision, sign * facts.precision_extra, facts.delimiters);
    if (!edit) return;
    write(area.value.slice(0, edit.start) + edit.text + area.value.slice(edit.end), place);
  };
  const press = () => write(switched(area.value, place), place);
  const note = [piece.on ? "on" : "off", NAMES[piece.kind]].filter(Boolean).join(", ");
  const name = make("button.chip-words", {
    type: "button",
    "aria-pressed": String(piece.on),
    title: `${note}. Click: ${piece.on ? "off" : "on"}. Up, Down: weight. Alt+Left, Alt+Right or drag: place. Delete: take out.`,
    onclick: press,
    onkeydown: (/** @type {KeyboardEvent} */ event) => {
      if (event.altKey && event.key === "ArrowLeft") write(moved(area.value, place, place - 1), place - 1);
      else if (event.altKey && event.key === "ArrowRight") write(moved(area.value, place, place + 1), place + 1);
      else if (event.key === "ArrowLeft") focus(chips, place - 1);
      else if (event.key === "ArrowRight") focus(chips, place + 1);
      else if (event.key === "ArrowUp" && piece.on) weigh(1);
      else if (event.key === "ArrowDown" && piece.on) weigh(-1);
      else if (event.key === "Delete" || event.key === "Backspace") write(without(area.value, place), place);
      else return;
      event.preventDefault();
      event.stopPropagation();
    },
  }, piece.words);
  const small = (/** @type {string} */ sign, /** @type {string} */ label, /** @type {() => void} */ act) =>
    make("button.chip-small", { type: "button", tabindex: "-1", "aria-label": `${label}: ${piece.words}`, onclick: act }, sign);
  const item = make(
    "li",
    { class: `kind-${piece.kind}${piece.on ? "" : " off"}`, draggable: piece.on ? "true" : "false" },
    piece.on && small("−", "Weaker", () => weigh(-1)),
    name,
    piece.on && small("+", "Stronger", () => weigh(1)),
  );
  item.addEventListener("dragstart", (event) => {
    event.dataTransfer?.setData("application/x-gesso-piece", String(place));
    chips.dataset.dragged = String(place);
  });
  item.addEventListener("dragend", () => delete chips.dataset.dragged);
  item.addEventListener("dragover", (event) => {
    if (chips.dataset.dragged !== undefined) event.preventDefault();
  });
  item.addEventListener("drop", (event) => {
    const from = chips.dataset.dragged;
    if (from === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    write(moved(area.value, Number(from), place), place);
  });
  return item;
}

document.addEventListener("keydown", (event) => {
  const area = event.target;
  if (!(area instanceof HTMLTextAreaElement) || !area.closest("[id$=prompt]")) return;
  if (!(event.ctrlKey || event.metaKey) || event.altKey || event.key !== "/") return;
  event.preventDefault();
  apply(area, commented(area.value, [area.selectionStart, area.selectionEnd]));
});

/** @returns {string[]} */
function starred() {
  try {
    const found = JSON.parse(localStorage.getItem(STARRED) ?? "[]");
    return Array.isArray(found) ? found.map(String) : [];
  } catch {
    return [];
  }
}

/**
 * The prompts of one's own pictures, newest first, those with a star before all others.
 * @param {HTMLTextAreaElement} area
 * @param {HTMLElement} opener
 */
function remembered(area, opener) {
  const list = make("ul.prompt-list", { "aria-label": "Prompts" });
  const search = make("input", { type: "search", placeholder: "Search", "aria-label": "Search in your prompts" });
  /** @type {HTMLDialogElement} */
  const dialog = make("dialog.unit-dialog.prompt-history", {
    "aria-label": "Prompts written before",
    onclose: () => {
      dialog.remove();
      opener.focus();
    },
    onclick: (/** @type {MouseEvent} */ event) => event.target === dialog && dialog.close(),
  }, make("header", {}, make("h2", {}, "Prompts written before"), iconButton("close", "Close", () => dialog.close())), search, list);
  let asked = 0;
  const fill = async () => {
    const mine = ++asked;
    const text = search.value;
    /** @type {string[]} */
    let prompts = [];
    try {
      const found = await told(await fetch(url(`internal/desk/prompts?${new URLSearchParams({ text })}`)));
      if (Array.isArray(found)) prompts = found;
    } catch {
      // No connection: those with a star are here.
    }
    if (mine !== asked) return;
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    const kept = starred().filter((each) => words.every((word) => each.toLowerCase().includes(word)));
    const all = [...new Set([...kept, ...prompts])];
    list.replaceChildren(...all.map((prompt) => entry(prompt, kept.includes(prompt))));
    if (!all.length) list.append(make("li.none", {}, text ? "No prompt has these words." : "There is none yet."));
  };
  const entry = (/** @type {string} */ prompt, /** @type {boolean} */ isKept) => {
    const star = iconButton("star", isKept ? "Remove the star" : "Give it a star", () => {
      const others = starred().filter((each) => each !== prompt);
      localStorage.setItem(STARRED, JSON.stringify(isKept ? others : [prompt, ...others].slice(0, 200)));
      void fill();
    });
    star.setAttribute("aria-pressed", String(isKept));
    const use = make("button.prompt-text", {
      type: "button",
      onclick: () => {
        dialog.close();
        apply(area, changed(area.value, prompt));
        area.focus();
      },
    }, prompt);
    return make("li", {}, use, star);
  };
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  search.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(fill, 150);
  });
  document.body.append(dialog);
  dialog.showModal();
  void fill();
}
