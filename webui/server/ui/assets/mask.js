// Painting a mask over the picture of the Inpaint tab. The picture stays a file on the server; what is sent along is
// the mask alone, as a black and white PNG of the picture's size.
(() => {
  const { make } = gesso;
  const LARGEST = 4096;
  const PICTURE = "#img2img_inpaint_image .image-frame img";
  const VALUE = "img2img_inpaint_mask";
  let painter = null;

  class Painter {
    constructor(image) {
      this.image = image;
      this.done = [];
      this.undone = [];
      this.erasing = false;
      this.canvas = make("canvas.mask", { "aria-label": "Mask: paint over what shall change" });
      this.pen = this.canvas.getContext("2d", { willReadFrequently: true });
      this.cursor = make("div.mask-cursor", { hidden: true });
      this.slider = make("input", { type: "range", min: "1", max: "100", value: "22", title: "Brush size (Q, W, or Ctrl and wheel)", "aria-label": "Brush size" });
      this.brush = gesso.iconButton("brush", "Brush (B)", () => this.choose(false));
      this.eraser = gesso.iconButton("eraser", "Eraser (E)", () => this.choose(true));
      this.bar = make("div.mask-bar", { role: "toolbar", "aria-label": "Mask" },
        this.brush, this.eraser, this.slider,
        gesso.iconButton("undo", "Undo (Ctrl+Z)", () => this.undo()),
        gesso.iconButton("redo", "Redo (Ctrl+Shift+Z)", () => this.redo()),
        gesso.iconButton("invert", "Invert the mask", () => this.add({ kind: "invert" })),
        gesso.iconButton("clear", "Clear the mask", () => this.add({ kind: "clear" })));
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
        canvas.setPointerCapture(event.pointerId);
        this.stroke = { kind: "stroke", erasing: this.erasing || event.shiftKey, radius: this.radius, points: [this.at(event)] };
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
      pen.fillStyle = pen.strokeStyle = "#4a47dc";
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

    /** Puts the mask into the form; "" while nothing is painted. */
    tell() {
      const field = gesso.field(VALUE);
      if (field) gesso.type(field, this.exported());
    }

    exported() {
      const { width, height } = this.canvas;
      if (!this.done.length || !width) return "";
      const pixels = this.pen.getImageData(0, 0, width, height);
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
      const field = gesso.field(VALUE);
      if (field) gesso.type(field, "");
    }

    get isThere() {
      return this.canvas.isConnected;
    }

    get isUsed() {
      return Boolean(this.last) || this.bar.contains(document.activeElement);
    }
  }

  gesso.when(PICTURE, (image) => {
    painter?.bar.remove();
    painter = new Painter(image);
  });
  gesso.when("#img2img_inpaint_image", (box) => {
    new MutationObserver(() => {
      if (painter && !painter.isThere) {
        painter.remove();
        painter = null;
      }
    }).observe(box, { childList: true, subtree: true });
  });

  document.addEventListener("keydown", (event) => {
    if (!painter?.isThere || !painter.isUsed || /^(TEXTAREA|SELECT)$/.test(event.target.tagName)) return;
    const command = event.ctrlKey || event.metaKey;
    const act = command
      ? { z: () => (event.shiftKey ? painter.redo() : painter.undo()), y: () => painter.redo() }[event.key.toLowerCase()]
      : { b: () => painter.choose(false), e: () => painter.choose(true), q: () => painter.resize(-4), w: () => painter.resize(4) }[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
})();
