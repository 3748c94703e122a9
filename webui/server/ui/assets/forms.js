// @ts-check
// Small things of the forms, where a trip to the server would only be felt.
import { command } from "./commands.js";
import { around, byId, field, make, type, when } from "./dom.js";
import { beforeFilling } from "./remembering.js";
import * as results from "./results.js";
import { say } from "./say.js";
import { facts } from "./facts.js";
import { factorIn, hires, nearest, resized, written } from "./sizes.js";
import { openedMode, openedTab, openedUnit, openSubTab, openTab } from "./tabs.js";

function showMode() {
  const column = byId("img2img_settings");
  if (column) column.dataset.mode = openedMode();
  scaleText();
}
when("#mode_img2img", (tabs) => {
  showMode();
  // Lines of the bar's menu have only a class for it.
  const attributeFilter = ["aria-selected", "class"];
  new MutationObserver(showMode).observe(tabs.querySelector(".tab-wrapper") ?? tabs, { subtree: true, attributes: true, attributeFilter });
});
command("openedMode", openedMode);
command("openedUnit", openedUnit);
command("openTab", (tab, ...given) => {
  beforeFilling(tab);
  openTab(tab);
  return given;
});
command("openSubTab", (tab, subTab, ...given) => {
  if (tab) {
    beforeFilling(tab);
    openTab(tab);
  }
  openSubTab(subTab);
  return given;
});

let byFactor = true;
const showFactor = () => byId("txt2img_hr_scale")?.classList.toggle("unused", !byFactor);
when("#txt2img_hr_scale", showFactor);

// What hires fix makes out of what.
command("hiresText", (on, width, height, factor, toWidth, toHeight) => {
  byFactor = !toWidth && !toHeight;
  showFactor();
  if (!on) return "";
  const to = hires([Number(width), Number(height)], Number(factor), [Number(toWidth), Number(toHeight)]);
  return `<span>from <b>${Number(width)}×${Number(height)}</b> to <b>${to[0]}×${to[1]}</b></span>`;
});

/** @returns {import("./sizes.js").Size | null} */
function source() {
  /** @type {HTMLImageElement | null | undefined} */
  const image = byId(`mode_img2img_${openedMode()}`)?.querySelector(".source img");
  return image?.naturalWidth ? [image.naturalWidth, image.naturalHeight] : null;
}

command("naturalSize", (width, height) => {
  const size = source();
  if (!size) say("There is no picture yet to take the size from.");
  return size ? nearest(size) : [width, height];
});

/**
 * Says what "Resize by" makes of the picture.
 * @param {number} [by]
 */
function scaleText(by) {
  const text = byId("img2img_scale_text");
  if (!text) return;
  const size = source();
  /** @type {HTMLInputElement | null} */
  const box = document.querySelector("#img2img_scale input[type=number]");
  const factor = Number(by ?? box?.value ?? 1);
  const bold = (/** @type {import("./sizes.js").Size} */ sides) => make("b", {}, sides.join("×"));
  if (size) text.replaceChildren("from ", bold(size), " to ", bold(resized(size, factor)));
  else text.textContent = openedMode() === "batch" ? "of each picture's own size" : "Add a picture first.";
}
when("#mode_img2img .source img", (image) => image.addEventListener("load", () => scaleText()));
command("scaleText", (by) => scaleText(by));
command("scaleBy", () => {
  scaleText();
  return "by";
});

let given = "";

// "4x-UltraSharp" and "RealESRGAN_x4plus" say by how much they enlarge.
command("scaleOfUpscaler", (name, factor) => {
  const said = factorIn(String(name));
  return [facts.scales && said ? said : factor];
});

// What the paste button reads: what a file said, the prompt, or the infotext of the last picture.
command("infotextFor", (tab, text) => {
  const read = given || text.trim() || results.infotext(tab);
  given = "";
  if (read) beforeFilling(tab);
  return [read];
});

/**
 * Fills a form with what an infotext says.
 * @param {string} tab
 * @param {string} text
 */
export function fill(tab, text) {
  given = text;
  byId(`${tab}_paste`)?.click();
}

/** @type {Set<string>} Rows that the settings put away show themselves once something in them matters. */
const matter = new Set();
command("untuck", (row, ...values) => {
  if (!values.some((value) => value && !String(value).startsWith("Use same "))) return;
  matter.add(row);
  byId(row)?.classList.remove("tucked");
});
when(".tucked", (row) => row.classList.toggle("tucked", !matter.has(row.id)));

// Controls that have an effect with some values of others alone: [place among the values, those with which it counts,
// those with which it does not] for each of them.
command("whatCounts", (rules, ...values) => {
  /** @type {[at: number, among: unknown[], besides: unknown[]][][]} */
  const all = JSON.parse(rules);
  const holds = (/** @type {unknown} */ value, /** @type {unknown[]} */ among, /** @type {unknown[]} */ besides) =>
    (!among.length || among.includes(value)) && !besides.includes(value);
  return all.map((own) => ({
    __type__: "update",
    visible: own.every(([at, among, besides]) => holds(values[at], among, besides)) || "hidden",
  }));
});

// Shows the controls of the script that is picked.
command("showScript", (tab, name) => {
  const wanted = `${tab}_script_${name.toLowerCase().replace(/[^\p{L}\p{N}]/gu, "_")}`;
  for (const body of byId(`${tab}_scripts`)?.querySelectorAll(".script-body") ?? []) {
    body.classList.toggle("chosen", body.id === wanted);
  }
});

// Empties both prompts, with a way back.
command("cleared", () => {
  const tab = openedTab();
  const fields = ["prompt", "negative_prompt"].map((name) => field(`${tab}_${name}`));
  const old = fields.map((one) => one?.value ?? "");
  if (old.some(Boolean)) {
    say("Prompts cleared.", "note", ["Undo", () => fields.forEach((one, at) => type(one, old[at] ?? ""))]);
  }
  return ["", ""];
});

// "1024x768" pasted into width or height fills both.
document.addEventListener("paste", (event) => {
  const size = written(event.clipboardData?.getData("text") ?? "");
  const box = around(event, "[id$=_width], [id$=_height]");
  if (!size || !box) return;
  event.preventDefault();
  const tab = box.id.replace(/_(width|height)$/, "");
  ["width", "height"].forEach((side, at) => {
    /** @type {HTMLInputElement | null} */
    const number = document.querySelector(`#${tab}_${side} input[type=number]`);
    if (!number) return;
    type(number, String(size[at]));
    number.dispatchEvent(new Event("blur", { bubbles: true }));
  });
});
