// @ts-check
// Two pictures beside one another, over one another with a border that moves, or what differs between them.
import { iconButton, make } from "./dom.js";
import { labelled } from "./infotext.js";
import { url } from "./server.js";

/** @import { Listed } from "./historyserver.js" */

const WAYS = /** @type {const} */ ({ slider: "Slider", beside: "Side by side", difference: "Difference" });
/** @type {keyof typeof WAYS} */
let way = "slider";

/**
 * @param {Listed} before
 * @param {Listed} after
 * @param {(picture: Listed) => string} described
 */
export function compare(before, after, described) {
  const last = document.activeElement;
  const picture = (/** @type {Listed} */ one) => make("img", { src: url(one.url), alt: described(one), draggable: "false" });
  const top = picture(after);
  const slider = make("input", { type: "range", min: 0, max: 100, value: 50, step: 0.1, "aria-label": "Position of the divider between the two pictures" });
  const line = make("span.compare-line");
  const stage = make("div.compare-stage", {}, picture(before), top, line, slider);
  const cut = () => {
    top.style.clipPath = way === "slider" ? `inset(0 0 0 ${slider.value}%)` : "";
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
  const ways = make("div.compare-ways", { role: "group", "aria-label": "How to compare" },
    ...Object.entries(WAYS).map(([name, title]) => make("button", { type: "button", "data-way": name,
      onclick: () => show(/** @type {keyof typeof WAYS} */ (name)) }, title)));
  const show = (/** @type {keyof typeof WAYS} */ chosen) => {
    way = chosen;
    stage.dataset.way = way;
    slider.hidden = line.hidden = way !== "slider";
    for (const button of ways.querySelectorAll("button")) button.setAttribute("aria-pressed", String(button.dataset.way === way));
    cut();
  };
  const box = make("div", { id: "compare", role: "dialog", "aria-modal": "true", "aria-label": "Comparison of two pictures", tabindex: "-1",
    onkeydown: (event) => {
      event.stopPropagation();
      if (event.key === "Escape") close();
    } },
    ways,
    stage,
    make("dl.compare-facts", {}, ...differ.slice(0, 12).flatMap((label) => [
      make("dt", {}, label), make("dd", {}, `${old.get(label) || "–"} → ${now.get(label) || "–"}`)])),
    iconButton("close", "Close (Esc)", close));
  document.body.append(box);
  document.documentElement.classList.add("lightbox-open");
  show(way);
  (slider.hidden ? box : slider).focus({ preventScroll: true });
}
