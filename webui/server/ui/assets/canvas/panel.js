// @ts-check
// The layers of a canvas, from the highest: which one is painted on, what is seen, and how it lies on what is below.
import { iconButton, make } from "../dom.js";
import { BLENDS, KINDS } from "./states.js";

/** @typedef {import("./desk.js").Desk} Desk */
/** @typedef {import("./pixels.js").Layer} Layer */
/** @typedef {import("./states.js").Kind} Kind */

/**
 * @param {Desk} desk
 * @param {Layer} layer
 */
function line(desk, layer) {
  const chosen = layer.id === desk.active;
  const name = make("button.canvas-layer-name", { type: "button", "aria-pressed": String(chosen), title: "Paint on this layer; double click renames it",
    onclick: () => desk.choose(layer.id) },
  layer.kind !== "raster" && make("i", { style: `background:${layer.kind === "control" ? "transparent" : layer.colour}` }), layer.name, make("small", {}, layer.base ? "" : KINDS[layer.kind]));
  name.addEventListener("dblclick", () => rename(desk, layer, name));
  const eye = iconButton(layer.visible ? "eye" : "eyeoff", layer.visible ? `Hide ${layer.name}` : `Show ${layer.name}`,
    () => desk.change(layer.id, { visible: !layer.visible }, layer.visible ? "Hide layer" : "Show layer"));
  const lock = iconButton(layer.locked ? "lock" : "lockoff", layer.locked ? `Unlock ${layer.name}` : `Lock ${layer.name}`,
    () => desk.change(layer.id, { locked: !layer.locked }, layer.locked ? "Unlock layer" : "Lock layer"));
  const item = make("li.canvas-layer", { "data-id": layer.id, draggable: "true" }, eye, name, lock);
  item.classList.toggle("chosen", chosen);
  item.addEventListener("dragstart", (event) => event.dataTransfer?.setData("text/gesso-layer", layer.id));
  item.addEventListener("dragover", (event) => {
    if (event.dataTransfer?.types.includes("text/gesso-layer")) event.preventDefault();
  });
  item.addEventListener("drop", (event) => {
    const from = event.dataTransfer?.getData("text/gesso-layer");
    if (!from) return;
    event.preventDefault();
    event.stopPropagation();
    const ids = desk.state.layers.map(({ id }) => id);
    desk.shift(from, ids.indexOf(layer.id) - ids.indexOf(from));
  });
  return item;
}

/**
 * @param {Desk} desk
 * @param {Layer} layer
 * @param {HTMLElement} place
 */
function rename(desk, layer, place) {
  const box = make("input.canvas-rename", { value: layer.name, "aria-label": "Name of the layer" });
  const end = () => {
    if (!box.isConnected) return;
    const name = box.value.trim();
    box.replaceWith(place);
    if (name && name !== layer.name) desk.change(layer.id, { name }, "Rename layer");
  };
  box.addEventListener("blur", end);
  box.addEventListener("keydown", (event) => {
    event.stopPropagation();
    if (event.key === "Enter" || event.key === "Escape") {
      if (event.key === "Escape") box.value = layer.name;
      end();
    }
  });
  place.replaceWith(box);
  box.select();
  box.focus();
}

/**
 * @param {Desk} desk
 * @param {readonly Kind[]} kinds The kinds of layers that mean something where the canvas is.
 * @param {Node[]} more
 */
export function layerPanel(desk, kinds, more = []) {
  const list = make("ul.canvas-layers", { "aria-label": "Layers" });
  const opacity = make("input", { type: "range", min: "0", max: "100", "aria-label": "Opacity of the layer", title: "Opacity of the layer" });
  opacity.addEventListener("change", () => desk.change(desk.active, { opacity: Number(opacity.value) / 100 }, "Opacity of layer"));
  const blend = make("select", { "aria-label": "Blend mode", title: "Blend mode" }, ...Object.keys(BLENDS).map((name) => make("option", { value: name }, name)));
  blend.addEventListener("change", () => desk.change(desk.active, { blend: blend.value }, "Blend mode"));
  const add = make("select", { "aria-label": "Add a layer", title: "Add a layer" }, make("option", { value: "" }, "Add layer"), ...kinds.map((kind) => make("option", { value: kind }, KINDS[kind])));
  add.addEventListener("change", () => {
    if (add.value) desk.add(/** @type {Kind} */ (add.value));
    add.value = "";
  });
  const up = iconButton("up", "Move the layer up", () => desk.shift(desk.active, 1));
  const down = iconButton("down", "Move the layer down", () => desk.shift(desk.active, -1));
  const twin = iconButton("copy", "Duplicate the layer", () => desk.twin());
  const bin = iconButton("bin", "Delete the layer", () => desk.remove(desk.active));
  const pick = iconButton("subject", "Select what is painted on the layer", () => desk.selectLayer());
  const panel = make("div.canvas-panel", { role: "group", "aria-label": "Layers of the canvas", hidden: true },
    make("div.canvas-panel-row", {}, add, ...more), list,
    make("div.canvas-panel-row", {}, blend, opacity),
    make("div.canvas-panel-row", {}, up, down, twin, pick, bin));
  const draw = () => {
    const { layer, state } = desk;
    list.replaceChildren(...[...state.layers].reverse().map((each) => line(desk, each)));
    if (!layer) return;
    opacity.value = String(layer.opacity * 100);
    blend.value = layer.blend;
    bin.toggleAttribute("disabled", state.layers.length < 2 || layer.base);
  };
  desk.read((what) => {
    if (what === "document" && !panel.hidden) draw();
  });
  const toggle = iconButton("stack", "Layers (Y)", () => {
    panel.hidden = !panel.hidden;
    toggle.setAttribute("aria-pressed", String(!panel.hidden));
    if (!panel.hidden) draw();
  });
  toggle.setAttribute("aria-pressed", "false");
  return { panel, toggle };
}
