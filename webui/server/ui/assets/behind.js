// @ts-check
// The picture behind the regions that are drawn, dimmed: what img2img begins with, or the last result, so that regions
// can be laid over what is there.
import { byId, make } from "./dom.js";
import * as results from "./results.js";
import { openedMode } from "./tabs.js";

/** @typedef {"" | "input" | "result"} Source */

/** How the picture lies in the frame, by the place of img2img's resize mode among the others. */
const FITS = ["fill", "cover", "contain", "fill"];

export class Behind {
  /** @param {string} tab */
  constructor(tab) {
    this.tab = tab;
    this.image = make("img.region-behind", { alt: "", hidden: true, draggable: "false" });
    this.list = make("select.region-source", { "aria-label": "Picture behind the regions", title: "Picture behind the regions" },
      make("option", { value: "" }, "No picture behind"),
      tab === "img2img" && make("option", { value: "input" }, "Input picture behind"),
      make("option", { value: "result" }, "Last result behind"));
    this.list.addEventListener("change", () => this.choose());
    this.watch = new MutationObserver(() => this.show());
  }

  choose() {
    this.watch.disconnect();
    const around = this.list.value === "input" ? byId("img2img_settings") : byId(`${this.tab}_results`);
    if (this.list.value && around) {
      this.watch.observe(around, { subtree: true, childList: true, attributes: true, attributeFilter: ["src", "aria-selected"] });
    }
    this.show();
  }

  /** Where the picture lies; "" where there is none. */
  get address() {
    if (this.list.value === "result") return results.address(this.tab);
    /** @type {HTMLImageElement | null | undefined} */
    const given = byId(`mode_img2img_${openedMode()}`)?.querySelector(".source img");
    return this.list.value === "input" ? (given?.src ?? "") : "";
  }

  show() {
    const { address } = this;
    this.image.hidden = !address;
    if (address && this.image.getAttribute("src") !== address) this.image.src = address;
    const modes = [...document.querySelectorAll("#img2img_resize_mode label")];
    const mode = modes.findIndex((label) => label.classList.contains("selected"));
    this.image.style.objectFit = this.list.value === "input" ? (FITS[mode] ?? "fill") : "contain";
  }
}
