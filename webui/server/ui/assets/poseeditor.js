// @ts-check
// The pose editor of a ControlNet unit: the skeletons that a preprocessor has found, or those of a file, as points that
// can be dragged. What is made of them becomes the unit's picture, drawn by the server.
import { byId, field, iconButton, make, when } from "./dom.js";
import { download } from "./downloads.js";
import { carried, colour, completed, FINGERS, JOINTS, LIMBS, moved, read, withAnother, without, written } from "./poses.js";
import { failed } from "./say.js";
import { post, told } from "./server.js";
import { buttonsBelow, give, withoutPreprocessor } from "./unit.js";

/** @import { Joint, Part, Place, Poses } from "./poses.js" */

const SVG = "http://www.w3.org/2000/svg";
const STEP = 0.01;
const REACH = 26; // pixels around a joint in which a finger means it
/** @type {Record<string, Place>} */
const ARROWS = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] };
/** @type {Map<string, Poses>} What was last used, by the ids of the units. */
const used = new Map();

/**
 * @param {string} tag
 * @param {Record<string, string | number>} attributes
 */
function shape(tag, attributes) {
  const made = /** @type {SVGElement} */ (document.createElementNS(SVG, tag));
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  return made;
}

class PoseEditor {
  /**
   * @param {string} unit
   * @param {Poses} poses
   */
  constructor(unit, poses) {
    this.unit = unit;
    this.poses = poses;
    this.chosen = 0;
    /** @type {Poses[]} */
    this.before = [];
    this.sheet = shape("svg", { class: "pose-sheet", role: "group", "aria-label": "Poses" });
    this.sheet.addEventListener("pointerdown", (event) => this.press(event));
    const button = (/** @type {string} */ name, /** @type {() => unknown} */ click, kind = "button") =>
      make(/** @type {"button"} */ (kind), { type: "button", onclick: click }, name);
    this.one = [
      button("Remove person", () => this.change(without(this.poses, this.chosen))),
      button("Add missing joints", () => this.change(completed(this.poses, this.chosen))),
    ];
    this.back = button("Undo", () => this.undo());
    this.file = make("input", { type: "file", accept: ".json,application/json", hidden: true, "aria-label": "Pose as JSON",
      onchange: () => this.open() });
    /** @type {HTMLDialogElement} */
    this.dialog = make("dialog.unit-dialog", { "aria-label": "Pose editor", onclose: () => { this.dialog.remove(); } },
      make("header", {}, make("h3", {}, "Pose editor"), iconButton("close", "Close", () => this.dialog.close())),
      this.sheet,
      make("p.pose-help", {}, "Drag the joints; with Shift, the whole person. Delete hides a joint."),
      make("div.unit-tools", {},
        button("Add person", () => this.change(withAnother(this.poses))),
        ...this.one,
        this.back,
        button("Open JSON", () => this.file.click()),
        button("Save JSON", () => this.save()),
        button("Use as picture", () => this.use(), "button.primary"),
        this.file));
    this.dialog.addEventListener("keydown", (event) => this.key(event));
    document.body.append(this.dialog);
    this.draw();
    this.dialog.showModal();
  }

  /** @param {Poses} poses */
  change(poses) {
    this.before.push(this.poses);
    this.poses = poses;
    this.chosen = poses.people.length > (this.before.at(-1)?.people.length ?? 0)
      ? poses.people.length - 1
      : Math.max(Math.min(this.chosen, poses.people.length - 1), 0);
    this.draw();
  }

  undo() {
    this.poses = this.before.pop() ?? this.poses;
    this.chosen = Math.max(Math.min(this.chosen, this.poses.people.length - 1), 0);
    this.draw();
  }

  draw() {
    const { width, height, people } = this.poses;
    const focused = document.activeElement?.getAttribute("data-at");
    this.sheet.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.sheet.replaceChildren(shape("rect", { width, height }));
    people.forEach((_, which) => this.drawPerson(which));
    for (const button of this.one) button.disabled = !people.length;
    this.back.disabled = !this.before.length;
    if (focused) /** @type {SVGElement | null} */ (this.sheet.querySelector(`[data-at="${focused}"]`))?.focus();
  }

  /** @param {number} which */
  drawPerson(which) {
    const { width, height, people } = this.poses;
    const own = people[which];
    if (!own) return;
    const size = Math.max(width, height);
    const group = shape("g", { class: which === this.chosen ? "pose-person chosen" : "pose-person" });
    const line = (/** @type {Joint | undefined} */ a, /** @type {Joint | undefined} */ b, /** @type {string} */ stroke, /** @type {number} */ thick) => {
      if (!a || !b) return;
      const [x1, y1, x2, y2] = [a[0] * width, a[1] * height, b[0] * width, b[1] * height];
      group.append(shape("line", { x1, y1, x2, y2, stroke, "stroke-width": thick * size, "stroke-linecap": "round" }));
    };
    LIMBS.forEach(([a, b], at) => line(own.body[a], own.body[b], colour(at), 0.012));
    for (const hand of [own.left, own.right]) FINGERS.forEach(([a, b], at) => line(hand[a], hand[b], colour(at), 0.004));
    for (const part of /** @type {Part[]} */ (["face", "left", "right", "body"])) {
      own[part].forEach((joint, at) => {
        if (!joint) return;
        const name = part === "body" ? JOINTS[at] : part === "face" ? `point ${at + 1} of the face` : `point ${at + 1} of the ${part} hand`;
        const dot = shape("circle", {
          cx: joint[0] * width, cy: joint[1] * height, r: (part === "body" ? 0.013 : 0.005) * size,
          fill: part === "body" ? colour(at) : part === "face" ? "#fff" : "#00f",
          "data-at": `${which}.${part}.${at}`, "aria-label": `Person ${which + 1}: ${name}`, role: "button",
          tabindex: part === "body" ? 0 : -1,
        });
        dot.append(Object.assign(shape("title", {}), { textContent: name }));
        group.append(dot);
      });
    }
    this.sheet.append(group);
  }

  /**
   * Where the pointer is, in parts of the canvas.
   * @param {PointerEvent} event
   * @returns {Place}
   */
  place(event) {
    const box = this.sheet.querySelector("rect")?.getBoundingClientRect() ?? this.sheet.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  }

  /**
   * Whoever presses means the joint there; a finger, which covers it, the nearest one of a body.
   * @param {PointerEvent} event
   */
  press(event) {
    const pressed = event.target instanceof SVGElement ? event.target.closest("[data-at]") : null;
    const meant = pressed ?? (event.pointerType === "touch" ? this.nearest(event) : null);
    const [which, part, at] = meant?.getAttribute("data-at")?.split(".") ?? [];
    if (part) this.grab(event, Number(which), /** @type {Part} */ (part), Number(at));
  }

  /** @param {PointerEvent} event */
  nearest({ clientX, clientY }) {
    const away = (/** @type {Element} */ dot) => {
      const { left, top, width, height } = dot.getBoundingClientRect();
      return Math.hypot(left + width / 2 - clientX, top + height / 2 - clientY);
    };
    const near = [...this.sheet.querySelectorAll("[data-at*='.body.']")].filter((dot) => away(dot) <= REACH);
    return near.sort((a, b) => away(a) - away(b))[0] ?? null;
  }

  /**
   * @param {PointerEvent} event
   * @param {number} which
   * @param {Part} part
   * @param {number} at
   */
  grab(event, which, part, at) {
    if (event.button !== 0) return;
    event.preventDefault();
    this.sheet.setPointerCapture(event.pointerId); // The joint itself is drawn anew, and a finger would lose it.
    this.chosen = which;
    this.before.push(this.poses);
    let [x, y] = this.place(event);
    const follow = (/** @type {PointerEvent} */ moving) => {
      const to = this.place(moving);
      this.poses = moving.shiftKey
        ? carried(this.poses, which, [to[0] - x, to[1] - y])
        : moved(this.poses, which, part, at, to);
      [x, y] = to;
      this.draw();
    };
    const end = () => {
      removeEventListener("pointermove", follow);
      removeEventListener("pointerup", end);
      removeEventListener("pointercancel", end);
      if (this.before.at(-1) === this.poses) this.before.pop();
      this.draw();
    };
    addEventListener("pointermove", follow);
    addEventListener("pointerup", end);
    addEventListener("pointercancel", end);
    this.draw();
    /** @type {SVGElement | null} */ (this.sheet.querySelector(`[data-at="${which}.${part}.${at}"]`))?.focus();
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    if ((event.ctrlKey || event.metaKey) && event.key === "z") {
      event.preventDefault();
      this.undo();
      return;
    }
    const at = event.target instanceof SVGElement ? event.target.getAttribute("data-at") : null;
    const by = ARROWS[event.key];
    if (!at || !(by || event.key === "Delete" || event.key === "Backspace")) return;
    event.preventDefault();
    const [person, part, number] = at.split(".");
    const [which, joint] = [Number(person), Number(number)];
    const own = /** @type {Part} */ (part);
    const place = this.poses.people[which]?.[own][joint];
    if (!place) return;
    this.chosen = which;
    if (by && event.shiftKey) this.change(carried(this.poses, which, by));
    else this.change(moved(this.poses, which, own, joint, by ? [place[0] + by[0], place[1] + by[1]] : null));
  }

  async open() {
    const file = this.file.files?.[0];
    this.file.value = "";
    if (!file) return;
    try {
      this.change(read(await file.text()));
    } catch (error) {
      failed(error);
    }
  }

  save() {
    download("pose.json", new Blob([JSON.stringify(written(this.poses))], { type: "application/json" }));
  }

  async use() {
    try {
      const answer = await post("controlnet/render_openpose_json", [written(this.poses)]);
      const said = await told(answer);
      if (!answer.ok) throw new Error(said.detail || said.message || "The pose could not be drawn.");
      const bytes = Uint8Array.from(atob(said.images[0]), (letter) => letter.charCodeAt(0));
      used.set(this.unit, this.poses);
      byId(`${this.unit}_pose`)?.classList.add("used");
      this.dialog.close(); // What lies behind it cannot be reached before.
      await withoutPreprocessor(this.unit);
      give(this.unit, new File([bytes], "pose.png", { type: "image/png" }));
    } catch (error) {
      failed(error);
    }
  }
}

/**
 * What is edited first: what was found in the unit's picture, else what was last used, else somebody who stands.
 * @param {string} unit
 * @returns {Poses}
 */
function beginning(unit) {
  const found = byId(`${unit}_map`)?.querySelector("[data-poses]")?.getAttribute("data-poses");
  if (found) return read(found);
  const sides = ["width", "height"].map((side) => Number(field(`${unit.split("_")[0]}_${side}`)?.value) || 512);
  return used.get(unit) ?? withAnother({ width: sides[0] ?? 512, height: sides[1] ?? 512, people: [] });
}

when(".control-pictures > .control-map", (map) => {
  const unit = map.id.replace(/_map$/, "");
  const button = make("button.pose-edit", { type: "button", id: `${unit}_pose`, onclick: () => {
    try {
      new PoseEditor(unit, beginning(unit));
    } catch (error) {
      failed(error);
    }
  } }, "Edit pose");
  buttonsBelow(map).append(button);
});
