// @ts-check
// Progress, preview and pictures of a tab, drawn from the event stream and nothing else.
import { clock } from "./clock.js";
import { command } from "./commands.js";
import { iconButton, make, when } from "./dom.js";
import { download, named, nothing, save } from "./downloads.js";
import { labelled, pieces, promptOf } from "./infotext.js";
import * as lightbox from "./lightbox.js";
import * as live from "./live.js";
import * as queue from "./queue.js";
import { failed, say } from "./say.js";
import { post, told, url } from "./server.js";
import { openSubTab, openTab } from "./tabs.js";
import { zip } from "./zip.js";

/** @import { Job, Picture } from "./stream.js" */
/** @import { View as Shown } from "./lightbox.js" */

/** @type {Map<string, Shown<any>>} */
const views = new Map();
const NOTHING = "Pictures appear here.";

/** @implements {Shown<Picture>} */
class View {
  /**
   * @param {HTMLElement} place
   * @param {string} tab
   */
  constructor(place, tab) {
    this.tab = tab;
    this.base = ""; // the job whose pictures are shown
    this.index = 0;
    this.pinned = false; // the person chose a picture themself
    this.dismissed = "";
    this.front = make("img.layer", { alt: "", draggable: "true" });
    this.back = make("img.layer", { alt: "" });
    this.loading = false;
    this.showsPreview = false;
    this.drawn = "";
    this.wanted = "";
    this.stage = make("div.stage", { tabindex: "0", role: "group", "aria-label": "Picture; arrow keys select, Enter opens full screen" },
      make("div.empty", {}, make("span.glyph-image", { "aria-hidden": "true" }), NOTHING), this.front, this.back);
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
    place.append(this.error, this.unsaved, this.stage, this.thumbs, this.extras, this.queue);
    this.stage.addEventListener("click", () => { if (this.current) lightbox.open(this); });
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

  /** @returns {Picture[]} */
  get pictures() {
    return this.job?.pictures ?? [];
  }

  get current() {
    return this.pictures[Math.min(this.index, this.pictures.length - 1)];
  }

  /** @param {number} index */
  pick(index) {
    const count = this.pictures.length;
    if (!count) return;
    this.index = (index + count) % count;
    this.pinned = true;
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
    const newest = live.newest(this.jobs.filter((job) => job.pictures.length));
    if (newest && newest.id !== this.base) {
      this.base = newest.id;
      this.index = 0;
      this.pinned = false;
    }
    const preview = running && live.preview(running.id);
    const watching = preview && !(this.pinned && this.base === running.id) ? preview : undefined;
    if (watching) this.show(url(`${watching.url}?${watching.number}`), "Picture in progress", true);
    else if (this.current && !(running && this.showsPreview && this.base !== running.id)) {
      this.show(url(this.current.url), this.described(this.current), false);
    }
    this.drawProgress(running);
    this.drawThumbs();
    this.drawError();
    this.drawUnsaved();
    queue.draw(this.queue, this.tab);
    drawInfotext(this);
    this.stage.classList.toggle("full", Boolean(this.current || watching));
    lightbox.follow(this);
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
    this.progress.hidden = !job;
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
        make("button.thumb", { type: "button", role: "option", title: `Picture ${index + 1}, seed ${picture.seed}`,
          "aria-label": `Picture ${index + 1} of ${pictures.length}`, onclick: () => this.pick(index) },
          make("img", { src: url(picture.thumb_url), alt: "", loading: "lazy", decoding: "async" }))));
    }
    [...this.thumbs.children].forEach((thumb, index) =>
      thumb.setAttribute("aria-selected", String(index === Math.min(this.index, pictures.length - 1))));
    this.drawExtras();
  }

  /** What comes with the picture, such as its mask: a click opens it in a tab of its own. */
  drawExtras() {
    const extras = this.current?.extras ?? [];
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
  const key = `${picture?.id ?? ""}|${comments.join("|")}`;
  if (place.dataset.shown === key) return;
  place.dataset.shown = key;
  place.replaceChildren();
  if (!picture) return;
  place.append(
    make("div.infotext", { tabindex: "0", "aria-label": "Infotext of the picture" }, ...coloured(picture)),
    iconButton("copy", "Copy the infotext", () =>
      navigator.clipboard?.writeText(picture.infotext).then(() => say("Copied."), () => say("The browser does not allow copying here.", "bad"))));
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
 * Another place that shows pictures.
 * @param {string} tab
 * @param {Shown<any>} view
 */
export const register = (tab, view) => views.set(tab, view);

command("results.save", (tab) => save(picked(tab)));

command("results.zip", async (tab) => {
  const pictures = views.get(tab)?.pictures ?? [];
  if (!pictures.length) {
    nothing();
    return;
  }
  try {
    const files = await Promise.all(pictures.map(named));
    download(`gesso-${pictures[0].seed}.zip`, await zip(files));
  } catch (error) {
    failed(error);
  }
});

command("results.enlarge", (tab) => {
  const view = views.get(tab);
  if (view?.current) lightbox.open(view);
  else nothing();
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

let due = false;
live.read(() => {
  if (due) return;
  due = true;
  queueMicrotask(() => {
    due = false;
    for (const view of views.values()) view.update();
  });
});
