// @ts-check
// Tooltips: Gradio's buttons know none, and its labels none either.
import { when } from "./dom.js";
import { facts } from "./facts.js";

when("button.tool", (button) => {
  const name = button.textContent.trim();
  if (name && !button.title) button.title = name;
});
for (const [id, help] of Object.entries(facts.help)) {
  when(`#${CSS.escape(id)}`, (element) => {
    /** @type {HTMLElement} */
    const label = element.querySelector("[data-testid=block-info], label > span, span") ?? element;
    label.title = help;
  });
}
