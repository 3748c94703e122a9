// @ts-check
// Models that lie in other programs' folders: offered on the page of whoever sits at the machine, used where they lie.
import { iconButton, make, when } from "./dom.js";
import { facts } from "./facts.js";
import * as live from "./live.js";
import { failed, say } from "./say.js";
import { told, url } from "./server.js";

/**
 * @typedef {object} Program What was found, or is in use.
 * @property {string} id
 * @property {string} program
 * @property {string} folder
 * @property {boolean} there Whether its folder is still there.
 * @property {Record<string, number>} models How many of each kind.
 * @property {boolean} complete Whether all were counted.
 * @property {boolean} settings Whether it has settings that can be taken over.
 */
/** @typedef {{state: string, here: boolean, kinds: Record<string, string>, found: Program[], used: Program[], problems: string[]}} Seen */

const HIDDEN = "gesso_not_brought";
const AGAIN = 700; // milliseconds until it is asked again what was found

/**
 * @param {string} path
 * @param {RequestInit} [options]
 * @returns {Promise<any>}
 */
async function ask(path, options) {
  const answer = await fetch(url(`internal/bring${path}`), options);
  const said = await told(answer);
  if (!answer.ok) throw new Error([said.detail, said.hint].filter(Boolean).join(" ") || answer.statusText);
  return said;
}

/**
 * @param {string} path
 * @param {unknown} body
 */
const tell = (path, body = {}) =>
  ask(path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });

/** @returns {Promise<Seen>} Once the look through the usual places is over. */
async function looked() {
  for (;;) {
    const seen = await ask("");
    if (seen.state !== "looking") return seen;
    await new Promise((wake) => setTimeout(wake, AGAIN));
  }
}

/** @param {Program} program */
function models(program) {
  const kinds = Object.entries(program.models).map(([kind, count]) => `${kind}: ${count}`).join(", ");
  return `${kinds || "no models"}${program.complete ? "" : ", and more"}`;
}

/** After a change, the lists of models are read anew. */
function refresh() {
  /** @type {HTMLElement | null} */ (document.querySelector("#refresh_sd_model_checkpoint"))?.click();
}

/** @param {Program} program */
async function take(program) {
  const { program: name } = await tell(`/take/${program.id}`);
  say(`The models of ${name} are used where they lie.`, "note", ["Undo", async () => {
    await ask(`/used/${program.id}`, { method: "DELETE" }).catch(failed);
    refresh();
  }]);
  refresh();
}

const hidden = () => new Set(JSON.parse(localStorage.getItem(HIDDEN) || "[]"));

/** @param {Program[]} programs */
function hide(programs) {
  localStorage.setItem(HIDDEN, JSON.stringify([...hidden(), ...programs.map(({ id }) => id)]));
}

const act = (/** @type {string} */ name, /** @type {() => unknown} */ click) =>
  make("button.bring-act", { type: "button", onclick: async (event) => {
    const pressed = /** @type {HTMLButtonElement} */ (event.currentTarget);
    pressed.disabled = true;
    try {
      await click();
    } catch (error) {
      failed(error);
    }
    pressed.disabled = false;
  } }, name);

/** @param {HTMLElement} above */
async function offer(above) {
  const known = hidden();
  const fresh = (await looked()).found.filter(({ id, models: some }) => !known.has(id) && Object.keys(some).length);
  const first = fresh[0];
  if (!first) return;
  const { program, folder } = first;
  const bar = make("section.bring-offer", { "aria-label": "Models of other programs" },
    make("p", {}, make("b", {}, `Models of ${program} were found.`), " ", make("span", { translate: "no" }, `${folder} (${models(first)})`)),
    make("div.bring-row", {},
      act("Use them where they lie", async () => {
        await take(first);
        bar.remove();
        await offer(above);
      }),
      act("Details", showAll),
      act("Not now", () => {
        hide(fresh);
        bar.remove();
      })));
  above.after(bar);
}

/** Everything that was found and is in use, in a window of its own. */
export async function showAll() {
  const list = make("div.bring-list");
  const box = make("dialog.bring-dialog", { "aria-label": "Models of other programs" },
    make("header", {}, make("h3", {}, "Models of other programs"), iconButton("close", "Close", () => { box.close(); })), list);
  box.addEventListener("close", () => box.remove());
  const changed = (/** @type {() => Promise<unknown>} */ what) => async () => {
    await what();
    refresh();
    await draw();
  };
  const entry = (/** @type {Program} */ one, /** @type {HTMLElement[]} */ ...acts) => make("div.bring-entry", { "data-id": one.id },
    make("p", {}, make("b", { translate: "no" }, one.program), " ", make("span", { translate: "no" }, one.folder)),
    make("p.bring-models", { translate: "no" }, one.there ? models(one) : ""), !one.there && make("p", {}, "Its folder is gone."),
    make("div.bring-row", {}, ...acts));
  const settings = (/** @type {Program} */ one) => act("Take over its settings", async () => {
    /** @type {{file: string, taken: string[], left: string[]}[]} */
    const came = await tell(`/settings/${one.id}`);
    const place = list.querySelector(`[data-id="${CSS.escape(one.id)}"]`);
    place?.append(...came.map(({ file, taken, left }) => make("details", {},
      make("summary", { translate: "no" }, `${file}: ${taken.length} ✓, ${left.length} ✗`),
      make("ul", { translate: "no" }, ...taken.map((each) => make("li", {}, `✓ ${each}`)), ...left.map((each) => make("li", {}, `✗ ${each}`))))));
  });
  const draw = async () => {
    const seen = await looked();
    const path = make("input", { type: "text", placeholder: "Another folder", "aria-label": "Another folder", maxlength: 4000 });
    const kind = make("select", { "aria-label": "What is in it" }, make("option", { value: "" }, "Found by its names"),
      ...Object.entries(seen.kinds).map(([value, title]) => make("option", { value }, title)));
    list.replaceChildren(
      make("h4", {}, "In use"),
      ...seen.used.map((one) => entry(one,
        act("Use no more", changed(() => ask(`/used/${one.id}`, { method: "DELETE" }))),
        ...(one.settings ? [settings(one)] : []))),
      make("p", { hidden: seen.used.length > 0 }, "None yet."),
      make("h4", {}, "Found on this machine"),
      ...seen.found.map((one) => entry(one, act("Use them where they lie", changed(() => tell(`/take/${one.id}`))))),
      make("p", { hidden: seen.found.length > 0 }, "Nothing else was found in the usual places."),
      ...seen.problems.map((problem) => make("p.bring-problem", { translate: "no" }, problem)),
      make("div.bring-row", {}, seen.here && path, seen.here && kind,
        seen.here && act("Use this folder", changed(() => tell("/folder", { path: path.value, kind: kind.value }))),
        act("Look again", async () => {
          await tell("/look");
          await draw();
        })));
  };
  document.body.append(box);
  box.showModal();
  list.append(make("p", {}, "Looking through the usual places…"));
  try {
    await draw();
  } catch (error) {
    box.close();
    failed(error);
  }
}

let offered = false;
/** @type {HTMLElement | null} */
let above = null;

/** To whoever sits at the machine, once, when the page has come to rest. */
function offerOnce() {
  if (offered || !above || !facts.at_home) return;
  offered = true;
  const place = above;
  setTimeout(() => offer(place).catch(() => {}), 1500); // An offer that cannot be made is no fault of what is being done.
}

when("#quicksettings_notice", (place) => {
  above = place;
  offerOnce();
});
live.read(() => offerOnce());
