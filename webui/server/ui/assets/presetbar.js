// @ts-check
// Presets above a form: named sets of any of its fields, filled in by one press, which can be undone.
import { field, iconButton, make, when } from "./dom.js";
import { download } from "./downloads.js";
import { facts } from "./facts.js";
import * as live from "./live.js";
import { apply, keepNow, place } from "./remembering.js";
import { failed, say } from "./say.js";
import { told, url } from "./server.js";

/** @typedef {{name: string, values: Record<string, unknown>, checkpoint: string}} Preset */
/** @typedef {{name: string, title: string, value: unknown, changed: boolean}} Field */

const LONGEST = 60; // Letters that are shown of a value.
const SEEDS = new Set(["seed", "subseed"]);

/**
 * @param {string} kind
 * @param {string} [path]
 * @param {RequestInit} [options]
 * @returns {Promise<any>}
 */
async function ask(kind, path = "", options = undefined) {
  const answer = await fetch(url(`internal/form-presets/${kind}${path}`), options);
  const said = await told(answer);
  if (!answer.ok) throw new Error([said.detail, said.hint].filter((part) => typeof part === "string" && part).join(" ") || answer.statusText);
  return said;
}

/**
 * @param {string} kind
 * @param {string} path
 * @param {unknown} body
 */
const tell = (kind, path, body) =>
  ask(kind, path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });

/** The checkpoint's name without its hash. @param {string} title */
const plain = (title) => title.replace(/ \[[0-9a-f]+\]$/, "");
const chosen = () => plain(field("setting_sd_model_checkpoint")?.value ?? "");

class PresetBar {
  /**
   * @param {string} kind
   * @param {HTMLElement} element
   */
  constructor(kind, element) {
    this.kind = kind;
    this.element = element;
    /** @type {Preset[]} */
    this.presets = [];
    this.drawn = "";
  }

  async load() {
    try {
      this.presets = await ask(this.kind);
    } catch {
      this.presets = []; // A page that is no longer logged in says so elsewhere.
    }
    this.drawn = "";
    this.draw();
  }

  /** Those for the checkpoint that is chosen come first, and say so. */
  draw() {
    const checkpoint = chosen();
    const fits = (/** @type {Preset} */ preset) => Boolean(checkpoint) && plain(preset.checkpoint) === checkpoint;
    const shown = this.presets.filter((preset) => !preset.checkpoint || fits(preset)).sort((a, b) => Number(fits(b)) - Number(fits(a)));
    const key = JSON.stringify([shown, checkpoint]);
    if (key === this.drawn) return;
    this.drawn = key;
    this.element.replaceChildren(
      ...shown.map((preset) => make(`button.preset-chip${fits(preset) ? ".suggested" : ""}`, {
        type: "button", translate: "no", title: fits(preset) ? `Suggested for ${checkpoint}` : preset.name,
        onclick: () => apply(this.kind, preset.name) }, preset.name)),
      make("button.preset-add", { type: "button", onclick: () => this.open() }, this.presets.length ? "Presets…" : "Save as preset…"));
  }

  async open() {
    const list = make("div.preset-list");
    const box = make("dialog.history-dialog.preset-dialog", { "aria-label": "Presets" },
      make("header", {}, make("h3", {}, "Presets"), iconButton("close", "Close", () => { box.close(); })), list);
    box.addEventListener("close", () => {
      box.remove();
      this.load();
    });
    try {
      await keepNow(this.kind);
      const { fields, checkpoint } = await ask(this.kind, `/now?place=${place}`);
      this.fill(list, fields, checkpoint, box);
      document.body.append(box);
      box.showModal();
      list.querySelector("input")?.focus();
    } catch (error) {
      failed(error);
    }
  }

  /**
   * @param {HTMLElement} list
   * @param {Field[]} fields
   * @param {string} checkpoint
   * @param {HTMLDialogElement} box
   */
  fill(list, fields, checkpoint, box) {
    const name = make("input", { type: "text", placeholder: "Name of the preset", "aria-label": "Name of the preset", maxlength: 80 });
    const only = make("input", { type: "checkbox" });
    const all = make("input", { type: "checkbox", onchange: () => {
      for (const tick of ticks.values()) tick.checked = all.checked;
    } });
    /** @type {Map<string, HTMLInputElement>} */
    const ticks = new Map();
    const rows = fields.map((each) => {
      const tick = make("input", { type: "checkbox", checked: each.changed && !SEEDS.has(each.name) });
      ticks.set(each.name, tick);
      const text = typeof each.value === "string" ? each.value : JSON.stringify(each.value);
      return make("label.preset-field", {}, tick, make("span", {}, each.title), make("span.preset-value", { translate: "no" }, text.slice(0, LONGEST)));
    });
    const save = async () => {
      const values = Object.fromEntries(fields.filter((each) => ticks.get(each.name)?.checked).map((each) => [each.name, each.value]));
      await tell(this.kind, "", { name: name.value, values, checkpoint: only.checked ? checkpoint : "" });
      say("The preset was saved.");
      box.close();
    };
    const kept = this.presets.map((preset) => make("div.preset-kept", {},
      make("span", { translate: "no" }, preset.name), make("span.preset-value", { translate: "no" }, plain(preset.checkpoint)),
      iconButton("bin", `Delete ${preset.name}`, async (event) => {
        try {
          await ask(this.kind, `?name=${encodeURIComponent(preset.name)}`, { method: "DELETE" });
          event.target instanceof Element && event.target.closest(".preset-kept")?.remove();
        } catch (error) {
          failed(error);
        }
      })));
    const file = make("input", { type: "file", accept: ".json", "aria-label": "Import a file of presets", onchange: async () => {
      try {
        const content = JSON.parse(await (file.files?.[0]?.text() ?? "{}"));
        const { saved, left } = await tell(this.kind, "/import", { presets: content.presets ?? [] });
        const count = saved.length;
        say(left[0] ?? (count === 1 ? "1 preset was imported." : `${count} presets were imported.`), left[0] ? "bad" : "note");
        box.close();
      } catch (error) {
        failed(error);
      }
    } });
    list.replaceChildren(
      make("form.history-row", { onsubmit: (event) => {
        event.preventDefault();
        save().catch(failed);
      } }, name, make("button.history-act", { type: "submit" }, "Save")),
      make("label.preset-field", {}, only, make("span", {}, "Only for this checkpoint:"), make("span.preset-value", { translate: "no" }, plain(checkpoint))),
      make("label.preset-field", {}, all, make("span", {}, "All fields")),
      make("div.preset-fields", { role: "group", "aria-label": "Fields that the preset holds" }, ...rows),
      ...kept,
      make("div.history-row", {},
        make("button.history-act", { type: "button", disabled: !this.presets.length, onclick: () =>
          download(`presets-${this.kind}.json`, new Blob([JSON.stringify({ presets: this.presets }, null, 2)], { type: "application/json" })) },
        "Export all"),
        make("label.preset-field", {}, make("span", {}, "Import"), file)));
  }
}

/** @type {PresetBar[]} */
const bars = [];
for (const kind of facts.forms.filter((name) => name === "txt2img" || name === "img2img")) {
  when(`#${kind}_settings`, (column) => {
    const element = make("div.preset-bar", { role: "toolbar", "aria-label": "Presets" });
    const bar = new PresetBar(kind, element);
    column.prepend(element);
    bars.push(bar);
    bar.load();
  });
}
const draw = () => bars.forEach((bar) => bar.draw());
live.read(draw);
// Nothing tells when a field shows another value that the server has put there.
setInterval(() => { if (!document.hidden) draw(); }, 1000);
