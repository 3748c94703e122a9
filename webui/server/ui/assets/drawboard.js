// @ts-check
// Drawing for a ControlNet unit: on its picture, or on an empty sheet of the result's size. What comes of it becomes the
// unit's picture.
import { field, iconButton, make, when } from "./dom.js";
import { Painter, painters } from "./mask.js";
import { failed } from "./say.js";
import { buttonsBelow, give } from "./unit.js";

const WHITE = "#ffffff";
const BLACK = "#000000";
const LARGEST = 4096;

/**
 * An empty picture of the size that the form asks for.
 * @param {string} unit
 * @param {string} colour
 */
function empty(unit, colour) {
  const [width = 512, height = 512] = ["width", "height"].map((side) =>
    Math.min(Math.max(Number(field(`${unit.split("_")[0]}_${side}`)?.value) || 512, 8), LARGEST));
  const canvas = make("canvas", { width, height });
  const pen = canvas.getContext("2d");
  if (pen) {
    pen.fillStyle = colour;
    pen.fillRect(0, 0, width, height);
  }
  return canvas.toDataURL("image/png");
}

class DrawBoard {
  /** @param {string} unit */
  constructor(unit) {
    this.unit = unit;
    /** @type {HTMLImageElement | null} */
    const shown = document.querySelector(`#${CSS.escape(unit)}_image .image-frame img`);
    this.image = make("img", { alt: "", src: shown?.src ?? empty(unit, WHITE) });
    const button = (/** @type {string} */ name, /** @type {() => unknown} */ click, kind = "button") =>
      make(/** @type {"button"} */ (kind), { type: "button", onclick: click }, name);
    /** @type {HTMLDialogElement} */
    this.dialog = make("dialog.unit-dialog", { "aria-label": "Draw", onclose: () => this.end() },
      make("header", {}, make("h3", {}, "Draw"), iconButton("close", "Close", () => this.dialog.close())),
      make("div.source", {}, make("div.image-frame", {}, this.image)),
      make("div.unit-tools", {},
        button("White sheet", () => this.begin(WHITE, BLACK)),
        button("Black sheet", () => this.begin(BLACK, WHITE)),
        button("Use as picture", () => this.use(), "button.primary")));
    document.body.append(this.dialog);
    this.dialog.showModal();
    this.painter = new Painter(this.image, { box: unit, coloured: true });
    this.painter.colour.value = BLACK;
    this.painter.slider.value = "8";
    painters.set(unit, this.painter);
  }

  /**
   * An empty sheet, and a pen that is seen on it.
   * @param {string} colour
   * @param {string} pen
   */
  begin(colour, pen) {
    this.image.src = empty(this.unit, colour);
    this.painter.colour.value = pen;
  }

  end() {
    painters.delete(this.unit);
    this.dialog.remove();
  }

  async use() {
    try {
      const { naturalWidth: width, naturalHeight: height } = this.image;
      const canvas = make("canvas", { width, height });
      const pen = canvas.getContext("2d");
      pen?.drawImage(this.image, 0, 0);
      pen?.drawImage(this.painter.canvas, 0, 0, width, height);
      /** @type {Blob | null} */
      const made = await new Promise((done) => { canvas.toBlob(done, "image/png"); });
      if (!made) throw new Error("This browser cannot write the drawing as a picture.");
      this.dialog.close(); // What lies behind it cannot be reached before.
      give(this.unit, new File([made], "drawing.png", { type: "image/png" }));
    } catch (error) {
      failed(error);
    }
  }
}

when(".control-pictures > .control-map", (map) => {
  const unit = map.id.replace(/_map$/, "");
  buttonsBelow(map).append(make("button", { type: "button", id: `${unit}_draw`, onclick: () => new DrawBoard(unit) }, "Draw"));
});
