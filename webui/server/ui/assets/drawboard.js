// @ts-check
// Drawing for a ControlNet unit: on its picture, or on an empty sheet of the result's size. What comes of it becomes the
// unit's picture.
import { Easel } from "./canvas/easel.js";
import { canvasOf, penOf } from "./canvas/pixels.js";
import { pictureOf } from "./canvas/sent.js";
import { field, iconButton, make, when } from "./dom.js";
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
  const canvas = canvasOf(width, height);
  const pen = penOf(canvas);
  pen.fillStyle = colour;
  pen.fillRect(0, 0, width, height);
  return canvas;
}

class DrawBoard {
  /** @param {string} unit */
  constructor(unit) {
    this.unit = unit;
    const button = (/** @type {string} */ name, /** @type {() => unknown} */ click, kind = "button") =>
      make(/** @type {"button"} */ (kind), { type: "button", onclick: click }, name);
    const place = make("div.canvas-board");
    /** @type {HTMLDialogElement} */
    this.dialog = make("dialog.unit-dialog.canvas-dialog", { "aria-label": "Draw", onclose: () => this.end() },
      make("header", {}, make("h3", {}, "Draw"), iconButton("close", "Close", () => this.dialog.close())),
      place,
      make("div.unit-tools", {},
        button("White sheet", () => this.begin(WHITE, BLACK)),
        button("Black sheet", () => this.begin(BLACK, WHITE)),
        button("Use as picture", () => this.use(), "button.primary")));
    document.body.append(this.dialog);
    this.dialog.showModal();
    this.easel = new Easel(place, { kind: "raster", label: "Sketch: paint on the picture", kinds: ["raster"], percent: 8 });
    this.begin(WHITE, BLACK);
    /** @type {HTMLImageElement | null} */
    const shown = document.querySelector(`#${CSS.escape(unit)}_image .image-frame img`);
    if (shown?.naturalWidth) this.easel.desk.open(shown);
  }

  /**
   * An empty sheet, and a pen that is seen on it.
   * @param {string} colour
   * @param {string} pen
   */
  begin(colour, pen) {
    const { desk } = this.easel;
    desk.open(empty(this.unit, colour));
    desk.colour = pen;
    desk.tell("tool");
  }

  end() {
    this.easel.remove();
    this.dialog.remove();
  }

  async use() {
    try {
      const canvas = pictureOf(this.easel.desk);
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
