// The history: a page of thumbnails at a time, the chosen picture beside them. All texts are set as texts.
(() => {
  const { make, live } = gesso;
  const ROOT = "internal/history";
  const PAGE = 60;
  const state = {
    filters: { search: "", model: "", sampler: "", rating: "", favourite: "", since: "", until: "" },
    pictures: [], next: "", loading: false, round: 0, index: -1, picked: new Set(), stale: false, known: new Set(),
  };
  let place = null;
  const parts = {};

  // What the buttons that save, send and enlarge ask of every view.
  const view = {
    tab: "history",
    get pictures() {
      return state.pictures;
    },
    get index() {
      return state.index;
    },
    get current() {
      return state.pictures[state.index];
    },
    pick(index) {
      if (state.pictures.length) show((index + state.pictures.length) % state.pictures.length);
    },
    described: (picture) => (picture.prompt || "Picture").slice(0, 200),
    update() {},
  };

  async function ask(path, options) {
    const answer = await fetch(gesso.url(`${ROOT}/${path}`), options);
    const said = await answer.json().catch(() => ({}));
    if (!answer.ok) throw new Error(said.detail || "The server did not answer.");
    return said;
  }

  const tell = (path, body) =>
    ask(path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });

  function question(before) {
    const asked = new URLSearchParams({ limit: PAGE });
    for (const [name, value] of Object.entries(state.filters)) if (value) asked.set(name, value);
    if (before) asked.set("before", before);
    return `pictures?${asked}`;
  }

  /** Begins anew with what the filters say. */
  async function restart() {
    const round = ++state.round;
    state.loading = true;
    try {
      const page = await ask(question(""));
      if (round !== state.round) return;
      const shown = view.current?.id;
      Object.assign(state, { pictures: page.pictures, next: page.next, stale: false });
      state.pictures.forEach((picture) => state.known.add(picture.id));
      state.picked.clear();
      state.index = state.pictures.findIndex((picture) => picture.id === shown);
      parts.grid.replaceChildren(...state.pictures.map(card));
      draw();
    } catch (error) {
      gesso.say(error.message, "bad");
    } finally {
      if (round === state.round) state.loading = false;
    }
    more();
  }

  /** The next page, when its place comes near. */
  async function more() {
    if (state.loading || !state.next || !nearEnd()) return;
    const round = state.round;
    state.loading = true;
    try {
      const page = await ask(question(state.next));
      if (round !== state.round) return;
      state.next = page.next;
      const held = new Set(state.pictures.map((picture) => picture.id));
      const fresh = page.pictures.filter((picture) => !held.has(picture.id));
      state.pictures.push(...fresh);
      fresh.forEach((picture) => state.known.add(picture.id));
      parts.grid.append(...fresh.map(card));
    } catch (error) {
      state.next = "";
      gesso.say(error.message, "bad");
    } finally {
      if (round === state.round) state.loading = false;
    }
    requestAnimationFrame(more);
  }

  const open = () => Boolean(place?.offsetParent);
  const nearEnd = () => open() && parts.end.getBoundingClientRect().top < innerHeight + 900;

  /** Pictures that came since, put before the others. */
  async function refresh() {
    if (state.loading) {
      setTimeout(refresh, 300);
      return;
    }
    state.stale = false;
    const round = state.round;
    const page = await ask(question("")).catch(() => null);
    if (!page || round !== state.round) return;
    const held = new Set(state.pictures.map((picture) => picture.id));
    const fresh = page.pictures.filter((picture) => !held.has(picture.id));
    page.pictures.forEach((picture) => state.known.add(picture.id));
    if (!fresh.length) return;
    state.pictures.unshift(...fresh);
    if (state.index >= 0) state.index += fresh.length;
    parts.grid.prepend(...fresh.map(card));
    draw();
    choices();
  }

  function card(picture) {
    const name = (picture.prompt || picture.name).replace(/\s+/g, " ").slice(0, 160);
    return make("div.history-card", { "data-id": picture.id },
      make("button.history-open", { type: "button", title: name, "aria-label": name },
        make("img", { src: gesso.url(picture.thumb_url), alt: "", loading: "lazy", decoding: "async" })),
      make("label.history-pick", { title: "Select" },
        make("input", { type: "checkbox", "aria-label": `Select: ${name}` })),
      make("span.history-marks", { "aria-hidden": "true" }));
  }

  const cardOf = (id) => parts.grid.querySelector(`.history-card[data-id="${CSS.escape(id)}"]`);
  const marks = (picture) => `${picture.favourite ? "♥" : ""}${"★".repeat(picture.rating)}`;

  function draw() {
    state.pictures.forEach((picture, at) => {
      const one = parts.grid.children[at];
      if (!one) return;
      one.classList.toggle("shown", at === state.index);
      one.querySelector("input").checked = state.picked.has(picture.id);
      const text = marks(picture);
      const place = one.querySelector(".history-marks");
      if (place.textContent !== text) place.textContent = text;
    });
    parts.grid.classList.toggle("picking", state.picked.size > 0);
    parts.empty.hidden = state.pictures.length > 0;
    parts.empty.textContent = Object.values(state.filters).some(Boolean)
      ? "No picture is like that." : "Pictures that are made appear here, and those that lie in the output folders.";
    drawBar();
    drawDetail();
  }

  function show(index) {
    const before = state.index;
    state.index = index;
    draw();
    // In a narrow window the chosen picture stands above all others, which may be far from the one that was pressed.
    const above = getComputedStyle(parts.detail).position === "static";
    if (above && index >= 0) parts.detail.scrollIntoView({ block: "start" });
    else parts.grid.children[index >= 0 ? index : before]?.scrollIntoView({ block: "nearest" });
    if (index > state.pictures.length - 10) more();
    gesso.lightbox.follow(view);
  }

  // --- the picture that is looked at --------------------------------------------------------------------------------

  function drawDetail() {
    const picture = view.current;
    const key = picture ? JSON.stringify([picture.id, picture.rating, picture.favourite, picture.tags]) : "";
    if (parts.detail.dataset.shown === key) return;
    parts.detail.dataset.shown = key;
    parts.detail.hidden = !picture;
    place.classList.toggle("with-detail", Boolean(picture));
    parts.detail.replaceChildren();
    if (!picture) return;
    const stars = [1, 2, 3, 4, 5].map((star) =>
      make(`button.tool.glyph-star${star <= picture.rating ? ".on" : ""}`, { type: "button", "data-star": star,
        title: `${star} of 5 stars`, "aria-label": `${star} of 5 stars`, "aria-pressed": String(star <= picture.rating) }));
    const heart = gesso.iconButton("heart", "Favourite", () => judge(picture, { favourite: !picture.favourite }));
    heart.classList.toggle("on", picture.favourite);
    heart.setAttribute("aria-pressed", String(picture.favourite));
    const tags = make("input.history-tags", { type: "text", value: picture.tags.join(", "), placeholder: "Tags, with commas between",
      "aria-label": "Tags", maxlength: 1000,
      onchange: () => judge(picture, { tags: tags.value.split(",").map((tag) => tag.trim()).filter(Boolean) }) });
    const send = (icon, name, target) => gesso.iconButton(icon, name, () => gesso.byId(`history_send_to_${target}`)?.click());
    parts.detail.append(
      make("div.history-large", {},
        make("button.history-enlarge", { type: "button", title: "Show it large", "aria-label": "Show it large",
          onclick: () => gesso.lightbox.open(view) }, make("img", { src: gesso.url(picture.url), alt: view.described(picture),
            width: picture.width, height: picture.height })),
        gesso.iconButton("close", "Close", () => show(-1))),
      make("div.history-row", {}, heart, make("span.history-stars", {
        onclick: (event) => {
          const star = Number(event.target.dataset.star);
          if (star) judge(picture, { rating: star === picture.rating ? 0 : star });
        } }, ...stars)),
      make("div.history-row", {},
        send("text", "Send parameters to txt2img", "txt2img"),
        send("image", "Send picture and parameters to img2img", "img2img"),
        send("brush", "Send picture and parameters to Inpaint", "inpaint"),
        send("enlarge", "Send picture to Extras", "extras"),
        send("info", "Send to PNG Info", "pnginfo"),
        gesso.iconButton("save", "Save the picture as a file", () => gesso.results.save("history")),
        gesso.iconButton("bin", "Put it into the bin", () => remove([picture.id]))),
      tags,
      make("div.infotext", { tabindex: "0", "aria-label": "Infotext of the picture" },
        ...(picture.infotext ? gesso.results.coloured(picture.infotext) : ["This picture says nothing of itself."])),
      make("div.history-facts", {}, `${picture.name} · ${picture.width}×${picture.height} · ${new Date(picture.created * 1000).toLocaleString()}`),
      make("div.history-family", {},
        picture.parent && make("button.link", { type: "button", onclick: () => visit(picture.parent) }, "The picture it was made of"),
        make("button.link", { type: "button", onclick: () => children(picture) }, "Pictures made of it")));
  }

  async function judge(picture, opinion) {
    try {
      const told = await tell(`pictures/${picture.id}`, opinion);
      // The list may have been asked for anew since this picture was shown.
      const listed = state.pictures.filter((one) => one.id === picture.id);
      for (const one of [picture, ...listed]) Object.assign(one, told);
      draw();
    } catch (error) {
      gesso.say(error.message, "bad");
    }
  }

  /** Shows a picture that may not be in the list: it is put in front. */
  async function visit(id) {
    let at = state.pictures.findIndex((picture) => picture.id === id);
    if (at < 0) {
      try {
        const found = await ask(`pictures/${id}`);
        state.pictures.unshift(found);
        parts.grid.prepend(card(found));
        at = 0;
      } catch {
        gesso.say("That picture is gone.", "bad");
        return;
      }
    }
    show(at);
  }

  async function children(picture) {
    const found = await ask(`pictures?parent=${encodeURIComponent(picture.id)}&limit=${PAGE}`).catch(() => ({ pictures: [] }));
    if (!found.pictures.length) {
      gesso.say("No other picture was made of it.");
      return;
    }
    for (const child of found.pictures.reverse()) await visit(child.id);
  }

  async function remove(ids, forGood = false) {
    try {
      const { deleted, failed } = await tell("delete", { ids, for_good: forGood });
      const gone = new Set(deleted);
      const shown = view.current?.id;
      const next = gone.has(shown) ? state.pictures.slice(state.index).find((picture) => !gone.has(picture.id))?.id : shown;
      state.pictures = state.pictures.filter((picture) => !gone.has(picture.id));
      for (const id of deleted) {
        cardOf(id)?.remove();
        state.picked.delete(id);
      }
      state.index = state.pictures.findIndex((picture) => picture.id === next);
      draw();
      if (failed.length) {
        gesso.say(failed[0].message, "bad", forGood ? [] : ["Delete for good", () => remove(failed.map(({ id }) => id), true)]);
      } else {
        const many = deleted.length === 1 ? "The picture is" : `${deleted.length} pictures are`;
        gesso.say(forGood ? `${many} deleted.` : `${many} in the system's bin.`);
      }
      more();
    } catch (error) {
      gesso.say(error.message, "bad");
    }
  }

  // --- several ------------------------------------------------------------------------------------------------------

  function drawBar() {
    const count = state.picked.size;
    parts.bar.hidden = !count;
    if (!count) return;
    parts.count.textContent = `${count} selected`;
    parts.compare.disabled = count !== 2;
  }

  function chosen() {
    return state.pictures.filter((picture) => state.picked.has(picture.id));
  }

  const labels = (picture) => new Map([
    ["Prompt", picture.prompt],
    ["Negative prompt", picture.infotext.match(/(?:^|\n)Negative prompt: ([^]*)\n/)?.[1]],
    ...[...picture.infotext.split("\n").at(-1).matchAll(/([A-Z][\w -]{0,100}): ("[^"\\]*(?:\\.[^"\\]*)*"|[^,]*)/g)].map((match) => [match[1], match[2]])]);

  /** Two pictures over one another, with a border that moves. */
  function compare([after, before]) {
    const last = document.activeElement;
    const top = make("img", { src: gesso.url(after.url), alt: view.described(after), draggable: "false" });
    const slider = make("input", { type: "range", min: 0, max: 100, value: 50, step: 0.1, "aria-label": "How much of which picture is shown" });
    const line = make("span.compare-line");
    const cut = () => {
      top.style.clipPath = `inset(0 0 0 ${slider.value}%)`;
      line.style.left = `${slider.value}%`;
    };
    slider.addEventListener("input", cut);
    const [old, now] = [labels(before), labels(after)];
    const differ = [...new Set([...old.keys(), ...now.keys()])].filter((label) => old.get(label) !== now.get(label));
    const close = () => {
      box.remove();
      document.documentElement.classList.remove("lightbox-open");
      last?.focus?.({ preventScroll: true });
    };
    const box = make("div", { id: "compare", role: "dialog", "aria-modal": "true", "aria-label": "Two pictures compared", tabindex: "-1",
      onkeydown: (event) => {
        event.stopPropagation();
        if (event.key === "Escape") close();
      } },
      make("div.compare-stage", {}, make("img", { src: gesso.url(before.url), alt: view.described(before), draggable: "false" }), top, line, slider),
      make("dl.compare-facts", {}, ...differ.slice(0, 12).flatMap((label) => [
        make("dt", {}, label), make("dd", {}, `${old.get(label) || "–"} → ${now.get(label) || "–"}`)])),
      gesso.iconButton("close", "Close (Esc)", close));
    document.body.append(box);
    document.documentElement.classList.add("lightbox-open");
    cut();
    slider.focus({ preventScroll: true });
  }

  // --- the frame ----------------------------------------------------------------------------------------------------

  async function choices() {
    const found = await ask("choices").catch(() => null);
    if (!found) return;
    for (const name of ["model", "sampler"]) {
      const select = parts[name];
      const titles = { model: "Any model", sampler: "Any sampler" };
      select.replaceChildren(make("option", { value: "" }, titles[name]),
        ...found[name].map((value) => make("option", { value, selected: value === state.filters[name] }, value)));
    }
  }

  let typing = 0;
  function filter(name, value, wait = 0) {
    state.filters[name] = value;
    clearTimeout(typing);
    typing = setTimeout(restart, wait);
  }

  const midnight = (day, days = 0) => {
    if (!day) return "";
    const [year, month, date] = day.split("-").map(Number);
    const time = new Date(year, month - 1, date + days).getTime() / 1000;
    return time >= 0 ? String(time) : "";
  };

  async function look() {
    parts.look.disabled = true;
    try {
      let found = await tell("search", {});
      while (found.running) {
        parts.look.title = `Looking through the output folders: ${found.seen} files seen, ${found.new} pictures new`;
        await new Promise((wake) => setTimeout(wake, 1000));
        found = await ask("search");
      }
      gesso.say(found.new ? `${found.new} pictures were found in the output folders.` : "No picture is new in the output folders.");
      await refresh();
    } catch (error) {
      gesso.say(error.message, "bad");
    }
    parts.look.disabled = false;
    parts.look.title = LOOK;
  }
  const LOOK = "Look for new pictures in the output folders";

  function build(element) {
    place = element;
    const select = (name, title) => (parts[name] = make("select", { "aria-label": title, onchange: (event) => filter(name, event.target.value) }));
    const search = make("input", { type: "search", id: "history_search", placeholder: "Words of the prompt, tags…", "aria-label": "Search",
      oninput: (event) => filter("search", event.target.value, 200) });
    const hearts = gesso.iconButton("heart", "Favourites alone", () => {
      const on = !state.filters.favourite;
      hearts.classList.toggle("on", on);
      hearts.setAttribute("aria-pressed", String(on));
      filter("favourite", on ? "true" : "");
    });
    const day = (name, title, days) => make("input", { type: "date", title, "aria-label": title,
      onchange: (event) => filter(name, midnight(event.target.value, days)) });
    select("rating", "Rating");
    parts.rating.append(make("option", { value: "" }, "Any rating"),
      ...[1, 2, 3, 4, 5].map((stars) => make("option", { value: stars }, `${"★".repeat(stars)}${stars < 5 ? " or more" : ""}`)));
    parts.look = gesso.iconButton("refresh", LOOK, look);
    parts.grid = make("div.history-grid");
    parts.empty = make("p.history-empty", { hidden: true });
    parts.end = make("div.history-end");
    parts.detail = make("aside.history-detail", { hidden: true, "aria-label": "The chosen picture" });
    parts.count = make("span");
    parts.compare = gesso.iconButton("compare", "Compare two pictures", () => compare(chosen()));
    parts.bar = make("div.history-bar", { hidden: true, role: "toolbar", "aria-label": "Selected pictures" }, parts.count, parts.compare,
      gesso.iconButton("heart", "Make favourites", () => chosen().forEach((picture) => judge(picture, { favourite: true }))),
      gesso.iconButton("bin", "Put them into the bin", () => remove([...state.picked])),
      gesso.iconButton("close", "Select none", () => {
        state.picked.clear();
        draw();
      }));
    place.replaceChildren(
      make("div.history-filters", {}, search, select("model", "Model"), select("sampler", "Sampler"), parts.rating,
        make("span.history-days", {}, day("since", "From this day on"), "–", day("until", "Until this day", 1)), hearts, parts.look),
      parts.bar,
      make("div.history-panes", {}, make("div.history-list", {}, parts.grid, parts.empty, parts.end), parts.detail));
    parts.grid.addEventListener("click", (event) => {
      const id = event.target.closest(".history-card")?.dataset.id;
      const at = state.pictures.findIndex((picture) => picture.id === id);
      if (at < 0) return;
      if (event.target.closest(".history-pick")) {
        if (event.target.type !== "checkbox") return;
        if (event.target.checked) state.picked.add(id);
        else state.picked.delete(id);
        draw();
      } else if (event.ctrlKey || event.metaKey) {
        if (!state.picked.delete(id)) state.picked.add(id);
        draw();
      } else show(at);
    });
    parts.grid.addEventListener("dblclick", (event) => event.target.closest(".history-open") && view.current && gesso.lightbox.open(view));
    parts.grid.addEventListener("keydown", (event) => {
      const at = [...parts.grid.children].indexOf(event.target.closest(".history-card"));
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (at < 0 || event.altKey || event.ctrlKey || event.metaKey) return;
      if (step) parts.grid.children[at + step]?.querySelector("button").focus();
      else if (event.key === "Delete") remove([state.pictures[at].id]);
      else return;
      event.preventDefault();
    });
    parts.grid.addEventListener("error", (event) => {
      if (event.target.matches("img")) event.target.closest(".history-card").classList.add("gone");
    }, true);
    new IntersectionObserver(() => (state.stale && open() ? refresh() : more()), { rootMargin: "900px" }).observe(parts.end);
    gesso.results.register("history", view);
    choices();
    restart();
  }

  gesso.when(".gesso-history", build);

  // New pictures of a job that is seen in the stream come in by themselves.
  let due = 0;
  live.read((what) => {
    if (!place || (what !== "job" && what !== "state")) return;
    const fresh = live.jobs().some((job) => job.pictures.some((picture) => !state.known.has(picture.id)));
    if (!fresh) return;
    live.jobs().forEach((job) => job.pictures.forEach((picture) => state.known.add(picture.id)));
    state.stale = true;
    clearTimeout(due);
    due = setTimeout(() => open() && state.stale && refresh(), 250);
  });
})();
