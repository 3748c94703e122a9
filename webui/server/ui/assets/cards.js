// @ts-check
// Cards of models under the prompts: a click writes what the model wants into the prompt, or takes it out again.
import { showSettings } from "./bar.js";
import { around, field, iconButton, make, type, when } from "./dom.js";
import { facts } from "./facts.js";
import * as live from "./live.js";
import { toggled } from "./prompttext.js";
import { failed, say } from "./say.js";
import { post, told, url } from "./server.js";

/**
 * @typedef {{id: string, name: string, path: string, description: string, picture: string, family: string, fault: string}} Card
 * @typedef {{cards: Card[], total: number, families: string[], folders: string[], family: string}} Found
 * @typedef {object} Details
 * @property {string} id
 * @property {string} name
 * @property {string} path
 * @property {number} bytes
 * @property {number} modified
 * @property {string} sha256
 * @property {Record<string, unknown>} metadata
 * @property {{tag: string, count: number}[]} tags
 * @property {Record<string, string | number>} said
 */

const STEP = 60;
const AUTOMATIC = "auto"; // for the checkpoint in use
const ROUTE = "internal/cards";
const SORTS = ["path", "name", "date created", "date modified"];
/** @type {Map<string, string>} By tab: the prompt that was typed into last. */
const lastBox = new Map();

document.addEventListener("focusin", (event) => {
  const [, tab, box] = /^(txt2img|img2img)_(negative_prompt|prompt)$/.exec(around(event, "[id$=_prompt]")?.id ?? "") ?? [];
  if (tab && box) lastBox.set(tab, box);
});

/**
 * @param {Response} answer
 * @returns {Promise<any>}
 */
async function understood(answer) {
  const found = await told(answer);
  if (!answer.ok) throw new Error(found.detail ?? found.message ?? answer.statusText);
  return found;
}

/** @param {string} path */
const ask = async (path) => understood(await fetch(url(`${ROUTE}/${path}`)));

/**
 * @param {string} path
 * @param {unknown} [body]
 */
const send = async (path, body) => understood(await post(`${ROUTE}/${path}`, body));

const above = (/** @type {string} */ folder) => folder.split("/").slice(0, -1).join("/");

/**
 * Writes the piece at the prompt's end, or takes it out where it stands already -> whether it stands there now.
 * @param {string} id
 * @param {string} piece
 * @param {boolean} [wanted]
 */
function toggle(id, piece, wanted) {
  const box = field(id);
  if (!box || !piece) return false;
  const { text, on } = toggled(box.value, piece, wanted, facts.cards.separator);
  if (text !== box.value) type(box, text);
  return on;
}

/**
 * @param {Panel} panel
 * @param {Card} card
 */
async function use(panel, card) {
  const found = await ask(`card/${card.id}/insertion`);
  if (found.checkpoint) {
    const answer = await post("sdapi/v1/options", { sd_model_checkpoint: found.checkpoint });
    if (!answer.ok) throw new Error("The checkpoint could not be selected.");
    showSettings();
    say(`Checkpoint: ${found.checkpoint}`);
    return;
  }
  const { tab } = panel;
  const box = panel.page === "embeddings" ? lastBox.get(tab) ?? "prompt" : "prompt";
  const on = toggle(`${tab}_${box}`, found.prompt);
  if (found.negative) toggle(`${tab}_negative_prompt`, found.negative, on);
  say(on ? `${card.name} added to the prompt.` : `${card.name} removed from the prompt.`);
}

/**
 * The place of a page among those that come first.
 * @param {string} name
 */
function rank(name) {
  const place = facts.cards.pages.indexOf(name.toLowerCase());
  return place < 0 ? facts.cards.pages.length : place;
}

// --- panel ---------------------------------------------------------------------------------------------------------

class Panel {
  /** @param {HTMLElement} place */
  constructor(place) {
    this.place = place;
    this.tab = place.dataset.tab ?? "";
    /** @type {Record<string, string>} */
    this.pages = JSON.parse(place.dataset.pages ?? "{}");
    this.turns = 0;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
    this.page = "";
    const { sort, descending } = facts.cards;
    this.wish = { search: "", folder: "", family: "", sort, descending };
    const chosen = localStorage.getItem("gesso_cards_tree");
    this.tree = chosen ? chosen === "1" : facts.cards.tree;
    this.withFolders = facts.cards.folders;
    this.buttons = Object.entries(this.pages).sort((one, other) => rank(one[1]) - rank(other[1])).map(([page, name]) =>
      make("button.cards-page", { type: "button", "data-page": page, "aria-expanded": "false", onclick: () => this.open(page) }, name));
    this.strip = make("div.cards-strip", {}, ...this.buttons);
    this.body = make("div.cards-body", { hidden: true });
    this.search = make("input.cards-search", {
      type: "search", placeholder: "Search", oninput: () => { this.later({ search: this.search.value }); },
    });
    this.families = make("select", { "aria-label": "Base model", onchange: () => { this.ask({ family: this.families.value }); } });
    this.count = make("span.cards-count", { role: "status" });
    this.folders = make("nav.cards-folders", { "aria-label": "Folders" });
    this.grid = make("div.cards-grid");
    this.more = make("button.cards-more", { type: "button", onclick: () => this.ask({}, true) }, "Show more");
    new IntersectionObserver(([seen]) => { if (seen?.isIntersecting && !this.more.hidden) this.ask({}, true); }).observe(this.more);
    place.replaceChildren(this.strip, this.body);
  }

  /**
   * Opens a page of cards; the open one's button closes it.
   * @param {string} page
   */
  open(page) {
    this.page = this.page === page ? "" : page;
    for (const button of this.buttons) {
      button.setAttribute("aria-expanded", String(button.dataset.page === this.page));
    }
    this.body.hidden = !this.page;
    this.body.replaceChildren();
    this.grid.replaceChildren();
    if (!this.page) return;
    const family = this.page === "loras" && !facts.cards.all ? AUTOMATIC : "";
    this.wish = { ...this.wish, search: "", folder: "", family };
    this.search.value = "";
    this.search.setAttribute("aria-label", `Search ${this.pages[this.page]}`);
    this.count.textContent = "";
    this.folders.replaceChildren();
    this.families.replaceChildren();
    this.more.hidden = false;
    const sort = make("select", { "aria-label": "Sort by", onchange: () => { this.ask({ sort: sort.value }); } },
      ...SORTS.map((name) => make("option", { value: name, selected: name === this.wish.sort }, name)));
    this.body.replaceChildren(
      make("div.cards-bar", {}, this.search, this.families, sort,
        iconButton("sort", "Reverse the order", () => this.ask({ descending: !this.wish.descending })),
        iconButton("tree", "Show folders as a tree or as buttons", () => this.turn()),
        iconButton("refresh", "Refresh the list", () => this.refresh()), this.count),
      make("div.cards-main", {}, this.folders, make("div.cards-side", {}, this.grid, this.more)));
    this.ask({});
  }

  turn() {
    if (!this.withFolders) {
      this.withFolders = true;
      this.ask({});
      return;
    }
    this.tree = !this.tree;
    localStorage.setItem("gesso_cards_tree", this.tree ? "1" : "0");
    this.ask({});
  }

  /** @param {Partial<Panel["wish"]>} wish */
  later(wish) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.ask(wish), 15);
  }

  async refresh() {
    await post(`${ROUTE}/refresh/${this.page}`);
    this.ask({});
  }

  /**
   * @param {Partial<Panel["wish"]>} wish
   * @param {boolean} further The next cards, behind those that are shown.
   */
  async ask(wish, further = false) {
    Object.assign(this.wish, wish);
    const turn = ++this.turns;
    const { page } = this;
    const start = further ? this.grid.childElementCount : 0;
    const query = new URLSearchParams(Object.entries({ ...this.wish, start, count: STEP }).map(([name, value]) => [name, String(value)]));
    try {
      const found = await ask(`list/${page}?${query}`);
      if (turn === this.turns && page === this.page) this.show(found, start);
    } catch (error) {
      failed(error);
    }
  }

  /**
   * @param {Found} found
   * @param {number} start
   */
  show(found, start) {
    const cards = found.cards.map((card) => this.card(card));
    if (start) this.grid.append(...cards);
    else this.grid.replaceChildren(...cards);
    this.more.hidden = this.grid.childElementCount >= found.total;
    this.count.textContent = found.total === 1 ? "1 card" : `${found.total} cards`;
    if (!found.total) this.grid.replaceChildren(make("p.cards-none", {}, "Nothing found. Press refresh to show new files."));
    this.families.hidden = !found.families.length;
    const offered = this.page === "loras" ? [AUTOMATIC, "", ...found.families] : ["", ...found.families];
    const called = (/** @type {string} */ family) =>
      family === AUTOMATIC ? "For the checkpoint in use" : family || "All base models";
    this.families.replaceChildren(...offered.map((family) =>
      make("option", { value: family, selected: family === this.wish.family }, called(family))));
    this.folders.hidden = !found.folders.length || !this.withFolders;
    this.folders.classList.toggle("tree", this.tree);
    const parents = new Set(found.folders.map(above));
    const folders = this.tree ? found.folders.filter((folder) => !above(folder) || this.within(above(folder))) : found.folders;
    this.folders.replaceChildren(...["", ...folders].map((folder) =>
      make("button", {
        type: "button", title: folder || "All folders", "aria-pressed": String(folder === this.wish.folder),
        "aria-expanded": this.tree && folder && parents.has(folder) ? String(this.within(folder)) : null,
        style: this.tree && folder ? `padding-left: ${8 + 12 * folder.split("/").length}px` : null,
        onclick: () => this.ask({ folder }),
      }, folder ? (facts.cards.slash ? "/" : "") + (this.tree ? folder.split("/").at(-1) : folder) : "all")));
  }

  /**
   * Whether the chosen folder is this one, or lies below it.
   * @param {string} folder
   */
  within(folder) {
    return this.wish.folder === folder || this.wish.folder.startsWith(`${folder}/`);
  }

  /** @param {Card} card */
  card(card) {
    const picture = card.picture
      ? make("img", { src: url(`${ROUTE}/card/${card.id}/picture?v=${card.picture}`), alt: "", loading: "lazy" })
      : make("span.no-picture", { "aria-hidden": "true" }, card.name.slice(0, 2));
    return make("article.card", { "data-id": card.id },
      make("button.card-use", {
        type: "button", title: card.fault || card.description || card.path, onclick: () => use(this, card).catch(failed),
      }, picture, make("b", {}, card.name), facts.cards.described && card.description && make("small", {}, card.description)),
      card.family && make("span.card-family", {}, card.family),
      card.fault && make("span.card-fault", { title: card.fault }, "broken"),
      make("div.card-tools", {},
        iconButton("info", `Metadata of ${card.name}`, () => this.details(card, metadata)),
        iconButton("edit", `Edit ${card.name}`, () => this.details(card, editor))));
  }

  /**
   * @param {Card} card
   * @param {(found: Details, panel: Panel, dialog: HTMLDialogElement) => (Node | string)[]} fill
   */
  async details(card, fill) {
    try {
      const found = await ask(`card/${card.id}`);
      const dialog = make("dialog.card-dialog", { "aria-label": found.name, onclose: () => { dialog.remove(); } });
      dialog.append(
        make("header", {}, make("h3", {}, found.name), iconButton("close", "Close", () => dialog.close())),
        ...fill(found, this, dialog));
      dialog.addEventListener("mousedown", (event) => {
        if (event.target === dialog) dialog.close();
      });
      document.body.append(dialog);
      dialog.showModal();
    } catch (error) {
      failed(error);
    }
  }
}

// --- dialogs -------------------------------------------------------------------------------------------------------

/** @param {[name: string, value: unknown][]} pairs */
function rows(pairs) {
  return make("table.card-facts", {}, make("tbody", {}, ...pairs.map(([name, value]) =>
    make("tr", {}, make("th", { scope: "row" }, name),
      make("td", {}, typeof value === "object" ? JSON.stringify(value) : String(value))))));
}

/** @param {Details} found */
function metadata(found) {
  const pairs = Object.entries(found.metadata);
  if (found.tags.length) pairs.push(["Most frequent training tags", found.tags.map(({ tag, count }) => `${tag} (${count})`).join(", ")]);
  return [pairs.length ? rows(pairs) : make("p", {}, "The file has no metadata.")];
}

/**
 * @param {Details} found
 * @returns {[string, string][]}
 */
const hash = (found) => found.sha256 ? [["Hash", found.sha256]] : [];

/** @type {Record<string, string[]>} */
const FIELDS = {
  loras: ["description", "sd version", "activation text", "preferred weight", "negative text", "notes"],
  checkpoints: ["description", "vae", "notes"],
  embeddings: ["description", "notes"],
  hypernetworks: ["description", "preferred weight", "notes"],
};
/** @type {Record<string, string>} */
const NAMES = {
  description: "Description", notes: "Notes", "sd version": "Base model", "activation text": "Activation text",
  "negative text": "Negative text", "preferred weight": "Preferred weight (0: the default)", vae: "Preferred VAE",
};

/**
 * @param {string} name
 * @param {string | number | undefined} value
 */
function control(name, value) {
  if (name === "sd version") {
    return make("select", { name }, ...["", "SD1", "SD2", "SDXL", "SD3", "Flux", "Unknown"].map((version) =>
      make("option", { value: version, selected: version === (value ?? "") }, version || "As detected from the file")));
  }
  if (name === "preferred weight") {
    return make("input", { name, type: "number", min: 0, max: 2, step: 0.01, value: value ?? 0 });
  }
  if (name === "vae") return make("input", { name, type: "text", value: value ?? "" });
  const box = make("textarea", { name, rows: name === "notes" ? 4 : 2 });
  box.value = String(value ?? "");
  return box;
}

/**
 * @param {Details} found
 * @param {Panel} panel
 * @param {HTMLDialogElement} dialog
 */
function editor(found, panel, dialog) {
  const { page, tab } = panel;
  const form = make("form", { method: "dialog" });
  for (const name of FIELDS[page] ?? []) {
    const box = control(name, found.said[name]);
    const label = make("label", {}, NAMES[name], box);
    form.append(label);
    if (name === "activation text" && found.tags.length) form.append(tagsInto(box, found.tags), randomPrompt(tab, found.tags));
  }
  const closeAnd = async (/** @type {() => unknown} */ work) => {
    try {
      await work();
      dialog.close();
      panel.ask({});
    } catch (error) {
      failed(error);
    }
  };
  const save = make("button.primary", { type: "button", onclick: () => closeAnd(() => {
    const values = Object.fromEntries([...new FormData(form)].map(([name, value]) =>
      [name, name === "preferred weight" ? Number(value) : value]));
    return send(`card/${found.id}`, values);
  }) }, "Save");
  const replace = make("button", { type: "button", onclick: () => closeAnd(() => {
    const shown = document.querySelector(`#${tab}_results .stage .layer.on:not(.preview)`)?.getAttribute("src") ?? "";
    const picture = /pictures\/([^/?]+)/.exec(shown)?.[1];
    if (!picture) throw new Error("The gallery is empty.");
    return send(`card/${found.id}/picture/${picture}`);
  }) }, "Use the picture from the gallery");
  const facts = rows([["File", found.path], ["Size", `${(found.bytes / 2 ** 20).toFixed(1)} MB`],
    ["Modified", new Date(found.modified * 1000).toLocaleString()], ...hash(found)]);
  return [facts, form, make("div.card-foot", {}, replace, save)];
}

/**
 * Words of a network's training set: a press writes one into a field, or takes it out again.
 * @param {{value: string}} box
 * @param {{tag: string, count: number}[]} tags
 */
function tagsInto(box, tags) {
  return make("div.card-tags", { "aria-label": "Most frequent training tags" }, ...tags.map(({ tag, count }) =>
    make("button.card-tag", { type: "button", title: `${count} times`, onclick: () => {
      const now = box.value.split(",").map((word) => word.trim()).filter(Boolean);
      box.value = (now.includes(tag) ? now.filter((word) => word !== tag) : [...now, tag]).join(", ");
    } }, tag)));
}

/**
 * Words of a training set at random, the frequent ones more often; another press draws anew.
 * @param {string} tab
 * @param {{tag: string, count: number}[]} tags
 */
function randomPrompt(tab, tags) {
  const most = Math.max(...tags.map(({ count }) => count));
  const box = make("textarea", { rows: 2, readOnly: true, "aria-label": "Random prompt" });
  const draw = () => {
    box.value = tags.filter(({ count }) => Math.random() * most < count).map(({ tag }) => tag).join(", ");
  };
  draw();
  return make("div.card-random", {}, box,
    make("button.card-tag", { type: "button", onclick: draw }, "Random prompt"),
    make("button.card-tag", { type: "button", onclick: () => { toggle(`${tab}_prompt`, box.value, true); } }, "Add to prompt"));
}

// How cards look, also of those that are there when somebody changes it.
function dress() {
  const { width, height, text, tree_width: tree } = facts.cards;
  const { style } = document.documentElement;
  style.setProperty("--card-width", width ? `${width}px` : "");
  style.setProperty("--card-height", height ? `${height}px` : "");
  style.setProperty("--card-text", String(text));
  style.setProperty("--cards-tree", `${tree}px`);
}
dress();
live.read((what) => {
  if (what === "page" || what === "state") dress();
});

when(".gesso-cards", (place) => void new Panel(place));
