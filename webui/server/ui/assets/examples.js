// @ts-check
// Prompts to begin with, under an empty prompt, where the checkpoint has some: a click writes one.
import { field, make, type, when } from "./dom.js";

const PROMPT = "txt2img_prompt";

/** @type {HTMLElement | null} */
let told = null;
/** @type {HTMLElement | null} */
let place = null;

function show() {
  if (!place) return;
  /** @type {string[]} */
  const prompts = JSON.parse(told?.isConnected ? told.dataset.prompts ?? "[]" : "[]");
  place.replaceChildren(...prompts.map((prompt) => make("button", {
    type: "button", onclick: () => {
      const box = field(PROMPT);
      type(box, prompt);
      box?.focus();
    },
  }, prompt)));
}

when("#txt2img_toprow .prompts", (prompts) => {
  place = make("div.examples", { role: "group", "aria-label": "Prompts to begin with" });
  prompts.append(place);
  show();
});

when("#checkpoint_kind .examples", (element) => {
  told = element;
  show();
});

// Another checkpoint's markup takes the place of this one's.
when("#checkpoint_kind", (kind) => new MutationObserver(show).observe(kind, { childList: true, subtree: true }));
