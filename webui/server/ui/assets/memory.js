// @ts-check
// Settings > System: which models are in memory, what their parts take, and how the last one used lies there.
import { make, when } from "./dom.js";
import * as live from "./live.js";

/** @type {Record<string, string>} */
const NAMES = { unet: "UNet", vae: "VAE", text: "Text encoder", text_2: "Second text encoder", text_3: "T5", transformer: "Transformer" };
const size = (/** @type {number} */ bytes) => (bytes >= 2 ** 30 ? `${(bytes / 2 ** 30).toFixed(2)} GiB` : `${(bytes / 2 ** 20).toFixed(0)} MiB`);

/** @param {HTMLElement} panel */
function draw(panel) {
  const { parts = [], profile = "" } = live.models();
  if (!parts.length) {
    panel.replaceChildren(make("p", {}, "No models are loaded."));
    return;
  }
  const rows = parts.map(({ model, part, nbytes, device }, at) =>
    make("tr", {},
      make("td", {}, at && parts[at - 1]?.model === model ? "" : model),
      make("td", {}, NAMES[part] ?? part),
      make("td.number", {}, size(nbytes)),
      make("td", {}, device)));
  const heads = ["Model", "Part", "Size", "Where"].map((title) => make("th", { scope: "col" }, title));
  panel.replaceChildren(
    make("p", {}, profile),
    make("table", {}, make("thead", {}, make("tr", {}, ...heads)), make("tbody", {}, ...rows)));
}

when("#memory_parts", (panel) => {
  draw(panel);
  live.read((what) => {
    if (what === "models" || what === "state") draw(panel);
  });
});
