// @ts-check
// The history: thumbnails of all pictures, the chosen one beside them. All texts are set as texts.
import { around, iconButton, make, when } from "./dom.js";
import { save } from "./downloads.js";
import { compare } from "./historycompare.js";
import { chooseAlbum, editAlbum, exportAsZip, showStorage } from "./historydialogs.js";
import { HistoryList } from "./historylist.js";
import { midnight, monthOf, PAGE, question, sized } from "./historyquery.js";
import { ask, tell } from "./historyserver.js";
import * as bin from "./historytrash.js";
import * as lightbox from "./lightbox.js";
import * as live from "./live.js";
import { LongGrid } from "./longgrid.js";
import * as results from "./results.js";
import { failed, say } from "./say.js";
import { url } from "./server.js";

/** @import { Album } from "./historydialogs.js" */
/** @import { Listed } from "./historyserver.js" */
/** @import { Filters } from "./historyquery.js" */
/** @import { View } from "./lightbox.js" */

const GONE = "The file is gone";
const DAMAGED = "The file is damaged";
const LOOK = "Scan the output folders for new pictures";
const LATE = 60; // Milliseconds that a place is in the window before its picture is asked for: what flies by is not.
const CHOOSERS = /** @type {const} */ ({
  model: ["Model", "Any model"], sampler: ["Sampler", "Any sampler"], size: ["Size", "Any size"], lora: ["LoRA", "Any LoRA"],
  tag: ["Tag", "Any tag"],
});
/** @typedef {keyof typeof CHOOSERS} Chooser */

const list = new HistoryList((first, last) => {
  list.fetched.forEach((picture) => state.known.add(picture.id));
  grid.renew(first, last);
  draw();
});
const state = {
  index: -1,
  /** @type {Map<string, Listed>} */
  picked: new Map(),
  anchor: -1,
  stale: false,
  /** @type {Set<string>} */
  known: new Set(),
  /** Pictures whose files could not be shown.
   * @type {Set<string>} */
  damaged: new Set(),
  /** @type {Album[]} */
  albums: [],
  inTrash: false,
};
/** @type {HTMLElement | null} */
let place = null;

/** @param {Chooser} name */
const chooser = (name) => {
  const box = make("select", { "aria-label": CHOOSERS[name][0], onchange: () => { filter(name, box.value); } });
  return box;
};
const parts = {
  model: chooser("model"),
  sampler: chooser("sampler"),
  size: chooser("size"),
  lora: chooser("lora"),
  tag: chooser("tag"),
  album: make("select", { "aria-label": "Album", onchange: () => { filter("album", parts.album.value); } }),
  albumEdit: iconButton("edit", "Rename or delete this album", () => {
    const album = state.albums.find(({ id }) => String(id) === list.filters.album);
    if (album) {
      editAlbum(album, (gone) => {
        if (gone) filter("album", "");
        albums();
      });
    }
  }),
  rating: make("select", { "aria-label": "Rating", onchange: () => { filter("rating", parts.rating.value); } },
    make("option", { value: "" }, "Any rating"),
    ...[1, 2, 3, 4, 5].map((stars) => make("option", { value: stars }, `${"★".repeat(stars)}${stars < 5 ? " or more" : ""}`))),
  look: iconButton("refresh", LOOK, look),
  grid: make("div.history-grid"),
  month: make("div.history-month", { hidden: true, "aria-hidden": "true" }),
  total: make("span.history-total"),
  alike: make("div.history-alike", { hidden: true, role: "status" }),
  trash: make("div.history-trash", { hidden: true }),
  empty: make("p.history-empty", { hidden: true }),
  detail: make("aside.history-detail", { hidden: true, "aria-label": "The chosen picture" }),
  count: make("span"),
  compare: iconButton("compare", "Compare two pictures", () => {
    const [after, before] = chosen();
    if (before && after) compare(before, after, view.described);
  }),
  out: iconButton("clear", "Take out of the album", takeOut),
  bar: make("div.history-bar", { hidden: true, role: "toolbar", "aria-label": "Selected pictures" }),
};
parts.bar.append(parts.count, parts.compare,
  iconButton("heart", "Add to favorites", () => chosen().forEach((picture) => judge(picture, { favourite: true }))),
  iconButton("folder", "Add to an album", () => chooseAlbum([...state.picked.keys()], albums)),
  parts.out,
  iconButton("zip", "Export as a zip file", () => exportAsZip([...state.picked.keys()])),
  iconButton("bin", "Move to the trash", () => remove([...state.picked.keys()])),
  iconButton("close", "Clear selection", () => {
    state.picked.clear();
    draw();
  }));

/**
 * What the buttons that save, send and enlarge ask of every view.
 * @type {View<Listed>}
 */
const view = {
  tab: "history",
  get pictures() {
    return list.pictures;
  },
  get index() {
    return state.index;
  },
  get current() {
    return list.pictures[state.index];
  },
  pick(index) {
    if (!list.count) return;
    const at = (index + list.count) % list.count;
    list.need(at, at + 1).then(() => show(at), failed);
  },
  described: (picture) => (picture.prompt || "Picture").slice(0, 200),
  fault: faultOf,
  update() {},
};

const grid = new LongGrid(parts.grid, (index) => {
  const picture = list.pictures[index];
  return picture ? card(picture, index) : make("div.history-card.waiting");
}, (first, last) => {
  list.need(first, last).catch(failed);
  tellMonth();
});

/** Begins anew with what the filters say. */
async function restart() {
  state.inTrash = false;
  const shown = view.current?.id;
  try {
    if (!(await list.restart())) return;
    state.stale = false;
    list.fetched.forEach((picture) => state.known.add(picture.id));
    state.index = shown ? list.placeOf(shown) : -1;
    parts.alike.hidden = true;
    grid.reset(list.count);
    draw();
    facets();
  } catch (error) {
    failed(error);
  }
}

const open = () => Boolean(place?.offsetParent);

/** Pictures that came since, put before the others. */
async function refresh() {
  state.stale = false;
  if (list.own) return;
  try {
    const shown = view.current?.id;
    const before = list.count;
    const fresh = await list.refresh();
    if (!fresh && list.count === before) return;
    list.fetched.forEach((picture) => state.known.add(picture.id));
    state.index = shown ? list.placeOf(shown) : -1;
    grid.reset(list.count);
    draw();
    facets();
  } catch (error) {
    failed(error);
  }
}

/**
 * Why there is nothing to see, or "".
 * @param {Listed} picture
 */
function faultOf(picture) {
  return picture.missing ? GONE : state.damaged.has(picture.id) ? DAMAGED : "";
}

const fault = (/** @type {Listed} */ picture) => make("span.history-fault", {}, faultOf(picture));

/**
 * @param {Listed} picture
 * @param {number} index
 */
function card(picture, index) {
  const name = (picture.prompt || picture.name).replace(/\s+/g, " ").slice(0, 160);
  const image = make("img", { alt: "", decoding: "async", fetchpriority: "low" });
  const made = make("div.history-card", { "data-id": picture.id, "data-at": index },
    make("button.history-open", { type: "button", title: name, "aria-label": name }, faultOf(picture) ? fault(picture) : image),
    make("label.history-pick", { title: "Select" },
      make("input", { type: "checkbox", "aria-label": `Select: ${name}` })),
    make("span.history-marks", { "aria-hidden": "true" }, marks(picture)));
  setTimeout(() => {
    if (made.isConnected) image.src = url(picture.thumb_url);
  }, LATE);
  mark(made, picture, index);
  return made;
}

/** @returns {HTMLElement | null} */
const cardOf = (/** @type {string} */ id) => parts.grid.querySelector(`.history-card[data-id="${CSS.escape(id)}"]`);
const marks = (/** @type {Listed} */ picture) => `${picture.favourite ? "♥" : ""}${"★".repeat(picture.rating)}`;

/**
 * @param {HTMLElement} one
 * @param {Listed} picture
 * @param {number} index
 */
function mark(one, picture, index) {
  one.classList.toggle("shown", index === state.index);
  const box = one.querySelector("input");
  if (box) box.checked = state.picked.has(picture.id);
  const stars = one.querySelector(".history-marks");
  if (stars && stars.textContent !== marks(picture)) stars.textContent = marks(picture);
}

function draw() {
  for (const [index, one] of grid.cells) {
    const picture = list.pictures[index];
    if (picture) mark(one, picture, index);
  }
  parts.grid.classList.toggle("picking", state.picked.size > 0);
  parts.grid.hidden = state.inTrash;
  parts.trash.hidden = !state.inTrash;
  parts.empty.hidden = state.inTrash || list.count > 0;
  parts.empty.textContent = Object.values(list.filters).some(Boolean)
    ? "No pictures match." : "Generated pictures and those in the output folders appear here. Folders of older ones are named in Settings.";
  const count = list.count.toLocaleString();
  parts.total.textContent = state.inTrash ? "" : list.count === 1 ? "1 picture" : `${count} pictures`;
  parts.albumEdit.hidden = !list.filters.album;
  drawBar();
  drawDetail();
}

/** @type {ReturnType<typeof setTimeout> | undefined} */
let passing;
/** Of which month the pictures in the window are, while it moves over many. */
function tellMonth() {
  const first = Math.max(0, Math.floor(-parts.grid.getBoundingClientRect().top / grid.grid.step)) * grid.grid.columns;
  const anchor = list.anchors[Math.floor(first / PAGE)];
  if (!anchor || list.count <= PAGE || !first) return;
  parts.month.textContent = monthOf(anchor);
  parts.month.hidden = false;
  clearTimeout(passing);
  passing = setTimeout(() => { parts.month.hidden = true; }, 1200);
}

/** @param {number} index */
function show(index) {
  const before = state.index;
  state.index = index;
  draw();
  // In a narrow window the chosen picture stands above all others, which may be far from the one that was pressed.
  const above = getComputedStyle(parts.detail).position === "static";
  if (above && index >= 0) parts.detail.scrollIntoView({ block: "start" });
  else grid.show(Math.max(index >= 0 ? index : before, 0));
  lightbox.follow(view);
}

// --- the picture that is looked at --------------------------------------------------------------------------------

/** Buttons that send the picture to where the page can receive it: the page has one for each place, out of sight. */
function senders() {
  /** @type {NodeListOf<HTMLElement>} */
  const found = document.querySelectorAll("#history_senders button");
  return [...found].map((button) => {
    const name = button.textContent.trim();
    const icon = [...button.classList].find((one) => one.startsWith("glyph-")) ?? "";
    return make(`button.tool.${icon}`, { type: "button", title: name, "aria-label": name, onclick: () => button.click() });
  });
}

function drawDetail() {
  const picture = view.current;
  const key = picture ? JSON.stringify([picture.id, picture.rating, picture.favourite, picture.tags, faultOf(picture)]) : "";
  if (parts.detail.dataset.shown === key) return;
  parts.detail.dataset.shown = key;
  parts.detail.hidden = !picture;
  place?.classList.toggle("with-detail", Boolean(picture));
  parts.detail.replaceChildren();
  if (!picture) return;
  const stars = [1, 2, 3, 4, 5].map((star) =>
    make(`button.tool.glyph-star${star <= picture.rating ? ".on" : ""}`, { type: "button", "data-star": star,
      title: `${star} of 5 stars`, "aria-label": `${star} of 5 stars`, "aria-pressed": String(star <= picture.rating) }));
  const heart = iconButton("heart", "Favourite", () => judge(picture, { favourite: !picture.favourite }));
  heart.classList.toggle("on", picture.favourite);
  heart.setAttribute("aria-pressed", String(picture.favourite));
  const tags = make("input.history-tags", { type: "text", value: picture.tags.join(", "), placeholder: "Tags, separated by commas",
    "aria-label": "Tags", maxlength: 1000,
    onchange: () => {
      judge(picture, { tags: tags.value.split(",").map((tag) => tag.trim()).filter(Boolean) });
    } });
  parts.detail.append(
    make("div.history-large", {},
      faultOf(picture) ? fault(picture) : make("button.history-enlarge", { type: "button", title: "Open full screen", "aria-label": "Open full screen",
        onclick: () => lightbox.open(view) }, make("img", { src: url(picture.url), alt: view.described(picture), fetchpriority: "high",
          width: picture.width, height: picture.height })),
      iconButton("close", "Close", () => show(-1))),
    make("div.history-row", {}, heart, make("span.history-stars", {
      onclick: (event) => {
        const star = Number(around(event, "[data-star]")?.dataset.star);
        if (star) judge(picture, { rating: star === picture.rating ? 0 : star });
      } }, ...stars)),
    make("div.history-row", {},
      ...senders(),
      iconButton("save", "Save the picture as a file", () => save(view.current)),
      iconButton("zip", "Export as a zip file", () => exportAsZip([picture.id])),
      iconButton("folder", "Add to an album", () => chooseAlbum([picture.id], albums)),
      iconButton("bin", "Move to the trash", () => remove([picture.id]))),
    tags,
    make("div.infotext", { tabindex: "0", "aria-label": "Infotext of the picture" },
      ...(picture.infotext ? results.coloured(picture) : ["This picture has no generation parameters."])),
    make("div.history-facts", {}, `${picture.name} · ${picture.width}×${picture.height}${picture.bytes > 0 ? ` · ${sized(picture.bytes)}` : ""} · ${new Date(picture.created * 1000).toLocaleString()}`),
    make("div.history-family", {},
      picture.parent && make("button.link", { type: "button", onclick: () => visit(picture.parent) }, "Source picture"),
      make("button.link", { type: "button", onclick: () => children(picture) }, "Pictures made from this one"),
      make("button.link", { type: "button", onclick: () => alike(picture) }, "More like this")));
}

/**
 * @param {Listed} picture
 * @param {{rating?: number, favourite?: boolean, tags?: string[]}} opinion
 */
async function judge(picture, opinion) {
  try {
    const judged = await tell(`pictures/${picture.id}`, opinion);
    // The list may have been asked for anew since this picture was shown.
    const listed = list.fetched.filter((one) => one.id === picture.id);
    for (const one of [picture, ...listed]) Object.assign(one, judged);
    draw();
  } catch (error) {
    failed(error);
  }
}

/**
 * Lists some pictures and nothing else, until one goes back.
 * @param {string} words
 * @param {Listed[]} pictures
 */
function only(words, pictures) {
  list.only(pictures);
  state.picked.clear();
  state.index = 0;
  parts.alike.replaceChildren(words, " ", make("button.link", { type: "button", onclick: restart }, "Show all pictures"));
  parts.alike.hidden = false;
  grid.reset(list.count);
  show(0);
}

/**
 * Shows a picture that may not be in the list.
 * @param {string} id
 */
async function visit(id) {
  const at = list.placeOf(id);
  if (at >= 0) {
    show(at);
    return;
  }
  try {
    only("The source picture.", [await ask(`pictures/${id}`)]);
  } catch {
    say("That picture no longer exists.", "bad");
  }
}

/** @param {Listed} picture */
async function children(picture) {
  const found = await ask(`pictures?parent=${encodeURIComponent(picture.id)}&limit=${PAGE}`).catch(() => ({ pictures: [] }));
  if (!found.pictures.length) say("No other picture was made from it.");
  else only("Pictures made from one.", [...found.pictures, picture]);
}

/** @param {Listed} picture */
async function alike(picture) {
  try {
    /** @type {{pictures: {picture: Listed, distance: number}[], known: number, total: number, running: boolean}} */
    const found = await ask(`pictures/${picture.id}/alike`);
    const [number, total] = [found.known.toLocaleString(), found.total.toLocaleString()];
    const so = found.running ? ` ${number} of ${total} have been compared; the others are being looked at.` : "";
    only(`Pictures like this one, the most similar first.${so}`, found.pictures.map((one) => one.picture));
  } catch (error) {
    failed(error);
  }
}

/**
 * @param {string[]} ids
 * @param {boolean} forGood
 */
async function remove(ids, forGood = false) {
  try {
    /** @type {{deleted: string[], failed: {id: string, message: string}[]}} */
    const { deleted, failed: kept } = await tell("delete", { ids, for_good: forGood });
    const gone = new Set(deleted);
    const shown = view.current?.id ?? "";
    const next = gone.has(shown) ? list.pictures.slice(state.index).find((picture) => picture && !gone.has(picture.id))?.id : shown;
    for (const id of deleted) state.picked.delete(id);
    await list.remove(gone);
    state.index = next ? list.placeOf(next) : -1;
    grid.reset(list.count);
    draw();
    if (kept[0]) {
      say(kept[0].message, "bad", forGood ? [] : ["Delete permanently", () => remove(kept.map(({ id }) => id), true)]);
    } else if (forGood) say(bin.deleted(deleted.length));
    else say(bin.trashed(deleted.length), "note", ["Undo", () => bin.restore(deleted, restart)]);
  } catch (error) {
    failed(error);
  }
}

async function takeOut() {
  try {
    await tell(`albums/${list.filters.album}/pictures`, { remove: [...state.picked.keys()] });
    state.picked.clear();
    albums();
    restart();
  } catch (error) {
    failed(error);
  }
}

// --- several ------------------------------------------------------------------------------------------------------

function drawBar() {
  const count = state.picked.size;
  parts.bar.hidden = !count;
  if (!count) return;
  parts.count.textContent = `${count} selected`;
  parts.compare.disabled = count !== 2 || chosen().some(faultOf);
  parts.out.hidden = !list.filters.album;
}

/** In the order of the list. */
function chosen() {
  /** @type {Map<string, number>} */
  const places = new Map();
  list.pictures.forEach((picture, at) => places.set(picture.id, at)); // which leaves out the holes
  return [...state.picked.values()].sort((one, other) => (places.get(one.id) ?? 0) - (places.get(other.id) ?? 0));
}

/**
 * Selects all from one place to another.
 * @param {number} from
 * @param {number} to
 */
async function pickUpTo(from, to) {
  const [first, last] = from < to ? [from, to] : [to, from];
  try {
    await list.need(first, last + 1);
    for (const picture of list.pictures.slice(first, last + 1)) if (picture) state.picked.set(picture.id, picture);
    draw();
  } catch (error) {
    failed(error);
  }
}

// --- the frame ----------------------------------------------------------------------------------------------------

let asked = 0;
/** Fills the choosers with what occurs, but those that are in use. */
async function facets() {
  const turn = ++asked;
  /** @type {Record<Chooser, {value: string, count: number}[]> | null} */
  const found = await ask(`facets${question(list.filters)}`).catch(() => null);
  if (!found || turn !== asked) return;
  for (const name of /** @type {Chooser[]} */ (Object.keys(CHOOSERS))) {
    const box = parts[name];
    if (list.filters[name]) continue;
    box.replaceChildren(make("option", { value: "" }, CHOOSERS[name][1]),
      ...found[name].map(({ value, count }) => make("option", { value }, `${value} (${count.toLocaleString()})`)));
    box.hidden = name !== "model" && name !== "sampler" && !found[name].length;
  }
}

async function albums() {
  try {
    state.albums = await ask("albums");
  } catch (error) {
    failed(error);
    return;
  }
  parts.album.hidden = !state.albums.length;
  parts.album.replaceChildren(make("option", { value: "" }, "Any album"), ...state.albums.map(({ id, name, count }) =>
    make("option", { value: id, selected: String(id) === list.filters.album }, `${name} (${count})`)));
}

/** @type {ReturnType<typeof setTimeout> | undefined} */
let typing;
/**
 * @param {keyof Filters} name
 * @param {string} value
 * @param {number} wait
 */
function filter(name, value, wait = 0) {
  list.filters[name] = value;
  state.picked.clear(); // At once: what is picked while others are on their way stays picked.
  draw();
  clearTimeout(typing);
  typing = setTimeout(restart, wait);
}

/** @param {boolean} on */
function showTrash(on) {
  state.inTrash = on;
  state.index = -1;
  draw();
  if (on) bin.drawTrash(parts.trash, () => { state.stale = true; });
  else if (state.stale) restart();
}

async function look() {
  parts.look.disabled = true;
  try {
    let found = await tell("search", {});
    while (found.running) {
      parts.look.title = `Scanning the output folders: ${found.seen} files, ${found.new} new pictures`;
      await new Promise((wake) => setTimeout(wake, 1000));
      found = await ask("search");
    }
    say(found.new ? `${found.new} new pictures were found in the output folders.` : "There are no new pictures in the output folders.");
    await refresh();
  } catch (error) {
    failed(error);
  }
  parts.look.disabled = false;
  parts.look.title = LOOK;
}

/** What a press on a card does. */
function presses() {
  parts.grid.addEventListener("click", (event) => {
    const at = Number(around(event, ".history-card")?.dataset.at ?? -1);
    const picture = list.pictures[at];
    if (!picture) return;
    const box = around(event, ".history-pick");
    if (box && !(event.target instanceof HTMLInputElement)) return;
    if (event.shiftKey && state.anchor >= 0) {
      pickUpTo(state.anchor, at);
      return;
    }
    if (box || event.ctrlKey || event.metaKey) {
      if (!state.picked.delete(picture.id)) state.picked.set(picture.id, picture);
      draw();
    } else show(at);
    state.anchor = at;
  });
  parts.grid.addEventListener("dblclick", (event) => {
    if (around(event, ".history-open") && view.current) lightbox.open(view);
  });
  parts.grid.addEventListener("keydown", (event) => {
    const at = Number(around(event, ".history-card")?.dataset.at ?? -1);
    const { columns } = grid.grid;
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns }[event.key] ?? 0;
    const picture = list.pictures[at];
    if (!picture || event.altKey || event.ctrlKey || event.metaKey) return;
    if (step) {
      const to = at + step;
      if (to < 0 || to >= list.count) return;
      grid.show(to);
      list.need(to, to + 1).then(() => grid.cells.get(to)?.querySelector("button")?.focus({ preventScroll: true }), failed);
    } else if (event.key === "Delete") remove([picture.id]);
    else return;
    event.preventDefault();
  });
}

/** @param {HTMLElement} element */
function build(element) {
  place = element;
  const search = make("input", { type: "search", id: "history_search", placeholder: "Search prompts and tags…", "aria-label": "Search",
    oninput: () => { filter("search", search.value, 200); } });
  const toggle = (/** @type {string} */ icon, /** @type {string} */ title, /** @type {(on: boolean) => void} */ act) => {
    const button = iconButton(icon, title, () => {
      const on = button.classList.toggle("on");
      button.setAttribute("aria-pressed", String(on));
      act(on);
    });
    return button;
  };
  const hearts = toggle("heart", "Favorites only", (on) => { filter("favourite", on ? "true" : ""); });
  const day = (/** @type {"since" | "until"} */ name, /** @type {string} */ title, later = 0) => {
    const box = make("input", { type: "date", title, "aria-label": title, onchange: () => { filter(name, midnight(box.value, later)); } });
    return box;
  };
  place.replaceChildren(
    make("div.history-filters", {}, search, parts.model, parts.sampler, parts.size, parts.lora, parts.tag, parts.album, parts.albumEdit,
      parts.rating, make("span.history-days", {}, day("since", "From date"), "–", day("until", "To date", 1)), hearts, parts.look,
      iconButton("info", "Storage by checkpoint", showStorage), toggle("bin", "Show the trash", showTrash), parts.total),
    parts.bar, parts.alike, parts.month,
    make("div.history-panes", {}, make("div.history-list", {}, parts.grid, parts.trash, parts.empty), parts.detail));
  presses();
  place.addEventListener("error", (event) => {
    if (!(event.target instanceof HTMLImageElement) || around(event, ".history-trash")) return;
    const id = around(event, ".history-card")?.dataset.id ?? view.current?.id;
    const picture = list.fetched.find((one) => one.id === id);
    if (!picture) return;
    state.damaged.add(picture.id);
    cardOf(picture.id)?.querySelector("img")?.replaceWith(fault(picture));
    draw();
    lightbox.follow(view);
  }, true);
  new IntersectionObserver(() => {
    if (open() && state.stale && !state.inTrash) refresh();
  }).observe(place);
  results.register("history", view);
  albums();
  restart();
}

when(".gesso-history", build);

// New pictures of a job that is seen in the stream come in by themselves.
/** @type {ReturnType<typeof setTimeout> | undefined} */
let due;
live.read((what) => {
  if (!place || (what !== "job" && what !== "state")) return;
  const fresh = live.jobs().some((job) => job.pictures.some((picture) => !state.known.has(picture.id)));
  if (!fresh) return;
  live.jobs().forEach((job) => job.pictures.forEach((picture) => state.known.add(picture.id)));
  state.stale = true;
  clearTimeout(due);
  due = setTimeout(() => open() && state.stale && !state.inTrash && refresh(), 250);
});
