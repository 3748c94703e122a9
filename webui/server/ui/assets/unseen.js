// @ts-check
// Columns whose inside is built when they are first seen: Gradio's tree of components hears of it (`inline/late.js`).
import { when } from "./dom.js";

const seen = new ResizeObserver((entries) => {
  for (const { target, contentRect } of entries) {
    if (!contentRect.width) continue;
    seen.unobserve(target);
    document.dispatchEvent(new CustomEvent("gesso:build", { detail: target.id }));
  }
});
when(".late", (column) => seen.observe(column));
