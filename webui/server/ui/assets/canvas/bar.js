// @ts-check
// The bars of a canvas: tools, what can be set of the one that is held, and the view. On a phone they lie at its foot.
import { iconButton, make } from "../dom.js";
import { TOOLS } from "./tools.js";

/** @typedef {import("./desk.js").Desk} Desk */
/** @typedef {import("./tools.js").Setting} Setting */
/** @typedef {import("./brush.js").Symmetry} Symmetry */

/** @type {[Symmetry, string][]} */
const SYMMETRIES = [["none", "No symmetry"], ["across", "Mirror left and right"], ["down", "Mirror top and bottom"], ["both", "Mirror both ways"]];

/**
 * A slider with its name and what it says now.
 * @param {string} name
 * @param {string} title
 * @param {[min: number, max: number, step: number]} range
 * @param {(value: number) => void} set
 */
function slider(name, title, [min, max, step], set) {
  const input = make("input", { type: "range", min, max, step, title, "aria-label": name });
  input.addEventListener("input", () => set(Number(input.value)));
  const said = make("output");
  const row = make("label.canvas-slider", { title }, make("span", {}, name), input, said);
  return { row, show: (/** @type {number} */ value, /** @type {string} */ text) => {
    input.value = String(value);
    said.textContent = text;
  } };
}

/**
 * A button that is pressed or is not.
 * @param {string} icon
 * @param {string} name
 * @param {() => void} click
 */
function switchButton(icon, name, click) {
  const button = iconButton(icon, name, click);
  return { button, show: (/** @type {boolean} */ on) => button.setAttribute("aria-pressed", String(on)) };
}

/** @param {number} share */
const percent = (share) => `${Math.round(share * 100)} %`;

/** @param {string} key */
const named = (key) => (key.length === 1 ? key.toUpperCase() : key);

/**
 * What can be set of the tool that is held.
 * @param {Desk} desk
 */
function options(desk) {
  const size = slider("Size", "Brush size (Q, W, or Ctrl+wheel)", [1, 100, 0.5], (value) => {
    desk.tip.percent = value;
    desk.point();
    desk.tell("tool");
  });
  const share = (/** @type {"hardness" | "opacity"} */ what, /** @type {string} */ name) => slider(name, name, [what === "opacity" ? 1 : 0, 100, 1], (value) => {
    desk.tip[what] = value / 100;
    desk.tell("tool");
  });
  const [hardness, opacity] = [share("hardness", "Hardness"), share("opacity", "Opacity")];
  const tolerance = slider("Tolerance", "How different colours may be that are filled", [0, 255, 1], (value) => {
    desk.settings.tolerance = value;
    desk.tell("tool");
  });
  const colour = make("input.swatch", { type: "color", value: desk.colour, title: "Colour", "aria-label": "Colour", oninput: () => {
    desk.colour = colour.value;
    if (desk.tool.name === "eraser" || desk.tool.name === "hand") desk.take("brush");
    desk.tell("tool");
  } });
  const symmetry = make("select", { title: "Symmetry", "aria-label": "Symmetry", onchange: () => {
    desk.settings.symmetry = /** @type {Symmetry} */ (symmetry.value);
    desk.redraw();
  } }, ...SYMMETRIES.map(([value, text]) => make("option", { value }, text)));
  const flip = (/** @type {"pressesSize" | "pressesOpacity" | "tilts" | "round" | "radial"} */ what) => () => {
    desk.settings[what] = !desk.settings[what];
    desk.tell("tool");
  };
  const pens = {
    pressesSize: switchButton("pensize", "A pen's pressure changes the size", flip("pressesSize")),
    pressesOpacity: switchButton("penopacity", "A pen's pressure changes the opacity", flip("pressesOpacity")),
    tilts: switchButton("pentilt", "A pen's tilt widens the stroke", flip("tilts")),
  };
  const round = switchButton("ellipse", "Ellipse", flip("round"));
  const radial = switchButton("radial", "Round gradient", flip("radial"));
  const does = make("select", { title: "What the outline does", "aria-label": "What the outline does", onchange: () => {
    desk.settings.does = does.value === "select" ? "select" : "fill";
    desk.tell("tool");
  } }, make("option", { value: "fill" }, "Fill"), make("option", { value: "select" }, "Select"));
  /** @type {[Setting, Element[]][]} */
  const parts = [
    ["colour", [colour]], ["does", [does]], ["round", [round.button]], ["radial", [radial.button]], ["size", [size.row]],
    ["hardness", [hardness.row]], ["opacity", [opacity.row]], ["tolerance", [tolerance.row]], ["symmetry", [symmetry]],
    ["pen", Object.values(pens).map(({ button }) => button)],
  ];
  const row = make("div.canvas-options", { role: "group", "aria-label": "Tool options" }, ...parts.flatMap(([, elements]) => elements));
  let penSeen = false;
  const show = () => {
    const { tip, settings, tool, layer } = desk;
    penSeen ||= desk.last?.pointerType === "pen";
    size.show(tip.percent, `${Math.max(1, Math.round(desk.brush.radius * 2))} px`);
    hardness.show(tip.hardness * 100, percent(tip.hardness));
    opacity.show(tip.opacity * 100, percent(tip.opacity));
    tolerance.show(settings.tolerance, String(settings.tolerance));
    colour.value = desk.colour;
    symmetry.value = settings.symmetry;
    does.value = settings.does;
    round.show(settings.round);
    radial.show(settings.radial);
    for (const [what, { show: shown }] of Object.entries(pens)) shown(settings[/** @type {keyof typeof pens} */ (what)]);
    const ownInk = layer?.kind === "mask" || layer?.kind === "region";
    for (const [setting, elements] of parts) {
      const offered = setting === "pen" ? penSeen && tool.settings.includes("pen")
        : setting === "colour" ? !ownInk && !["hand", "eraser"].includes(tool.name) : tool.settings.includes(setting);
      for (const element of elements) element.toggleAttribute("hidden", !offered);
    }
  };
  return { row, show, colour };
}

/**
 * The bars, below the stage.
 * @param {Desk} desk
 * @param {(Node | false)[]} more Buttons of the place where the canvas is.
 */
export function bars(desk, more = []) {
  const buttons = new Map(TOOLS.map((tool) =>
    [tool.name, iconButton(tool.icon, `${tool.title} (${named(tool.key)})`, () => desk.take(tool.name))]));
  const undo = iconButton("undo", "Undo (Ctrl+Z; a tap of two fingers)", () => desk.undo());
  const redo = iconButton("redo", "Redo (Ctrl+Shift+Z; a tap of three fingers)", () => desk.redo());
  const invert = iconButton("invert", "Invert the mask", () => desk.invert());
  const clear = iconButton("clear", "Clear the layer, or what of it is selected (Delete)", () => desk.clear());
  const unselect = iconButton("unselect", "Select nothing (Ctrl+D)", () => desk.deselect());
  const tools = make("div.canvas-tools", { role: "toolbar", "aria-label": "Canvas tools" }, ...buttons.values(),
    make("span.canvas-gap"), undo, redo, invert, unselect, ...more.filter((each) => each !== false), clear);
  const { row, show, colour } = options(desk);
  const bar = make("div.canvas-bar", {}, row, tools);
  const draw = () => {
    for (const [name, button] of buttons) {
      button.setAttribute("aria-pressed", String(name === desk.tool.name));
      const ownInk = desk.layer?.kind === "mask" || desk.layer?.kind === "region";
      button.toggleAttribute("hidden", name === "dropper" && ownInk);
    }
    undo.toggleAttribute("disabled", !desk.history.canUndo);
    redo.toggleAttribute("disabled", !desk.history.canRedo);
    invert.toggleAttribute("hidden", desk.layer?.kind === "raster" || desk.layer?.kind === "control");
    unselect.toggleAttribute("hidden", !desk.state.selection);
    show();
  };
  desk.read(draw);
  draw();
  return { bar, colour };
}

/**
 * How the picture is looked at: buttons in a corner of the stage.
 * @param {Desk} desk
 * @param {(Node | false)[]} more
 */
export function viewBar(desk, more = []) {
  const scale = make("button.canvas-scale", { type: "button", title: "Actual size (1)", "aria-label": "Actual size", onclick: () => desk.actual() });
  const corner = make("div.canvas-corner", {},
    iconButton("fit", "Fit the picture (R)", () => desk.fit()), scale, ...more.filter((each) => each !== false));
  const draw = () => { scale.textContent = percent(desk.view.scale * (devicePixelRatio || 1)); };
  desk.read((what) => what === "view" && draw());
  draw();
  return corner;
}
