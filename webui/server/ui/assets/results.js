// @ts-check
// Progress, preview and pictures of a tab, drawn from the event stream and nothing else.
import { clock } from "./clock.js";
import { command } from "./commands.js";
import { iconButton, make, when } from "./dom.js";
import { download, named, nothing } from "./downloads.js";
import { facts } from "./facts.js";
import { gallery, placeOf } from "./gallery.js";
import { labelled, pieces, promptOf } from "./infotext.js";
import { keep, keepAsZip, showFolder } from "./kept.js";
import * as lightbox from "./lightbox.js";
import * as live from "./live.js";
import * as queue from "./queue.js";
import { failed, say } from "./say.js";
import { post, told, url } from "./server.js";
import { openSubTab, openTab } from "./tabs.js";
import { taken } from "./timing.js";

/** @import { Job, Picture } from "./stream.js" */
/** @import { View as Shown } from "./lightbox.js" */

/** @type {Map<string, Shown<any>>} */
const views = new Map();
const NOTHING = "Pictures appear here.";
const GONE = "The file of this picture has been deleted.";

/** @implements {Shown<Picture>} */
class View {
  /**
   * @param {HTMLElement} place
   * @param {string} tab
   */
  constructor(place, tab) {
    this.tab = tab;
    this.base = ""; // the job whose pictures are shown
    /** @type {Picture[]} */
    this.pictures = [];
    this.index = 0;
    this.pinned = ""; // the picture that the person chose themself
    this.preview = ""; // the address of the latest look at what is being made
    this.dismissed = "";
    this.front = make("img.layer", { alt: "", draggable: "true" });
    this.back = make("img.layer", { alt: "" });
    this.loading = false;
    this.showsPreview = false;
    this.drawn = "";
    this.wanted = "";
    this.empty = make("span", {}, NOTHING);
    this.stage = make("div.stage", { tabindex: "0", role: "group", "aria-label": "Picture; arrow keys select, Enter opens full screen" },
      make("div.empty", {}, make("span.glyph-image", { "aria-hidden": "true" }), this.empty), this.front, this.back);
    this.bar = make("div.bar");
    this.words = make("span.words");
    this.numbers = make("span.numbers");
    this.progress = make("div.progress", { role: "progressbar", "aria-valuemin": "0", "aria-valuemax": "100", hidden: true },
      make("div.line", {}, this.words, this.numbers), make("div.track", {}, this.bar));
    this.thumbs = make("div.thumbs", { role: "listbox", "aria-label": "Pictures of this job" });
    this.error = make("div.notice.bad", { role: "alert", hidden: true });
    this.unsaved = make("div.notice.bad", { role: "alert", hidden: true });
    this.queue = make("div.queue");
    this.stage.append(this.progress);
    this.extras = make("div.extras", { "aria-label": "Additional pictures of this result", hidden: true });
    this.kept = make("div.kept", { role: "status", hidden: true });
    place.append(this.error, this.unsaved, this.stage, this.thumbs, this.extras, this.kept, this.queue);
    this.stage.addEventListener("click", () => { if (this.current && facts.lightbox) lightbox.open(this); });
    this.stage.addEventListener("auxclick", (event) => {
      if (event.button === 1 && this.current) open(url(this.current.url));
    });
    this.stage.addEventListener("keydown", (event) => this.key(event));
    this.update();
  }

  get jobs() {
    return live.of(this.tab);
  }

  /** The newest job that has something to show. */
  get job() {
    return live.job(this.base);
  }

  get current() {
    return this.pictures[Math.min(this.index, this.pictures.length - 1)];
  }

  /** @param {number} index */
  pick(index) {
    const count = this.pictures.length;
    if (!count) return;
    this.index = (index + count) % count;
    this.pinned = this.current?.id ?? "";
    this.update();
    this.thumbs.children[this.index]?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    if (event.target !== this.stage || event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key === "ArrowRight") this.pick(this.index + 1);
    else if (event.key === "ArrowLeft") this.pick(this.index - 1);
    else if ((event.key === "Enter" || event.key === " ") && this.current) lightbox.open(this);
    else return;
    event.preventDefault();
  }

  update() {
    const running = live.running(this.tab);
    this.arrange();
    const preview = running && live.preview(running.id);
    this.preview = preview ? url(`${preview.url}?${preview.number}`) : "";
    const watching = preview && !(this.pinned && this.base === running.id);
    const current = this.current?.gone ? undefined : this.current;
    if (watching) this.show(this.preview, "Picture in progress", true);
    else if (current && !(running && this.showsPreview && this.base !== running.id)) {
      this.show(url(current.url), this.described(current), false);
    } else if (!current && !running) this.clear();
    this.drawProgress(running);
    this.drawThumbs();
    this.drawError();
    this.drawUnsaved();
    queue.draw(this.queue, this.tab);
    drawInfotext(this);
    this.stage.classList.toggle("full", Boolean(current || watching));
    lightbox.follow(this);
  }

  /** Which pictures are here, and which of them is looked at: the picked one, else the first. */
  arrange() {
    const { job, pictures } = gallery(this.jobs);
    this.pictures = facts.shows_pictures ? pictures : [];
    if (job && job.id !== this.base) {
      this.base = job.id;
      this.pinned = "";
      this.kept.hidden = true;
    }
    const at = this.pinned ? placeOf(this.pictures, this.pinned) : 0;
    this.index = Math.max(at, 0);
    this.pinned = this.pinned && at >= 0 ? this.current?.id ?? "" : "";
    this.empty.textContent = this.current?.gone ? GONE : !facts.shows_pictures && pictures.length
      ? "The settings hide pictures here." : NOTHING;
  }

  /** No picture is shown. */
  clear() {
    if (!this.wanted) return;
    this.wanted = "";
    this.showsPreview = false;
    for (const layer of [this.front, this.back]) layer.classList.remove("on", "preview");
    this.front.alt = "";
  }

  /** @param {Picture} picture */
  fault(picture) {
    return picture.gone ? GONE : "";
  }

  save() {
    return keep(this.current, this.pictures, this.kept);
  }

  /** @param {Picture} picture */
  described(picture) {
    return (promptOf(picture).split("\n")[0] || "Picture").slice(0, 200);
  }

  /**
   * Swaps in a picture once it is decoded: the old one stays until then, so nothing flickers.
   * @param {string} address
   * @param {string} text
   * @param {boolean} isPreview
   */
  show(address, text, isPreview) {
    if (address === this.wanted) return;
    if (isPreview && this.loading) return; // frames that come faster than they can be shown are left out
    this.wanted = address;
    this.loading = true;
    const next = this.back;
    const settle = (/** @type {boolean} */ fine) => {
      this.loading = false;
      if (this.wanted !== address) return;
      if (!fine) {
        this.wanted = "";
        return;
      }
      next.alt = text;
      next.classList.add("on");
      next.classList.toggle("preview", isPreview);
      this.front.classList.remove("on");
      this.front.alt = "";
      [this.front, this.back] = [next, this.front];
      this.showsPreview = isPreview;
    };
    next.src = address;
    next.decode().then(() => settle(true), () => settle(false));
  }

  /** @param {Job | undefined} job */
  drawProgress(job) {
    this.progress.hidden = !job || !facts.progress_bar;
    if (!job) {
      this.stage.classList.remove("working");
      return;
    }
    const percent = Math.round(job.progress * 100);
    this.stage.classList.add("working");
    this.bar.style.setProperty("--done", `${(job.progress * 100).toFixed(1)}%`);
    this.bar.classList.toggle("unknown", !job.progress);
    this.words.textContent = job.text || "Starting";
    this.numbers.textContent = [
      job.progress ? `${percent} %` : "",
      job.eta_seconds == null ? "" : `ETA ${clock(job.eta_seconds)}`,
    ].filter(Boolean).join("  ·  ");
    this.progress.setAttribute("aria-valuenow", String(percent));
    this.progress.setAttribute("aria-valuetext", `${this.words.textContent}, ${this.numbers.textContent}`);
  }

  drawThumbs() {
    const pictures = this.pictures;
    this.thumbs.hidden = pictures.length < 2;
    const ids = pictures.map((picture) => picture.id).join();
    if (ids !== this.drawn) {
      this.drawn = ids;
      this.thumbs.replaceChildren(...pictures.map((picture, index) =>
        make("button.thumb", { type: "button", role: "option",
          title: picture.sheet ? "Grid of all pictures" : `Picture ${index + 1}, seed ${picture.seed}`,
          "aria-label": `${picture.sheet ? "Grid" : "Picture"}, ${index + 1} of ${pictures.length}`, onclick: () => this.pick(index) },
          picture.gone ? make("span.glyph-image", { "aria-hidden": "true" })
            : make("img", { src: url(picture.thumb_url), alt: "", loading: "lazy", decoding: "async" }))));
    }
    [...this.thumbs.children].forEach((thumb, index) =>
      thumb.setAttribute("aria-selected", String(index === Math.min(this.index, pictures.length - 1))));
    this.drawExtras();
  }

  /** What comes with the picture, such as its mask: a click opens it in a tab of its own. */
  drawExtras() {
    const extras = (this.current?.extras ?? []).filter((extra) => !extra.sheet);
    const key = extras.map((extra) => extra.url).join();
    if (key === (this.extras.dataset.shown ?? "")) return;
    this.extras.dataset.shown = key;
    this.extras.hidden = !extras.length;
    this.extras.replaceChildren(...extras.map((extra) => {
      const name = extra.name.replace(/^\d+-|\.\w+$/g, "").replaceAll("-", " ");
      return make("a.extra", { href: url(extra.url), target: "_blank", title: name },
        make("img", { src: url(extra.url), alt: name, loading: "lazy", decoding: "async" }));
    }));
  }

  /** Pictures that could not be written: tried again, saved by the browser, or given up. */
  drawUnsaved() {
    const waiting = this.jobs.flatMap((job) => job.pictures).filter((picture) => picture.saved === false);
    const key = waiting.map((picture) => picture.id).join();
    if ((this.unsaved.dataset.shown ?? "") === key) return;
    this.unsaved.dataset.shown = key;
    this.unsaved.hidden = !waiting.length;
    if (!waiting.length) return;
    const each = (/** @type {string} */ what) => async () => {
      for (const picture of waiting) {
        const answer = await post(`internal/pictures/${picture.id}/${what}`);
        if (answer.ok) continue;
        say((await told(answer)).detail || "The server did not respond.", "bad");
        return;
      }
    };
    const link = (/** @type {string} */ name, /** @type {() => unknown} */ act) => make("button.link", { type: "button", onclick: act }, name);
    this.unsaved.replaceChildren(
      make("b", {}, waiting.length > 1 ? `${waiting.length} pictures could not be saved.` : "A picture could not be saved."),
      make("span.hint", {}, "Kept in memory for now. Free some disk space or repair the folder and save again, or save with the browser."),
      make("div.unsaved-buttons", {}, link("Save again", each("save")),
        link("Save with the browser", async () => {
          try {
            for (const picture of waiting) {
              const { name, content } = await named(picture);
              download(name, content);
            }
          } catch (error) {
            failed(error);
          }
        }),
        link("Discard", each("discard"))));
  }

  drawError() {
    const latest = live.newest(this.jobs.filter((job) => job.state !== "queued"));
    const { error, id: key } = latest?.state === "failed" && latest.id !== this.dismissed ? latest : { error: null, id: "" };
    if (this.error.dataset.job === key) return;
    this.error.dataset.job = key;
    this.error.hidden = !error;
    this.error.replaceChildren();
    if (error) {
      this.error.append(
        make("b", {}, error.message),
        error.hint ? make("span.hint", {}, error.hint) : "",
        iconButton("close", "Dismiss", () => {
          this.dismissed = key;
          this.update();
        }));
    }
  }
}

/** @param {View} view */
function drawInfotext(view) {
  /** @type {HTMLElement | null} */
  const place = document.querySelector(`.gesso-infotext[data-tab=${view.tab}]`);
  if (!place) return;
  const picture = view.current;
  const comments = view.job?.comments ?? [];
  const took = view.job ? taken(view.job) : [];
  const key = JSON.stringify([picture?.id, comments, took.map(({ text }) => text)]);
  if (place.dataset.shown === key) return;
  place.dataset.shown = key;
  place.replaceChildren();
  if (!picture) return;
  place.append(
    make("div.infotext", { tabindex: "0", "aria-label": "Infotext of the picture" }, ...coloured(picture)),
    iconButton("copy", "Copy the infotext", () =>
      navigator.clipboard?.writeText(picture.infotext).then(() => say("Copied."), () => say("The browser does not allow copying here.", "bad"))));
  if (took.length) place.append(make("div.took", {}, ...took.map(({ text, title }) => make("span", { title }, text))));
  if (comments.length) place.append(make("ul.comments", {}, ...comments.map((comment) => make("li", {}, comment))));
}

/**
 * The infotext as it is, with its labels set off.
 * @param {Picture} picture
 */
export const coloured = (picture) => pieces(picture).map(({ kind, text }) =>
  kind === "text" ? text : kind === "label" ? make("i", {}, text) : make("span.prompt-line", {}, text));

/** @param {string} tab */
const picked = (tab) => views.get(tab)?.current;

/**
 * What the picture that a tab shows was made with.
 * @param {string} tab
 */
export const infotext = (tab) => picked(tab)?.infotext ?? "";

/**
 * Where the picture on the stage lies; "" while there is none.
 * @param {string} tab
 */
export const address = (tab) => {
  const picture = picked(tab);
  return picture ? url(picture.url) : "";
};

/**
 * Another place that shows pictures.
 * @param {string} tab
 * @param {Shown<any>} view
 */
export const register = (tab, view) => views.set(tab, view);

// The buttons that need no server, or ask it without the form.
when(".gesso-picture-buttons", (place) => {
  const tab = place.dataset.tab ?? "";
  const view = () => views.get(tab);
  const button = (/** @type {string} */ icon, /** @type {string} */ name, /** @type {string} */ id, /** @type {() => unknown} */ act) => {
    const made = iconButton(icon, name, act);
    made.id = `${tab}_${id}`;
    return made;
  };
  const folder = button("folder", "Open the folder of the pictures", "open_folder", () => showFolder(tab, picked(tab)));
  const home = () => { folder.hidden = !facts.at_home; };
  place.replaceChildren(folder,
    button("save", "Save the picture in the folder for chosen ones", "save", () => view()?.save?.()),
    button("zip", "Save all pictures, and a zip file of them", "zip", () => keepAsZip(view()?.pictures ?? [])),
    button("fullscreen", "Open full screen", "enlarge", () => {
      const shown = view();
      if (shown?.current) lightbox.open(shown);
      else nothing();
    }));
  home();
  live.read(home);
});

// The picture that is to be made larger: no sheet, and no file that is gone.
command("results.upscale", (tab) => {
  const picture = picked(tab);
  if (!picture) nothing();
  else if (picture.sheet) say("Select a single picture: the grid cannot be upscaled.");
  else return picture.id;
  return "";
});

// Opens another tab (and the sub-tab `place` of it) and tells which picture goes there.
command("results.send", (from, to, place, _before, ...asked) => {
  const picture = picked(from);
  if (!picture) {
    nothing();
    return ["", ...asked];
  }
  openTab(to);
  if (place) openSubTab(place);
  return [picture.id, ...asked];
});

command("results.seed", (tab, which, now) => {
  const picture = picked(tab);
  if (!picture) return now;
  const variation = which === "subseed" ? labelled(picture).get("Variation seed") : undefined;
  return variation === undefined ? picture.seed : Number(variation);
});

when(".gesso-results", (place) => {
  const tab = place.dataset.tab ?? "";
  views.set(tab, new View(place, tab));
});
when(".gesso-infotext", (place) => views.get(place.dataset.tab ?? "")?.update());

function setHeight() {
  const height = facts.gallery_height.trim();
  if (height && CSS.supports("height", height)) document.body.style.setProperty("--stage-height", height);
  else document.body.style.removeProperty("--stage-height");
}
setHeight();

let due = false;
live.read((what) => {
  if (what === "page" || what === "state") setHeight();
  if (due) return;
  due = true;
  queueMicrotask(() => {
    due = false;
    for (const view of views.values()) view.update();
  });
});
