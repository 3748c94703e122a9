// Cards of models under the prompts: a click writes what the model wants into the prompt, or takes it out again.
(() => {
  const { make } = gesso;
  const STEP = 60;
  const ROUTE = "internal/cards";
  const SORTS = ["path", "name", "date created", "date modified"];
  const panels = new Map();
  const lastBox = new Map();

  document.addEventListener("focusin", ({ target }) => {
    const box = target.closest?.("[id$=_prompt]");
    const match = box && /^(txt2img|img2img)_(negative_prompt|prompt)$/.exec(box.id);
    if (match) lastBox.set(match[1], match[2]);
  });

  async function ask(path) {
    const answer = await fetch(gesso.url(`${ROUTE}/${path}`));
    const found = await answer.json();
    if (!answer.ok) throw new Error(found.detail ?? found.message ?? answer.statusText);
    return found;
  }

  async function send(path, body) {
    const answer = await gesso.post(`${ROUTE}/${path}`, body);
    const found = await answer.json();
    if (!answer.ok) throw new Error(found.detail ?? found.message ?? answer.statusText);
    return found;
  }

  const above = (folder) => folder.split("/").slice(0, -1).join("/");
  const failed = (error) => gesso.say(error.message, "bad");
  const escaped = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");

  // --- prompts -------------------------------------------------------------------------------------------------------

  /** What finds a piece in a prompt: a tag with any weight and its words behind it, or a word that stands alone. */
  function pattern(piece) {
    const tag = /^<(\w+):([^:>]+):[^>]*>(.*)$/s.exec(piece);
    if (!tag) return new RegExp(`(^|[\\s,(])${escaped(piece)}(?=$|[\\s,):])`);
    const [, kind, name, words] = tag;
    return new RegExp(`(?<!\\s)\\s*<${kind}:${escaped(name)}(:[^>]*)?>(${escaped(words)})?`);
  }

  /** Writes the piece at the prompt's end, or takes it out where it stands already -> whether it stands there now. */
  function toggle(id, piece, wanted) {
    const field = gesso.field(id);
    if (!field || !piece) return false;
    const found = pattern(piece);
    const has = found.test(field.value);
    if (wanted ?? !has) {
      if (!has) gesso.type(field, field.value + (field.value && !/\s$/.test(field.value) ? " " : "") + piece);
      return true;
    }
    if (has) gesso.type(field, field.value.replace(found, (all, before) => (/^[\s,(]?$/.test(before ?? "x") ? before : "")).trimEnd());
    return false;
  }

  async function use(panel, card) {
    const found = await ask(`card/${card.id}/insertion`);
    if (found.checkpoint) {
      const answer = await gesso.post("sdapi/v1/options", { sd_model_checkpoint: found.checkpoint });
      if (!answer.ok) throw new Error("The checkpoint cannot be chosen.");
      gesso.showSettings();
      gesso.say(`Checkpoint: ${found.checkpoint}`);
      return;
    }
    const { tab } = panel;
    const box = panel.page === "embeddings" ? lastBox.get(tab) ?? "prompt" : "prompt";
    const on = toggle(`${tab}_${box}`, found.prompt);
    if (found.negative) toggle(`${tab}_negative_prompt`, found.negative, on);
    gesso.say(on ? `${card.name} added to the prompt.` : `${card.name} taken out of the prompt.`);
  }

  // --- panel ---------------------------------------------------------------------------------------------------------

  class Panel {
    constructor(place) {
      this.place = place;
      this.tab = place.dataset.tab;
      this.pages = JSON.parse(place.dataset.pages);
      this.page = "";
      this.wish = { search: "", folder: "", family: "", sort: "path", descending: false };
      this.tree = localStorage.getItem("gesso_cards_tree") === "1";
      this.strip = make("div.cards-strip", {},
        ...Object.entries(this.pages).map(([page, name]) =>
          make("button.cards-page", { type: "button", "data-page": page, "aria-expanded": "false", onclick: () => this.open(page) }, name)));
      this.body = make("div.cards-body", { hidden: true });
      place.replaceChildren(this.strip, this.body);
    }

    /** Opens a page of cards; the open one's button closes it. */
    open(page) {
      this.page = this.page === page ? "" : page;
      for (const button of this.strip.children) {
        button.setAttribute("aria-expanded", String(button.dataset.page === this.page));
      }
      this.body.hidden = !this.page;
      if (!this.page) return this.body.replaceChildren();
      this.wish = { ...this.wish, search: "", folder: "", family: "" };
      this.search = make("input.cards-search", {
        type: "search", placeholder: "Search", "aria-label": `Search ${this.pages[this.page]}`,
        oninput: () => this.later({ search: this.search.value }),
      });
      this.families = make("select", { "aria-label": "Base model", onchange: ({ target }) => this.ask({ family: target.value }) });
      const sort = make("select", { "aria-label": "Sort by", onchange: ({ target }) => this.ask({ sort: target.value }) },
        ...SORTS.map((name) => make("option", { value: name, selected: name === this.wish.sort }, name)));
      this.count = make("span.cards-count", { role: "status" });
      this.folders = make("nav.cards-folders", { "aria-label": "Folders" });
      this.grid = make("div.cards-grid");
      this.more = make("button.cards-more", { type: "button", onclick: () => this.ask({}, true) }, "Show more");
      this.body.replaceChildren(
        make("div.cards-bar", {}, this.search, this.families, sort,
          gesso.iconButton("sort", "Turn the order round", () => this.ask({ descending: !this.wish.descending })),
          gesso.iconButton("tree", "Folders as a tree or as buttons", () => this.turn()),
          gesso.iconButton("refresh", "Look again what is on disk", () => this.refresh()), this.count),
        make("div.cards-main", {}, this.folders, make("div.cards-side", {}, this.grid, this.more)));
      new IntersectionObserver(([seen]) => seen.isIntersecting && !this.more.hidden && this.ask({}, true)).observe(this.more);
      return this.ask({});
    }

    turn() {
      this.tree = !this.tree;
      localStorage.setItem("gesso_cards_tree", this.tree ? "1" : "0");
      this.ask({});
    }

    later(wish) {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.ask(wish), 200);
    }

    async refresh() {
      await gesso.post(`${ROUTE}/refresh/${this.page}`);
      this.ask({});
    }

    async ask(wish, further = false) {
      Object.assign(this.wish, wish);
      const turn = (this.turns = (this.turns ?? 0) + 1);
      const { page } = this;
      const start = further ? this.grid.childElementCount : 0;
      const query = new URLSearchParams({ ...this.wish, start, count: STEP });
      try {
        const found = await ask(`list/${page}?${query}`);
        if (turn === this.turns && page === this.page) this.show(found, start);
      } catch (error) {
        failed(error);
      }
    }

    show(found, start) {
      const cards = found.cards.map((card) => this.card(card));
      if (start) this.grid.append(...cards);
      else this.grid.replaceChildren(...cards);
      this.more.hidden = this.grid.childElementCount >= found.total;
      this.count.textContent = found.total === 1 ? "1 card" : `${found.total} cards`;
      if (!found.total) this.grid.replaceChildren(make("p.cards-none", {}, "Nothing here. New files show after a refresh."));
      this.families.hidden = !found.families.length;
      this.families.replaceChildren(...["", ...found.families].map((family) =>
        make("option", { value: family, selected: family === this.wish.family }, family || "Every base model")));
      this.folders.hidden = !found.folders.length;
      this.folders.classList.toggle("tree", this.tree);
      const parents = new Set(found.folders.map(above));
      const folders = this.tree ? found.folders.filter((folder) => !above(folder) || this.within(above(folder))) : found.folders;
      this.folders.replaceChildren(...["", ...folders].map((folder) =>
        make("button", {
          type: "button", title: folder || "All folders", "aria-pressed": String(folder === this.wish.folder),
          "aria-expanded": this.tree && folder && parents.has(folder) ? String(this.within(folder)) : null,
          style: this.tree && folder ? `padding-left: ${8 + 12 * folder.split("/").length}px` : null,
          onclick: () => this.ask({ folder }),
        }, folder ? (this.tree ? folder.split("/").at(-1) : folder) : "all")));
    }

    /** Whether the chosen folder is this one, or lies below it. */
    within(folder) {
      return this.wish.folder === folder || this.wish.folder.startsWith(`${folder}/`);
    }

    card(card) {
      const picture = card.picture
        ? make("img", { src: gesso.url(`${ROUTE}/card/${card.id}/picture?v=${card.picture}`), alt: "", loading: "lazy" })
        : make("span.no-picture", { "aria-hidden": "true" }, card.name.slice(0, 2));
      return make("article.card", { "data-id": card.id },
        make("button.card-use", {
          type: "button", title: card.fault || card.description || card.path, onclick: () => use(this, card).catch(failed),
        }, picture, make("b", {}, card.name), card.description && make("small", {}, card.description)),
        card.family && make("span.card-family", {}, card.family),
        card.fault && make("span.card-fault", { title: card.fault }, "broken"),
        make("div.card-tools", {},
          gesso.iconButton("info", `Metadata of ${card.name}`, () => this.details(card, metadata)),
          gesso.iconButton("edit", `Edit ${card.name}`, () => this.details(card, editor))));
    }

    async details(card, fill) {
      try {
        const found = await ask(`card/${card.id}`);
        const dialog = make("dialog.card-dialog", { "aria-label": found.name, onclose: () => dialog.remove() });
        dialog.append(
          make("header", {}, make("h3", {}, found.name), gesso.iconButton("close", "Close", () => dialog.close())),
          ...fill(found, this, dialog));
        dialog.addEventListener("mousedown", (event) => event.target === dialog && dialog.close());
        document.body.append(dialog);
        dialog.showModal();
      } catch (error) {
        failed(error);
      }
    }
  }

  // --- dialogs -------------------------------------------------------------------------------------------------------

  function rows(pairs) {
    return make("table.card-facts", {}, make("tbody", {}, ...pairs.map(([name, value]) =>
      make("tr", {}, make("th", { scope: "row" }, name),
        make("td", {}, typeof value === "object" ? JSON.stringify(value) : String(value))))));
  }

  function metadata(found) {
    const pairs = Object.entries(found.metadata);
    if (found.tags.length) pairs.push(["Words of its training set", found.tags.map(({ tag, count }) => `${tag} (${count})`).join(", ")]);
    return [pairs.length ? rows(pairs) : make("p", {}, "Its author wrote nothing into the file.")];
  }

  const FIELDS = {
    loras: ["description", "sd version", "activation text", "preferred weight", "negative text", "notes"],
    checkpoints: ["description", "vae", "notes"],
    embeddings: ["description", "notes"],
    hypernetworks: ["description", "preferred weight", "notes"],
  };
  const NAMES = {
    description: "Description", notes: "Notes", "sd version": "Base model", "activation text": "Activation text",
    "negative text": "Negative text", "preferred weight": "Preferred weight (0: the default)", vae: "Preferred VAE",
  };

  function field(name, value) {
    if (name === "sd version") {
      return make("select", { name }, ...["", "SD1", "SD2", "SDXL", "SD3", "Flux", "Unknown"].map((version) =>
        make("option", { value: version, selected: version === (value ?? "") }, version || "As found in the file")));
    }
    if (name === "preferred weight") {
      return make("input", { name, type: "number", min: 0, max: 2, step: 0.01, value: value ?? 0 });
    }
    if (name === "vae") return make("input", { name, type: "text", value: value ?? "" });
    const box = make("textarea", { name, rows: name === "notes" ? 4 : 2 });
    box.value = value ?? "";
    return box;
  }

  function editor(found, panel, dialog) {
    const { page, tab } = panel;
    const form = make("form", { method: "dialog" });
    for (const name of FIELDS[page]) form.append(make("label", {}, NAMES[name], field(name, found.said[name])));
    const words = form.elements["activation text"];
    if (words && found.tags.length) {
      const tags = found.tags.map(({ tag, count }) =>
        make("button.card-tag", { type: "button", title: `${count} times`, onclick: () => {
          const now = words.value.split(",").map((word) => word.trim()).filter(Boolean);
          words.value = (now.includes(tag) ? now.filter((word) => word !== tag) : [...now, tag]).join(", ");
        } }, tag));
      words.closest("label").after(make("div.card-tags", { "aria-label": "Words of its training set" }, ...tags));
    }
    const closeAnd = async (work) => {
      try {
        await work();
        dialog.close();
        panel.ask({});
      } catch (error) {
        failed(error);
      }
    };
    const save = make("button.primary", { type: "button", onclick: () => closeAnd(() => {
      const values = Object.fromEntries([...new FormData(form)].map(([name, value]) =>
        [name, name === "preferred weight" ? Number(value) : value]));
      return send(`card/${found.id}`, values);
    }) }, "Save");
    const replace = make("button", { type: "button", onclick: () => closeAnd(() => {
      const shown = document.querySelector(`#${tab}_results .stage .layer.on:not(.preview)`)?.getAttribute("src") ?? "";
      const picture = /pictures\/([^/?]+)/.exec(shown)?.[1];
      if (!picture) throw new Error("There is no picture in the gallery yet.");
      return send(`card/${found.id}/picture/${picture}`);
    }) }, "Take the gallery's picture");
    const facts = rows([["File", found.path], ["Size", `${(found.bytes / 2 ** 20).toFixed(1)} MB`],
      ["Modified", new Date(found.modified * 1000).toLocaleString()]]);
    return [facts, form, make("div.card-foot", {}, replace, save)];
  }

  gesso.when(".gesso-cards", (place) => panels.set(place.dataset.tab, new Panel(place)));
})();
