// @ts-check
// What nobody has seen of the page is not built: the insides of folds, of tabs and of columns with the class `late`.
// It stands in Gradio's own script (`late.py`), whose tree of components asks here before it looks for one of them.

/** @typedef {{id: number, children?: Place[]}} Place */
/** @typedef {{id: number, type: string, props: Record<string, any>}} Part */

// eslint-disable-next-line no-unused-vars -- Gradio's tree makes one
class LateParts {
  /** @type {Map<number, Part>} What is not built yet, as Gradio's settings have it. */
  #unbuilt = new Map();
  /** @type {Map<number, {own: Part, children: Place[]}>} What is closed, and what comes into it. */
  #closed = new Map();
  #dispatch;

  /**
   * @param {(id: number, event: string, data: unknown) => void} dispatch
   * @param {(id: number) => void} build
   */
  constructor(dispatch, build) {
    this.#dispatch = dispatch;
    document.addEventListener("gesso:build", (event) => {
      const wanted = event instanceof CustomEvent && event.detail;
      for (const [id, { own }] of [...this.#closed]) if (own.props.elem_id === wanted) build(id);
    });
  }

  /**
   * What a page begins with, of all components and their places.
   * @param {Part[]} parts
   * @param {Place} layout
   * @returns {[Part[], Place]}
   */
  begin(parts, layout) {
    this.#unbuilt.clear();
    this.#closed.clear();
    const known = new Map(parts.map((part) => [part.id, part]));
    const children = this.#seen(layout, undefined, known, false);
    return [parts.filter(({ id }) => !this.#unbuilt.has(id)), { ...layout, children }];
  }

  /**
   * The places in one, those within closed ones left out.
   * @param {Place} place
   * @param {Part | undefined} own
   * @param {Map<number, Part>} known
   * @param {boolean} late Whether the place itself is within a closed one.
   * @returns {Place[]}
   */
  #seen(place, own, known, late) {
    const chosen = own?.props.selected ?? LateParts.#tab(known.get(place.children?.[0]?.id ?? 0));
    return (place.children ?? []).map((/** @type {Place} */ one) => {
      const part = known.get(one.id);
      if (!part) return one;
      if (late) this.#unbuilt.set(one.id, part);
      const closes = one.children?.length && LateParts.#closes(part, own?.type === "tabs" ? chosen : undefined);
      const children = this.#seen(one, part, known, late || Boolean(closes));
      if (!closes) return { ...one, children };
      this.#closed.set(one.id, { own: part, children });
      return { ...one, children: [] };
    });
  }

  /** @param {Part | undefined} tab */
  static #tab(tab) {
    return tab?.props.id ?? tab?.id;
  }

  /**
   * @param {Part} part
   * @param {unknown} chosen The tab that is open, of those that it is one of.
   */
  static #closes({ id, type, props }, chosen) {
    if (type === "accordion") return props.open === false;
    if (type === "tabitem") return chosen !== undefined && !props.render_children && (props.id ?? id) !== chosen;
    return type === "column" && Boolean(props.elem_id) && Boolean(props.elem_classes?.includes("late"));
  }

  /**
   * What comes into something that is opened: all parts, itself the first, and their places; null: it is there already.
   * @param {number} id
   * @returns {[Part[], Place] | null}
   */
  open(id) {
    const found = this.#closed.get(id);
    if (!found || this.#unbuilt.has(id)) return null;
    this.#closed.delete(id);
    const parts = [found.own];
    const gather = (/** @type {Place} */ place) => {
      const part = this.#unbuilt.get(place.id);
      if (part) parts.push(part);
      this.#unbuilt.delete(place.id);
      place.children?.forEach(gather);
    };
    found.children.forEach(gather);
    return [parts, { id, children: found.children }];
  }

  /**
   * What an event gets of a component that is not built.
   * @param {number} id
   */
  state(id) {
    const part = this.#unbuilt.get(id);
    return part && { value: part.props.value };
  }

  /**
   * Change a component that is not built: it will be built so.
   * @param {number} id
   * @param {Record<string, any>} changes
   * @returns {boolean} Whether it is one.
   */
  change(id, changes) {
    const part = this.#unbuilt.get(id);
    if (!part) return false;
    const { value, open } = part.props;
    const { loading_status: _, ...told } = changes;
    Object.assign(part.props, told);
    if ("value" in told && JSON.stringify(told.value) !== JSON.stringify(value)) this.#dispatch(id, "change", null);
    if (part.type === "accordion" && "open" in told && told.open !== open) {
      this.#dispatch(id, told.open ? "expand" : "collapse", null);
    }
    return true;
  }
}
