// Painting over a picture: a mask in the Inpaint tab, colours in the sketch tabs. The picture stays a file on the
// server; what is sent along is the paint alone, as a PNG of the picture's size: a mask in black and white, or colours on
// nothing.
(() => {
  const { make } = gesso;
  const LARGEST = 4096;
  const MASK_COLOUR = "#4a47dc";
  const SURFACES = [
    { box: "img2img_inpaint_image", value: "img2img_inpaint_mask" },
    { box: "img2img_sketch_image", value: "img2img_sketch_strokes", coloured: true },
    { box: "img2img_inpaint_sketch_image", value: "img2img_inpaint_sketch_strokes", coloured: true },
  ];
  const painters = new Map(); // id of the box -> its painter

  class Painter {
    constructor(image, { value, coloured = false }) {
      this.image = image;
      this.value = value;
      this.coloured = coloured;
      this.done = [];
      this.undone = [];
      this.erasing = false;
      this.canvas = make(coloured ? "canvas.mask.coloured" : "canvas.mask",
        { "aria-label": coloured ? "Sketch: paint on the picture" : "Mask: paint over what shall change" });
      this.pen = this.canvas.getContext("2d", { willReadFrequently: true });
      this.cursor = make("div.mask-cursor", { hidden: true });
      this.slider = make("input", { type: "range", min: "1", max: "100", value: "22", title: "Brush size (Q, W, or Ctrl and wheel)", "aria-label": "Brush size" });
      this.brush = gesso.iconButton("brush", "Brush (B)", () => this.choose(false));
      this.eraser = gesso.iconButton("eraser", "Eraser (E)", () => this.choose(true));
      this.colour = make("input.swatch", { type: "color", value: "#f2b134", title: "Colour", "aria-label": "Colour",
        oninput: () => this.choose(false) });
      this.dropper = gesso.iconButton("dropper", "Pick a colour from the picture (Alt and click)", () => this.pickNext());
      this.bar = make("div.mask-bar", { role: "toolbar", "aria-label": coloured ? "Sketch" : "Mask" },
        this.brush, this.eraser, coloured && this.colour, coloured && this.dropper, this.slider,
        gesso.iconButton("undo", "Undo (Ctrl+Z)", () => this.undo()),
        gesso.iconButton("redo", "Redo (Ctrl+Shift+Z)", () => this.redo()),
        !coloured && gesso.iconButton("invert", "Invert the mask", () => this.add({ kind: "invert" })),
        gesso.iconButton("clear", coloured ? "Clear the sketch" : "Clear the mask", () => this.add({ kind: "clear" })));
      this.frame = image.closest(".image-frame");
      this.frame.append(this.canvas, this.cursor);
      this.frame.closest(".source").append(this.bar);
      this.choose(false);
      this.listen();
      image.addEventListener("load", () => this.begin());
      new ResizeObserver(() => this.fit()).observe(this.frame);
      if (image.complete && image.naturalWidth) this.begin();
    }

    /** A new picture: an empty mask of its size. */
    begin() {
      const shrink = Math.min(1, LARGEST / Math.max(this.image.naturalWidth, this.image.naturalHeight));
      this.canvas.width = Math.round(this.image.naturalWidth * shrink);
      this.canvas.height = Math.round(this.image.naturalHeight * shrink);
      this.done = [];
      this.undone = [];
      this.fit();
      this.tell();
    }

    /** Lays the canvas over the picture, which is centred in its frame. */
    fit() {
      const { clientWidth: width, clientHeight: height } = this.frame;
      const scale = Math.min(width / this.canvas.width, height / this.canvas.height) || 1;
      Object.assign(this.canvas.style, {
        width: `${this.canvas.width * scale}px`,
        height: `${this.canvas.height * scale}px`,
        left: `${(width - this.canvas.width * scale) / 2}px`,
        top: `${(height - this.canvas.height * scale) / 2}px`,
      });
      this.scale = scale;
    }

    /** The brush's radius in pixels of the picture: the slider grows faster towards its end. */
    get radius() {
      const share = this.slider.value / 100;
      return Math.max(0.5, share * share * Math.min(this.canvas.width, this.canvas.height) * 0.4 + share * 8);
    }

    choose(erasing) {
      this.erasing = erasing;
      this.brush.setAttribute("aria-pressed", String(!erasing));
      this.eraser.setAttribute("aria-pressed", String(erasing));
    }

    /** The next click takes a colour instead of painting. */
    pickNext() {
      this.picking = !this.picking;
      this.dropper.setAttribute("aria-pressed", String(this.picking));
    }

    /** The colour of what is seen at a place: picture and paint. */
    pick([x, y]) {
      const sheet = make("canvas", { width: 1, height: 1 }).getContext("2d");
      const shrink = this.image.naturalWidth / this.canvas.width;
      sheet.drawImage(this.image, x * shrink, y * shrink, 1, 1, 0, 0, 1, 1);
      sheet.drawImage(this.canvas, x, y, 1, 1, 0, 0, 1, 1);
      const [red, green, blue] = sheet.getImageData(0, 0, 1, 1).data;
      this.colour.value = `#${[red, green, blue].map((part) => part.toString(16).padStart(2, "0")).join("")}`;
      if (this.picking) this.pickNext();
      this.choose(false);
    }

    resize(by) {
      this.slider.value = Number(this.slider.value) + by;
      this.point();
    }

    at(event) {
      const box = this.canvas.getBoundingClientRect();
      return [((event.clientX - box.left) / box.width) * this.canvas.width, ((event.clientY - box.top) / box.height) * this.canvas.height];
    }

    listen() {
      const { canvas } = this;
      canvas.addEventListener("pointerdown", (event) => {
        if (event.button !== 0) return;
        event.preventDefault();
        if (this.coloured && (this.picking || event.altKey)) {
          this.pick(this.at(event));
          return;
        }
        canvas.setPointerCapture(event.pointerId);
        this.stroke = {
          kind: "stroke",
          erasing: this.erasing || event.shiftKey,
          colour: this.coloured ? this.colour.value : MASK_COLOUR,
          radius: this.radius,
          points: [this.at(event)],
        };
        this.draw(this.stroke);
      });
      canvas.addEventListener("pointermove", (event) => {
        this.last = event;
        this.point();
        if (!this.stroke) return;
        for (const part of event.getCoalescedEvents?.() ?? [event]) this.stroke.points.push(this.at(part));
        this.draw({ ...this.stroke, points: this.stroke.points.slice(-12) });
      });
      for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => {
        if (!this.stroke) return;
        this.done.push(this.stroke);
        this.undone = [];
        this.stroke = null;
        this.tell();
      });
      canvas.addEventListener("pointerleave", () => {
        this.last = null;
        this.point();
      });
      canvas.addEventListener("wheel", (event) => {
        if (!event.ctrlKey) return;
        event.preventDefault();
        this.resize(event.deltaY < 0 ? 3 : -3);
      }, { passive: false });
      canvas.addEventListener("click", (event) => event.stopPropagation());
      this.slider.addEventListener("input", () => this.point());
    }

    /** The ring around the pointer that shows the brush. */
    point() {
      this.cursor.hidden = !this.last;
      if (!this.last) return;
      const box = this.frame.getBoundingClientRect();
      const size = this.radius * 2 * this.scale;
      Object.assign(this.cursor.style, {
        width: `${size}px`,
        height: `${size}px`,
        left: `${this.last.clientX - box.left - size / 2}px`,
        top: `${this.last.clientY - box.top - size / 2}px`,
      });
    }

    draw(step) {
      const { pen, canvas } = this;
      pen.save();
      pen.fillStyle = pen.strokeStyle = step.colour ?? MASK_COLOUR;
      if (step.kind === "clear") pen.clearRect(0, 0, canvas.width, canvas.height);
      else if (step.kind === "invert") {
        pen.globalCompositeOperation = "xor";
        pen.fillRect(0, 0, canvas.width, canvas.height);
      } else {
        if (step.erasing) pen.globalCompositeOperation = "destination-out";
        pen.lineCap = pen.lineJoin = "round";
        pen.lineWidth = step.radius * 2;
        pen.beginPath();
        const [first, ...rest] = step.points;
        pen.moveTo(...first);
        if (!rest.length) pen.lineTo(first[0] + 0.01, first[1]);
        for (const point of rest) pen.lineTo(...point);
        pen.stroke();
      }
      pen.restore();
    }

    add(step) {
      this.done.push(step);
      this.undone = [];
      this.draw(step);
      this.tell();
    }

    undo() {
      const step = this.done.pop();
      if (step) this.undone.push(step);
      this.redraw();
    }

    redo() {
      const step = this.undone.pop();
      if (step) this.done.push(step);
      this.redraw();
    }

    redraw() {
      this.pen.clearRect(0, 0, this.canvas.width, this.canvas.height);
      this.done.forEach((step) => this.draw(step));
      this.tell();
    }

    /** Puts the paint into the form; "" while there is none. */
    tell() {
      const field = gesso.field(this.value);
      if (field) gesso.type(field, this.exported());
    }

    exported() {
      const { width, height } = this.canvas;
      if (!this.done.length || !width) return "";
      const pixels = this.pen.getImageData(0, 0, width, height);
      if (this.coloured) {
        for (let at = 3; at < pixels.data.length; at += 4) if (pixels.data[at]) return this.canvas.toDataURL("image/png");
        return "";
      }
      let painted = false;
      for (let at = 0; at < pixels.data.length; at += 4) {
        const white = pixels.data[at + 3] > 127 ? 255 : 0;
        painted ||= white > 0;
        pixels.data[at] = pixels.data[at + 1] = pixels.data[at + 2] = white;
        pixels.data[at + 3] = 255;
      }
      if (!painted) return "";
      const sheet = make("canvas", { width, height });
      sheet.getContext("2d").putImageData(pixels, 0, 0);
      return sheet.toDataURL("image/png");
    }

    remove() {
      this.bar.remove();
      const field = gesso.field(this.value);
      if (field) gesso.type(field, "");
    }

    get isThere() {
      return this.canvas.isConnected;
    }

    get isUsed() {
      return Boolean(this.last) || this.bar.contains(document.activeElement);
    }
  }

  for (const surface of SURFACES) {
    gesso.when(`#${surface.box} .image-frame img`, (image) => {
      painters.get(surface.box)?.bar.remove();
      painters.set(surface.box, new Painter(image, surface));
    });
    gesso.when(`#${surface.box}`, (box) => {
      new MutationObserver(() => {
        const painter = painters.get(surface.box);
        if (painter && !painter.isThere) {
          painter.remove();
          painters.delete(surface.box);
        }
      }).observe(box, { childList: true, subtree: true });
    });
  }

  document.addEventListener("keydown", (event) => {
    if (/^(TEXTAREA|SELECT)$/.test(event.target.tagName)) return;
    const painter = [...painters.values()].find((one) => one.isThere && one.isUsed);
    if (!painter) return;
    const command = event.ctrlKey || event.metaKey;
    const act = command
      ? { z: () => (event.shiftKey ? painter.redo() : painter.undo()), y: () => painter.redo() }[event.key.toLowerCase()]
      : { b: () => painter.choose(false), e: () => painter.choose(true), q: () => painter.resize(-4), w: () => painter.resize(4) }[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
})();
