// @ts-check
// The history: a page of thumbnails at a time, the chosen picture beside them. All texts are set as texts.
import { around, iconButton, make, when } from "./dom.js";
import { save } from "./downloads.js";
import { ALL, midnight, question } from "./historyquery.js";
import { labelled } from "./infotext.js";
import * as lightbox from "./lightbox.js";
import * as live from "./live.js";
import * as results from "./results.js";
import { failed, say } from "./say.js";
import { told, url } from "./server.js";

/** @import { Picture } from "./stream.js" */
/** @import { Filters } from "./historyquery.js" */
/** @import { View } from "./lightbox.js" */

/**
 * @typedef {Picture & {name: string, missing: boolean, prompt: string, rating: number, favourite: boolean, tags: string[], width: number,
 *   height: number, created: number, parent: string}} Listed
 */

const ROOT = "internal/history";
const PAGE = 60;
const GONE = "The file is gone";
const DAMAGED = "The file is damaged";
const LOOK = "Scan the output folders for new pictures";
const state = {
  filters: { ...ALL },
  /** @type {Listed[]} */
  pictures: [],
  next: "",
  loading: false,
  round: 0,
  index: -1,
  /** @type {Set<string>} */
  picked: new Set(),
  stale: false,
  /** @type {Set<string>} */
  known: new Set(),
  /** Pictures whose files could not be shown.
   * @type {Set<string>} */
  damaged: new Set(),
};
/** @type {HTMLElement | null} */
let place = null;
const parts = {
  model: make("select", { "aria-label": "Model", onchange: () => { filter("model", parts.model.value); } }),
  sampler: make("select", { "aria-label": "Sampler", onchange: () => { filter("sampler", parts.sampler.value); } }),
  rating: make("select", { "aria-label": "Rating", onchange: () => { filter("rating", parts.rating.value); } },
    make("option", { value: "" }, "Any rating"),
    ...[1, 2, 3, 4, 5].map((stars) => make("option", { value: stars }, `${"★".repeat(stars)}${stars < 5 ? " or more" : ""}`))),
  look: iconButton("refresh", LOOK, look),
  grid: make("div.history-grid"),
  empty: make("p.history-empty", { hidden: true }),
  end: make("div.history-end"),
  detail: make("aside.history-detail", { hidden: true, "aria-label": "The chosen picture" }),
  count: make("span"),
  compare: iconButton("compare", "Compare two pictures", () => compare(chosen())),
  bar: make("div.history-bar", { hidden: true, role: "toolbar", "aria-label": "Selected pictures" }),
};
parts.bar.append(parts.count, parts.compare,
  iconButton("heart", "Add to favorites", () => chosen().forEach((picture) => judge(picture, { favourite: true }))),
  iconButton("bin", "Move to the trash", () => remove([...state.picked])),
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
    return state.pictures;
  },
  get index() {
    return state.index;
  },
  get current() {
    return state.pictures[state.index];
  },
  pick(index) {
    if (state.pictures.length) show((index + state.pictures.length) % state.pictures.length);
  },
  described: (picture) => (picture.prompt || "Picture").slice(0, 200),
  fault: faultOf,
  update() {},
};

/**
 * @param {string} path
 * @param {RequestInit} [options]
 * @returns {Promise<any>}
 */
async function ask(path, options) {
  const answer = await fetch(url(`${ROOT}/${path}`), options);
  const said = await told(answer);
  if (!answer.ok) throw new Error(said.detail || "The server did not respond.");
  return said;
}

const tell = (/** @type {string} */ path, /** @type {unknown} */ body) =>
  ask(path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });

/** Begins anew with what the filters say. */
async function restart() {
  const round = ++state.round;
  state.loading = true;
  try {
    const page = await ask(question(state.filters, PAGE));
    if (round !== state.round) return;
    const shown = view.current?.id;
    Object.assign(state, { pictures: page.pictures, next: page.next, stale: false });
    state.pictures.forEach((picture) => state.known.add(picture.id));
    state.picked.clear();
    state.index = state.pictures.findIndex((picture) => picture.id === shown);
    parts.grid.replaceChildren(...state.pictures.map(card));
    draw();
  } catch (error) {
    failed(error);
  } finally {
    if (round === state.round) state.loading = false;
  }
  more();
}

/** The next page, when its place comes near. */
async function more() {
  if (state.loading || !state.next || !nearEnd()) return;
  const round = state.round;
  state.loading = true;
  try {
    const page = await ask(question(state.filters, PAGE, state.next));
    if (round !== state.round) return;
    state.next = page.next;
    const held = new Set(state.pictures.map((picture) => picture.id));
    const fresh = page.pictures.filter((/** @type {Listed} */ picture) => !held.has(picture.id));
    state.pictures.push(...fresh);
    fresh.forEach((/** @type {Listed} */ picture) => state.known.add(picture.id));
    parts.grid.append(...fresh.map(card));
  } catch (error) {
    state.next = "";
    failed(error);
  } finally {
    if (round === state.round) state.loading = false;
  }
  requestAnimationFrame(more);
}

const open = () => Boolean(place?.offsetParent);
const nearEnd = () => open() && parts.end.getBoundingClientRect().top < innerHeight + 900;

/** Pictures that came since, put before the others. */
async function refresh() {
  if (state.loading) {
    setTimeout(refresh, 300);
    return;
  }
  state.stale = false;
  const round = state.round;
  const page = await ask(question(state.filters, PAGE)).catch(() => null);
  if (!page || round !== state.round) return;
  const held = new Set(state.pictures.map((picture) => picture.id));
  const fresh = page.pictures.filter((/** @type {Listed} */ picture) => !held.has(picture.id));
  page.pictures.forEach((/** @type {Listed} */ picture) => state.known.add(picture.id));
  if (!fresh.length) return;
  state.pictures.unshift(...fresh);
  if (state.index >= 0) state.index += fresh.length;
  parts.grid.prepend(...fresh.map(card));
  draw();
  choices();
}

/**
 * Why there is nothing to see, or "".
 * @param {Listed} picture
 */
function faultOf(picture) {
  return picture.missing ? GONE : state.damaged.has(picture.id) ? DAMAGED : "";
}

const fault = (/** @type {Listed} */ picture) => make("span.history-fault", {}, faultOf(picture));

/** @param {Listed} picture */
function card(picture) {
  const name = (picture.prompt || picture.name).replace(/\s+/g, " ").slice(0, 160);
  return make("div.history-card", { "data-id": picture.id },
    make("button.history-open", { type: "button", title: name, "aria-label": name },
      faultOf(picture) ? fault(picture)
        : make("img", { src: url(picture.thumb_url), alt: "", loading: "lazy", decoding: "async" })),
    make("label.history-pick", { title: "Select" },
      make("input", { type: "checkbox", "aria-label": `Select: ${name}` })),
    make("span.history-marks", { "aria-hidden": "true" }));
}

/** @returns {HTMLElement | null} */
const cardOf = (/** @type {string} */ id) => parts.grid.querySelector(`.history-card[data-id="${CSS.escape(id)}"]`);
const marks = (/** @type {Listed} */ picture) => `${picture.favourite ? "♥" : ""}${"★".repeat(picture.rating)}`;

function draw() {
  state.pictures.forEach((picture, at) => {
    const one = parts.grid.children[at];
    if (!one) return;
    one.classList.toggle("shown", at === state.index);
    const box = one.querySelector("input");
    if (box) box.checked = state.picked.has(picture.id);
    const text = marks(picture);
    const stars = one.querySelector(".history-marks");
    if (stars && stars.textContent !== text) stars.textContent = text;
  });
  parts.grid.classList.toggle("picking", state.picked.size > 0);
  parts.empty.hidden = state.pictures.length > 0;
  parts.empty.textContent = Object.values(state.filters).some(Boolean)
    ? "No pictures match." : "Generated pictures and those in the output folders appear here.";
  drawBar();
  drawDetail();
}

/** @param {number} index */
function show(index) {
  const before = state.index;
  state.index = index;
  draw();
  // In a narrow window the chosen picture stands above all others, which may be far from the one that was pressed.
  const above = getComputedStyle(parts.detail).position === "static";
  if (above && index >= 0) parts.detail.scrollIntoView({ block: "start" });
  else parts.grid.children[index >= 0 ? index : before]?.scrollIntoView({ block: "nearest" });
  if (index > state.pictures.length - 10) more();
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
        onclick: () => lightbox.open(view) }, make("img", { src: url(picture.url), alt: view.described(picture),
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
      iconButton("bin", "Move to the trash", () => remove([picture.id]))),
    tags,
    make("div.infotext", { tabindex: "0", "aria-label": "Infotext of the picture" },
      ...(picture.infotext ? results.coloured(picture) : ["This picture has no generation parameters."])),
    make("div.history-facts", {}, `${picture.name} · ${picture.width}×${picture.height} · ${new Date(picture.created * 1000).toLocaleString()}`),
    make("div.history-family", {},
      picture.parent && make("button.link", { type: "button", onclick: () => visit(picture.parent) }, "Source picture"),
      make("button.link", { type: "button", onclick: () => children(picture) }, "Pictures made from this one")));
}

/**
 * @param {Listed} picture
 * @param {{rating?: number, favourite?: boolean, tags?: string[]}} opinion
 */
async function judge(picture, opinion) {
  try {
    const judged = await tell(`pictures/${picture.id}`, opinion);
    // The list may have been asked for anew since this picture was shown.
    const listed = state.pictures.filter((one) => one.id === picture.id);
    for (const one of [picture, ...listed]) Object.assign(one, judged);
    draw();
  } catch (error) {
    failed(error);
  }
}

/**
 * Shows a picture that may not be in the list: it is put in front.
 * @param {string} id
 */
async function visit(id) {
  let at = state.pictures.findIndex((picture) => picture.id === id);
  if (at < 0) {
    try {
      const found = await ask(`pictures/${id}`);
      state.pictures.unshift(found);
      parts.grid.prepend(card(found));
      at = 0;
    } catch {
      say("That picture no longer exists.", "bad");
      return;
    }
  }
  show(at);
}

/** @param {Listed} picture */
async function children(picture) {
  const found = await ask(`pictures?parent=${encodeURIComponent(picture.id)}&limit=${PAGE}`).catch(() => ({ pictures: [] }));
  if (!found.pictures.length) {
    say("No other picture was made from it.");
    return;
  }
  for (const child of found.pictures.reverse()) await visit(child.id);
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
    const next = gone.has(shown) ? state.pictures.slice(state.index).find((picture) => !gone.has(picture.id))?.id : shown;
    state.pictures = state.pictures.filter((picture) => !gone.has(picture.id));
    for (const id of deleted) {
      cardOf(id)?.remove();
      state.picked.delete(id);
    }
    state.index = state.pictures.findIndex((picture) => picture.id === next);
    draw();
    if (kept[0]) {
      say(kept[0].message, "bad", forGood ? [] : ["Delete permanently", () => remove(kept.map(({ id }) => id), true)]);
    } else {
      const one = forGood ? "The picture is deleted." : "The picture is in the system's trash.";
      const { length } = deleted;
      say(length === 1 ? one : forGood ? `${length} pictures are deleted.` : `${length} pictures are in the system's trash.`);
    }
    more();
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
}

function chosen() {
  return state.pictures.filter((picture) => state.picked.has(picture.id));
}

/**
 * Two pictures over one another, with a border that moves.
 * @param {Listed[]} pair
 */
function compare([after, before]) {
  if (!after || !before) return;
  const last = document.activeElement;
  const top = make("img", { src: url(after.url), alt: view.described(after), draggable: "false" });
  const slider = make("input", { type: "range", min: 0, max: 100, value: 50, step: 0.1, "aria-label": "Position of the divider between the two pictures" });
  const line = make("span.compare-line");
  const cut = () => {
    top.style.clipPath = `inset(0 0 0 ${slider.value}%)`;
    line.style.left = `${slider.value}%`;
  };
  slider.addEventListener("input", cut);
  const [old, now] = [labelled(before), labelled(after)];
  const differ = [...new Set([...old.keys(), ...now.keys()])].filter((label) => old.get(label) !== now.get(label));
  const close = () => {
    box.remove();
    document.documentElement.classList.remove("lightbox-open");
    if (last instanceof HTMLElement) last.focus({ preventScroll: true });
  };
  const box = make("div", { id: "compare", role: "dialog", "aria-modal": "true", "aria-label": "Comparison of two pictures", tabindex: "-1",
    onkeydown: (event) => {
      event.stopPropagation();
      if (event.key === "Escape") close();
    } },
    make("div.compare-stage", {}, make("img", { src: url(before.url), alt: view.described(before), draggable: "false" }), top, line, slider),
    make("dl.compare-facts", {}, ...differ.slice(0, 12).flatMap((label) => [
      make("dt", {}, label), make("dd", {}, `${old.get(label) || "–"} → ${now.get(label) || "–"}`)])),
    iconButton("close", "Close (Esc)", close));
  document.body.append(box);
  document.documentElement.classList.add("lightbox-open");
  cut();
  slider.focus({ preventScroll: true });
}

// --- the frame ----------------------------------------------------------------------------------------------------

async function choices() {
  const found = await ask("choices").catch(() => null);
  if (!found) return;
  const titles = { model: "Any model", sampler: "Any sampler" };
  for (const name of /** @type {const} */ (["model", "sampler"])) {
    parts[name].replaceChildren(make("option", { value: "" }, titles[name]),
      ...found[name].map((/** @type {string} */ value) => make("option", { value, selected: value === state.filters[name] }, value)));
  }
}

/** @type {ReturnType<typeof setTimeout> | undefined} */
let typing;
/**
 * @param {keyof Filters} name
 * @param {string} value
 * @param {number} wait
 */
function filter(name, value, wait = 0) {
  state.filters[name] = value;
  clearTimeout(typing);
  typing = setTimeout(restart, wait);
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

/** @param {HTMLElement} element */
function build(element) {
  place = element;
  const search = make("input", { type: "search", id: "history_search", placeholder: "Search prompts and tags…", "aria-label": "Search",
    oninput: () => { filter("search", search.value, 200); } });
  const hearts = iconButton("heart", "Favorites only", () => {
    const on = !state.filters.favourite;
    hearts.classList.toggle("on", on);
    hearts.setAttribute("aria-pressed", String(on));
    filter("favourite", on ? "true" : "");
  });
  const day = (/** @type {"since" | "until"} */ name, /** @type {string} */ title, later = 0) => {
    const box = make("input", { type: "date", title, "aria-label": title, onchange: () => { filter(name, midnight(box.value, later)); } });
    return box;
  };
  place.replaceChildren(
    make("div.history-filters", {}, search, parts.model, parts.sampler, parts.rating,
      make("span.history-days", {}, day("since", "From date"), "–", day("until", "To date", 1)), hearts, parts.look),
    parts.bar,
    make("div.history-panes", {}, make("div.history-list", {}, parts.grid, parts.empty, parts.end), parts.detail));
  parts.grid.addEventListener("click", (event) => {
    const id = around(event, ".history-card")?.dataset.id ?? "";
    const at = state.pictures.findIndex((picture) => picture.id === id);
    if (at < 0) return;
    if (around(event, ".history-pick")) {
      if (!(event.target instanceof HTMLInputElement)) return;
      if (event.target.checked) state.picked.add(id);
      else state.picked.delete(id);
      draw();
    } else if (event.ctrlKey || event.metaKey) {
      if (!state.picked.delete(id)) state.picked.add(id);
      draw();
    } else show(at);
  });
  parts.grid.addEventListener("dblclick", (event) => {
    if (around(event, ".history-open") && view.current) lightbox.open(view);
  });
  parts.grid.addEventListener("keydown", (event) => {
    const card = around(event, ".history-card");
    const at = card ? [...parts.grid.children].indexOf(card) : -1;
    const step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
    const picture = state.pictures[at];
    if (!picture || event.altKey || event.ctrlKey || event.metaKey) return;
    if (step) parts.grid.children[at + step]?.querySelector("button")?.focus();
    else if (event.key === "Delete") remove([picture.id]);
    else return;
    event.preventDefault();
  });
  place.addEventListener("error", (event) => {
    if (!(event.target instanceof HTMLImageElement)) return;
    const id = around(event, ".history-card")?.dataset.id ?? view.current?.id;
    const picture = state.pictures.find((one) => one.id === id);
    if (!picture) return;
    state.damaged.add(picture.id);
    cardOf(picture.id)?.querySelector("img")?.replaceWith(fault(picture));
    draw();
    lightbox.follow(view);
  }, true);
  new IntersectionObserver(() => (state.stale && open() ? refresh() : more()), { rootMargin: "900px" }).observe(parts.end);
  results.register("history", view);
  choices();
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
  due = setTimeout(() => open() && state.stale && refresh(), 250);
});
