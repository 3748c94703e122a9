// @ts-check
// Keys and wheel on a canvas: A1111's, as its settings say, and those that every painting program has.
import { facts } from "../facts.js";
import { TOOLS } from "./tools.js";

/** @typedef {import("./desk.js").Desk} Desk */
/** @typedef {{key: string, ctrlKey: boolean, metaKey: boolean, shiftKey: boolean, altKey: boolean}} Pressed */
/** @typedef {"Shift" | "Ctrl" | "Alt"} Modifier */
/**
 * What the settings say (A1111's names are `canvas_hotkey_...`).
 * @typedef {object} Keys
 * @property {string} zoom With it, the wheel zooms.
 * @property {string} adjust With it, the wheel changes the brush.
 * @property {string} shrink
 * @property {string} grow
 * @property {string} move Held, the pointer moves the picture.
 * @property {string} fullscreen
 * @property {string} reset
 * @property {string[]} disabled
 * @property {boolean} blurs Whether the canvas takes the keyboard from the prompt when the pointer comes.
 */

/**
 * @param {string} modifier
 * @param {Pressed | WheelEvent} event
 */
export const isHeld = (modifier, event) => (modifier === "Alt" ? event.altKey : modifier === "Shift" ? event.shiftKey
  : modifier === "Ctrl" ? event.ctrlKey || event.metaKey : false);

/**
 * What a key asks for; "": nothing. "tool:NAME" takes a tool.
 * @param {Pressed} event
 * @param {Keys} keys
 * @returns {string}
 */
export function asked(event, keys) {
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (event.ctrlKey || event.metaKey) {
    if (event.altKey) return "";
    if (key === "z") return event.shiftKey ? "redo" : "undo";
    if (key === "y") return "redo";
    if (key === "d") return "deselect";
    if (key === "i" && event.shiftKey) return "selectInverse";
    return "";
  }
  if (event.altKey) return "";
  const off = (/** @type {string} */ name) => keys.disabled.includes(name);
  const own = /** @type {[string, string, string][]} */ ([
    [keys.shrink, "shrink", "Hotkey shrink brush"], [keys.grow, "grow", "Hotkey enlarge brush"],
    [keys.fullscreen, "fullscreen", "Fullscreen"], [keys.reset, "fit", "Reset Zoom"], [keys.move, "pan", "Moving canvas"],
  ]).find(([wanted, , name]) => wanted.toLowerCase() === key && !off(name));
  if (own) return own[1];
  switch (key) {
    case " ": return "pan";
    case "1": return "actual";
    case "0": return "fit";
    case "+": case "=": return "in";
    case "-": return "out";
    case "[": return "shrink";
    case "]": return "grow";
    case "y": return "layers";
    case "Delete": case "Backspace": return "clear";
    case "Escape": return "leave";
  }
  const tool = TOOLS.find((each) => each.key === key);
  return tool ? `tool:${tool.name}` : "";
}

/** @returns {Keys} */
const keysNow = () => facts.canvas;

/** Whether Ctrl is really held: a pinch on a touchpad comes as a wheel with it. */
let ctrl = false;
addEventListener("keydown", (event) => { ctrl = event.ctrlKey || event.metaKey; }, true);
addEventListener("keyup", (event) => { ctrl = event.ctrlKey || event.metaKey; }, true);

/**
 * The wheel over the stage.
 * @param {Desk} desk
 * @param {() => boolean} isFull Whether the canvas fills the window, where the wheel alone zooms.
 */
export function wheels(desk, isFull) {
  desk.stage.addEventListener("wheel", (event) => {
    const keys = keysNow();
    const pinch = event.ctrlKey && !ctrl;
    const adjusts = !pinch && isHeld(keys.adjust, event) && !keys.disabled.includes("Adjust brush size");
    const zooms = pinch || (isHeld(keys.zoom, event) && !keys.disabled.includes("Zoom")) || (isFull() && !adjusts);
    if (!adjusts && !zooms) return;
    event.preventDefault();
    const turned = event.deltaY || event.deltaX; // Shift turns the wheel sideways.
    if (adjusts) desk.resize(turned < 0 ? 3 : -3);
    else desk.zoom(Math.exp(-Math.sign(turned) * Math.min(Math.abs(turned), pinch ? 40 : 100) * (pinch ? 0.01 : 0.0018)), desk.input.at(event));
  }, { passive: false });
}

/**
 * @param {Desk} desk
 * @param {string} wish
 * @param {Record<string, () => void>} more What the place of the canvas answers.
 * @returns {boolean} Whether anything came of it.
 */
export function obey(desk, wish, more) {
  /** @type {Record<string, () => void>} */
  const acts = {
    undo: () => desk.undo(), redo: () => desk.redo(), deselect: () => desk.deselect(), selectInverse: () => desk.selectInverse(),
    shrink: () => desk.resize(-4), grow: () => desk.resize(4), fit: () => desk.fit(), actual: () => desk.actual(),
    in: () => desk.zoom(1.25), out: () => desk.zoom(0.8), clear: () => desk.clear(), pan: () => desk.hold(true), ...more,
  };
  if (wish.startsWith("tool:")) desk.take(wish.slice(5));
  else if (acts[wish]) acts[wish]();
  else return false;
  return true;
}
