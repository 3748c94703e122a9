// @ts-check
// A text is said in another language: as it stands, by its pattern, and in parts.
import assert from "node:assert/strict";
import { test } from "node:test";

import { speaker } from "../../webui/server/ui/assets/words.js";

const say = speaker({
  "Seed": "Startwert", "waiting": "wartet", "{count} selected": "{count} gewählt", "{done} of {count}": "{count}, davon {done}",
  "Saved in {folder}.": "In {folder} gespeichert.", "There is no {name} here.": "{name} fehlt hier.",
  "{name} cannot be used with {sampler}.": "{sampler} verträgt {name} nicht.", "Choose another one.": "Nimm etwas anderes.",
  "Soft inpainting": "Weiches Inpainting", "{count} of {total} selected": "{count} von {total} gewählt", "a.b": "punkt",
  "{prompt} stands for it.": "{prompt} steht dafür.",
});

test("a text that is in the table is said, with the spaces around it", () => {
  assert.equal(say("Seed"), "Startwert");
  assert.equal(say("  Seed\n"), "  Startwert\n");
  assert.equal(say("Soft\n   inpainting"), "Weiches Inpainting");
  assert.equal(say("seed"), undefined);
  assert.equal(say("axb"), undefined);
  assert.equal(say(""), undefined);
});

test("values stay, in whatever order", () => {
  assert.equal(say("3 selected"), "3 gewählt");
  assert.equal(say("3 of 7 selected"), "3 von 7 gewählt");
  assert.equal(say("2 of 4"), "4, davon 2");
  assert.equal(say("Portrait of a cat"), undefined);
  assert.equal(say("Saved in /a/{x}/$1."), "In /a/{x}/$1 gespeichert.");
  assert.equal(say("{prompt} stands for it."), "{prompt} steht dafür.");
});

test("a value of several words is said if it is a text; a single word may be a name", () => {
  assert.equal(say("Soft inpainting cannot be used with DDIM."), "DDIM verträgt Weiches Inpainting nicht.");
  assert.equal(say("There is no Seed here."), "Seed fehlt hier.");
});

test("sentences and facts in a line are said one by one", () => {
  assert.equal(say("There is no cat here. Choose another one."), "cat fehlt hier. Nimm etwas anderes.");
  assert.equal(say("Unknown words. Choose another one."), "Unknown words. Nimm etwas anderes.");
  assert.equal(say("txt2img · 2 of 4 · waiting"), "txt2img · 4, davon 2 · wartet");
});
