// @ts-check
// Four tips for the first minute, where the first picture will appear. Whoever hides them, or has seen the last one,
// does not see them again in this browser.
import { make, when } from "./dom.js";

const KEPT = "gesso_tips";
const TIPS = [
  "Describe a picture in the prompt, or click one of the examples below it, and press Generate.",
  "Drop a picture onto the prompt to fill the form with the parameters that made it.",
  "Close the page whenever you like: what is in the queue is finished, and every picture is kept in History.",
  "Put checkpoints into models/Stable-diffusion and press the round arrow beside the list. Press ? for all keys.",
];

/** The next tip to be seen; as many as there are: none. */
let at = Number(localStorage.getItem(KEPT)) || 0;

/** @type {Set<HTMLElement>} */
const places = new Set();

/** @param {number} next */
function go(next) {
  at = Math.min(Math.max(next, 0), TIPS.length);
  localStorage.setItem(KEPT, String(at));
  places.forEach(draw);
}

/** @param {HTMLElement} place */
function draw(place) {
  const tip = TIPS[at];
  const last = at === TIPS.length - 1;
  const focused = place.contains(document.activeElement) ? document.activeElement?.className : "";
  place.hidden = !tip;
  place.replaceChildren(
    make("p", { "aria-live": "polite" }, tip ?? ""),
    make("div", {},
      make("span", {}, `${at + 1} of ${TIPS.length}`),
      make("button.tip-back", { type: "button", disabled: at === 0, onclick: () => go(at - 1) }, "Back"),
      make("button.tip-next", { type: "button", onclick: () => go(at + 1) }, last ? "Done" : "Next"),
      !last && make("button.tip-hide", { type: "button", onclick: () => go(TIPS.length) }, "Hide tips")));
  if (focused) /** @type {HTMLElement | null} */ (place.querySelector(`.${CSS.escape(focused)}`))?.focus();
}

when("[data-tab=txt2img] > .stage .empty", (empty) => {
  if (at >= TIPS.length) return;
  const place = make("div.tips", { role: "group", "aria-label": "First steps" });
  places.add(place);
  empty.append(place);
  draw(place);
});
