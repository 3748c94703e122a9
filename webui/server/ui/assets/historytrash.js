// @ts-check
// The trash: what was deleted, to be restored or deleted for good.
import { iconButton, make } from "./dom.js";
import { ask, tell } from "./historyserver.js";
import { failed, say } from "./say.js";
import { url } from "./server.js";

/** @typedef {{id: string, since: number, prompt: string, width: number, height: number, thumb_url: string}} Trashed */

/** @param {number} count */
export const deleted = (count) => (count === 1 ? "The picture is deleted." : `${count} pictures are deleted.`);
/** @param {number} count */
export const trashed = (count) => (count === 1 ? "The picture is in the trash." : `${count} pictures are in the trash.`);
/** @param {number} count */
const restored = (count) => (count === 1 ? "The picture is restored." : `${count} pictures are restored.`);

/**
 * Brings pictures back.
 * @param {string[]} ids
 * @param {() => unknown} changed
 */
export async function restore(ids, changed) {
  try {
    /** @type {{restored: string[], failed: {message: string}[]}} */
    const said = await tell("trash/restore", { ids });
    if (said.failed[0]) say(said.failed[0].message, "bad");
    else say(restored(said.restored.length));
    changed();
  } catch (error) {
    failed(error);
  }
}

/**
 * The view of the trash, drawn into a place.
 * @param {HTMLElement} place
 * @param {() => unknown} changed
 */
export async function drawTrash(place, changed) {
  /** @type {{pictures: Trashed[], days: number}} */
  let trash;
  try {
    trash = await ask("trash");
  } catch (error) {
    failed(error);
    return;
  }
  const again = () => {
    changed();
    return drawTrash(place, changed);
  };
  const destroy = async (/** @type {string[]} */ ids) => {
    try {
      /** @type {{deleted: string[], failed: {message: string}[]}} */
      const said = await tell("trash/delete", { ids });
      if (said.failed[0]) say(said.failed[0].message, "bad");
      else say(deleted(said.deleted.length));
      await again();
    } catch (error) {
      failed(error);
    }
  };
  const card = (/** @type {Trashed} */ picture) => {
    const name = (picture.prompt || "Picture").slice(0, 160);
    return make("div.trash-card", { "data-id": picture.id },
      make("img", { src: url(picture.thumb_url), alt: name, title: name, loading: "lazy", decoding: "async" }),
      make("div.trash-acts", {},
        iconButton("undo", `Restore: ${name}`, () => restore([picture.id], again)),
        iconButton("bin", `Delete permanently: ${name}`, () => destroy([picture.id]))));
  };
  const all = trash.pictures.map(({ id }) => id);
  const empty = make("button.history-act", { type: "button", onclick: () => {
    if (empty.dataset.sure) destroy(all);
    else {
      // The second press counts: this cannot be undone.
      empty.dataset.sure = "yes";
      const count = all.length;
      empty.textContent = `Delete ${count} permanently?`;
    }
  } }, "Empty the trash");
  const { days } = trash;
  const kept = days ? `Pictures in the trash are deleted permanently after ${days} days.` : "";
  place.replaceChildren(all.length
    ? make("div.history-row", {}, make("button.history-act", { type: "button", onclick: () => restore(all, again) }, "Restore all"),
      empty, make("span.history-facts", {}, kept))
    : make("p.history-empty", {}, "The trash is empty.", " ", kept),
  make("div.trash-grid", {}, ...trash.pictures.map(card)));
}
