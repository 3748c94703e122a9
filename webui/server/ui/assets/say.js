// @ts-check
import { make } from "./dom.js";

/**
 * A line that comes up at the foot of the page and goes by itself.
 * @param {string} text
 * @param {"note" | "bad"} kind
 * @param {[] | [name: string, act: () => unknown]} button
 */
export function say(text, kind = "note", [action, act] = []) {
  const bar = document.querySelector("#gesso_says") ?? document.body.appendChild(
    make("div", { id: "gesso_says", role: "status", "aria-live": "polite" }));
  const line = make(`div.said.${kind}`, {}, text,
    action && make("button.link", { type: "button", onclick: () => {
      line.remove();
      act?.();
    } }, action));
  bar.replaceChildren(line);
  setTimeout(() => line.remove(), 6000);
}

/**
 * Says what went wrong.
 * @param {unknown} error
 */
export const failed = (error) => say(error instanceof Error ? error.message : String(error), "bad");
