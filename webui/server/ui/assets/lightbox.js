// The picture over the whole window: arrows, zoom by wheel or double click, drag, save, Esc.
(() => {
  const { make } = gesso;
  let view = null;
  let box = null;
  let image = null;
  let counter = null;
  let shown = "";
  let before = null;
  let scale = 1;
  let x = 0;
  let y = 0;
  const pointers = new Map();
  let dragged = false;

  function build() {
    image = make("img", { alt: "", draggable: "false" });
    counter = make("span.counter", { "aria-live": "polite" });
    box = make("div", { id: "lightbox", role: "dialog", "aria-modal": "true", "aria-label": "Picture, enlarged", tabindex: "-1" },
      image,
      make("div.lightbox-bar", {},
        counter,
        gesso.iconButton("zoom", "Actual size (z)", actual),
        gesso.iconButton("save", "Save (s)", () => gesso.results.save(view.tab)),
        gesso.iconButton("close", "Close (Esc)", close)),
      make("button.side.prev.glyph-left", { type: "button", title: "Previous (←)", "aria-label": "Previous", onclick: () => step(-1) }),
      make("button.side.next.glyph-right", { type: "button", title: "Next (→)", "aria-label": "Next", onclick: () => step(1) }));
    box.addEventListener("click", (event) => {
      if (event.target === box || (event.target === image && scale === 1 && !dragged)) close();
    });
    box.addEventListener("wheel", (event) => {
      event.preventDefault();
      zoomAt(event.clientX, event.clientY, Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.0015)));
    }, { passive: false });
    image.addEventListener("pointerdown", (event) => {
      dragged = false;
      pointers.set(event.pointerId, event);
      image.setPointerCapture(event.pointerId);
    });
    image.addEventListener("pointermove", (event) => {
      const last = pointers.get(event.pointerId);
      if (!last) return;
      if (pointers.size === 2) {
        const [other] = [...pointers.values()].filter((pointer) => pointer.pointerId !== event.pointerId);
        const gap = (pointer) => Math.hypot(pointer.clientX - other.clientX, pointer.clientY - other.clientY);
        zoomAt((event.clientX + other.clientX) / 2, (event.clientY + other.clientY) / 2, gap(event) / Math.max(gap(last), 1));
        dragged = true;
      } else if (scale > 1) {
        x += event.clientX - last.clientX;
        y += event.clientY - last.clientY;
        dragged = true;
        place();
      } else if (Math.abs(event.clientX - last.clientX) > 60 && event.pointerType !== "mouse") {
        step(event.clientX < last.clientX ? 1 : -1);
        dragged = true;
        pointers.clear();
        return;
      } else return;
      pointers.set(event.pointerId, event);
    });
    for (const end of ["pointerup", "pointercancel"]) image.addEventListener(end, (event) => pointers.delete(event.pointerId));
    document.body.append(box);
  }

  function place() {
    image.style.transform = scale === 1 ? "" : `translate(${x}px, ${y}px) scale(${scale})`;
    box.classList.toggle("zoomed", scale !== 1);
  }

  function zoomAt(px, py, factor) {
    const next = Math.min(Math.max(scale * factor, 1), 24);
    const cx = px - innerWidth / 2;
    const cy = py - innerHeight / 2;
    x = cx - ((cx - x) * next) / scale;
    y = cy - ((cy - y) * next) / scale;
    scale = next;
    if (scale === 1) x = y = 0;
    place();
  }

  function actual() {
    if (scale !== 1) return reset();
    const factor = image.naturalWidth / (image.clientWidth || 1) / devicePixelRatio;
    zoomAt(innerWidth / 2, innerHeight / 2, factor > 1.05 ? factor : 2);
  }

  function reset() {
    scale = 1;
    x = y = 0;
    place();
  }

  function step(by) {
    view.pick(view.index + by);
  }

  function draw() {
    const picture = view.current;
    if (!picture) return close();
    if (picture.id !== shown) {
      shown = picture.id;
      reset();
      image.src = gesso.url(picture.url);
      image.alt = view.described(picture);
    }
    const many = view.pictures.length > 1;
    counter.textContent = many ? `${Math.min(view.index, view.pictures.length - 1) + 1} / ${view.pictures.length}` : "";
    for (const side of box.querySelectorAll(".side")) side.hidden = !many;
  }

  function close() {
    if (!view) return;
    view = null;
    shown = "";
    box.classList.remove("open");
    document.documentElement.classList.remove("lightbox-open");
    before?.focus?.({ preventScroll: true });
  }

  gesso.lightbox = {
    open(from) {
      if (!box) build();
      before = document.activeElement;
      view = from;
      box.classList.add("open");
      document.documentElement.classList.add("lightbox-open");
      draw();
      box.focus({ preventScroll: true });
    },
    follow(changed) {
      if (view === changed) draw();
    },
    get isOpen() {
      return view !== null;
    },
  };

  document.addEventListener("keydown", (event) => {
    if (!view || event.ctrlKey || event.metaKey || event.altKey) return;
    const act = {
      Escape: close,
      ArrowLeft: () => step(-1),
      ArrowRight: () => step(1),
      z: actual,
      s: () => gesso.results.save(view.tab),
      "+": () => zoomAt(innerWidth / 2, innerHeight / 2, 1.4),
      "-": () => zoomAt(innerWidth / 2, innerHeight / 2, 1 / 1.4),
    }[event.key];
    if (!act) return;
    event.preventDefault();
    event.stopPropagation();
    act();
  }, true);
})();
