// @ts-check
// What is not built yet answers as if it were.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { runInNewContext } from "node:vm";

const TEXT = readFileSync(new URL("../../webui/server/ui/assets/inline/late.js", import.meta.url), "utf-8");

/** @param {number} id @param {string} type @param {Record<string, unknown>} [props] */
const part = (id, type, props = {}) => ({ id, type, props });
/** @param {number} id @param {...any} children */
const place = (id, ...children) => ({ id, children });
const plain = (/** @type {unknown} */ value) => JSON.parse(JSON.stringify(value));

const PARTS = () => [
  part(1, "tabs"), part(2, "tabitem", { id: "a" }), part(3, "textbox", { value: "seen" }), part(4, "tabitem", { id: "b" }),
  part(5, "accordion", { open: false, value: null }), part(6, "slider", { value: 4 }), part(7, "textbox", { value: "x" }),
  part(8, "column", { elem_id: "body", elem_classes: ["late"] }), part(9, "checkbox", { value: false }),
  part(10, "accordion", { open: true }), part(11, "button", {}), part(12, "column", { elem_classes: ["late"] }), part(13, "html"),
];
const LAYOUT = () => place(0,
  place(1, place(2, place(3), place(8, place(9))), place(4, place(7), place(5, place(6)))), place(10, place(11)), place(12, place(13)));

function begun(parts = PARTS()) {
  /** @type {unknown[]} */
  const told = [];
  /** @type {unknown[]} */
  const asked = [];
  const document = new EventTarget();
  const Late = runInNewContext(`${TEXT}; LateParts`, { document, CustomEvent });
  const late = new Late((/** @type {unknown[]} */ ...event) => told.push(event), (/** @type {number} */ id) => asked.push(id));
  const [built, layout] = late.begin(parts, LAYOUT());
  return { late, told, asked, document, parts, built: plain(built).map((/** @type {any} */ one) => one.id), layout: plain(layout) };
}

test("a page begins with what can be seen of it", () => {
  const { built, layout } = begun();
  assert.deepEqual(built, [1, 2, 3, 4, 8, 10, 11, 12, 13]);
  assert.deepEqual(layout, place(0,
    place(1, place(2, place(3), place(8)), place(4)), place(10, place(11)), place(12, place(13))));
});

test("the chosen tab is the one that is built", () => {
  const parts = PARTS();
  Object.assign(parts[0]?.props ?? {}, { selected: "b" });
  assert.deepEqual(begun(parts).built, [1, 2, 4, 5, 7, 10, 11, 12, 13]);
});

test("what opens is built once, with what is closed in it still closed", () => {
  const { late } = begun();
  assert.equal(late.open(5), null, "what it stands in comes first");
  const [parts, layout] = plain(late.open(4));
  assert.deepEqual(parts.map((/** @type {any} */ one) => one.id), [4, 7, 5]);
  assert.deepEqual(layout, place(4, place(7), place(5)));
  assert.equal(late.open(4), null);
  assert.deepEqual(plain(late.open(5))[0].map((/** @type {any} */ one) => one.id), [5, 6]);
  assert.equal(late.open(10), null);
});

test("what is not built has a value, which changes, and is built with it", () => {
  const { late, told } = begun();
  assert.deepEqual(plain(late.state(7)), { value: "x" });
  assert.equal(late.state(3), undefined);
  assert.equal(late.change(3, { value: "y" }), false);
  assert.equal(late.change(7, { value: "y", loading_status: {} }), true);
  assert.equal(late.change(7, { value: "y", label: "Y" }), true);
  assert.equal(late.change(5, { open: true }), true);
  assert.deepEqual(told, [[7, "change", null], [5, "expand", null]]);
  const [parts] = plain(late.open(4));
  assert.deepEqual(parts[1], part(7, "textbox", { value: "y", label: "Y" }));
  assert.equal(late.state(7), undefined, "from now on the tree answers");
});

test("a column is asked for by its name", () => {
  const { asked, document } = begun();
  for (const detail of ["nothing", "body", undefined]) document.dispatchEvent(new CustomEvent("gesso:build", { detail }));
  assert.deepEqual(asked, [8]);
});
