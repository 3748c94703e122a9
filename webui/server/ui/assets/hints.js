// @ts-check
// Tooltips and names: Gradio's buttons know no tooltips, and its labels none either.
import { when } from "./dom.js";
import { facts } from "./facts.js";

when("button.tool", (button) => {
  const name = button.textContent.trim();
  if (name && !button.title) button.title = name;
});
// Gradio names the area to drop a file on otherwise than the words that stand there: whoever says these words to their
// machine must find it.
when("button.upload-container[aria-label]", (button) => button.removeAttribute("aria-label"));
for (const [id, help] of Object.entries(facts.help)) {
  when(`#${CSS.escape(id)}`, (element) => {
    /** @type {HTMLElement} */
    const label = element.querySelector("[data-testid=block-info], label > span, span") ?? element;
    label.title = help;
  });
}
