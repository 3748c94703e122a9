// @ts-check
// What the history asks in a window of its own: albums, exports, what the pictures take.
import { iconButton, make } from "./dom.js";
import { download } from "./downloads.js";
import { sized } from "./historyquery.js";
import { ask, fetched, tell } from "./historyserver.js";
import { failed, say } from "./say.js";

/** @typedef {{id: number, name: string, count: number, cover: string}} Album */

/**
 * A window over the page that goes by Escape, a button, or a press beside it.
 * @param {string} title
 * @param {(close: () => void) => Node[]} content
 */
function dialog(title, content) {
  const box = make("dialog.history-dialog", { "aria-label": title });
  const close = () => box.close();
  box.addEventListener("close", () => box.remove());
  box.addEventListener("click", (event) => {
    if (event.target === box) close();
  });
  box.append(make("header", {}, make("h3", {}, title), iconButton("close", "Close", close)), ...content(close));
  document.body.append(box);
  box.showModal();
  return box;
}

/**
 * Puts pictures into an album, which may be a new one.
 * @param {string[]} ids
 * @param {() => unknown} changed
 */
export async function chooseAlbum(ids, changed) {
  /** @type {Album[]} */
  let albums;
  try {
    albums = await ask("albums");
  } catch (error) {
    failed(error);
    return;
  }
  const count = ids.length;
  dialog(count === 1 ? "Add the picture to an album" : `Add ${count} pictures to an album`, (close) => {
    const into = async (/** @type {Album} */ album) => {
      try {
        const { added } = await tell(`albums/${album.id}/pictures`, { add: ids });
        const { name } = album;
        say(added === 1 ? `1 picture was added to ${name}.` : added ? `${added} pictures were added to ${name}.` : `It is in ${name} already.`);
        close();
        changed();
      } catch (error) {
        failed(error);
      }
    };
    const name = make("input", { type: "text", placeholder: "New album", "aria-label": "Name of a new album", maxlength: 100 });
    const form = make("form.history-row", {
      onsubmit: async (event) => {
        event.preventDefault();
        try {
          await into(await tell("albums", { name: name.value }));
        } catch (error) {
          failed(error);
        }
      } }, name, make("button.history-act", { type: "submit" }, "Create and add"));
    return [
      make("div.history-albums", {}, ...albums.map((album) =>
        make("button.history-act", { type: "button", onclick: () => into(album) }, `${album.name} (${album.count})`))),
      form,
    ];
  }).querySelector("input")?.focus();
}

/**
 * Renames an album, or deletes it.
 * @param {Album} album
 * @param {(gone: boolean) => unknown} changed
 */
export function editAlbum(album, changed) {
  dialog("Album", (close) => {
    const name = make("input", { type: "text", value: album.name, "aria-label": "Name", maxlength: 100 });
    const done = async (/** @type {() => Promise<unknown>} */ act, /** @type {boolean} */ gone) => {
      try {
        await act();
        close();
        changed(gone);
      } catch (error) {
        failed(error);
      }
    };
    return [
      make("form.history-row", {
        onsubmit: (event) => {
          event.preventDefault();
          done(() => tell(`albums/${album.id}`, { name: name.value }), false);
        } }, name, make("button.history-act", { type: "submit" }, "Rename")),
      make("div.history-row", {}, make("button.history-act", { type: "button",
        onclick: () => done(() => ask(`albums/${album.id}`, { method: "DELETE" }), true) }, "Delete the album"),
      make("span.history-facts", {}, "Its pictures stay in the history.")),
    ];
  });
}

/** @param {string[]} ids */
export function exportAsZip(ids) {
  const count = ids.length;
  dialog(count === 1 ? "Export the picture" : `Export ${count} pictures`, (close) => {
    const act = (/** @type {string} */ title, /** @type {boolean} */ metadata) =>
      make("button.history-act", { type: "button", onclick: async (event) => {
        const pressed = /** @type {HTMLButtonElement} */ (event.currentTarget);
        pressed.disabled = true;
        try {
          download("pictures.zip", await fetched("export", { ids, metadata }));
          close();
        } catch (error) {
          pressed.disabled = false;
          failed(error);
        }
      } }, title);
    return [
      make("p.history-facts", {}, "A zip file. With metadata, whoever has a picture can read its prompt and settings."),
      make("div.history-row", {}, act("With metadata", true), act("Without metadata", false)),
    ];
  });
}

export async function showStorage() {
  try {
    /** @type {{model: string, count: number, bytes: number}[]} */
    const stored = await ask("storage");
    const sum = (/** @type {"count" | "bytes"} */ what) => stored.reduce((total, one) => total + one[what], 0);
    const line = (/** @type {string[]} */ ...cells) => make("tr", {}, ...cells.map((cell) => make("td", {}, cell)));
    dialog("Storage", () => [
      make("div.history-storage", { tabindex: "0", role: "region", "aria-label": "Storage by checkpoint" }, make("table", {},
        make("thead", {}, make("tr", {}, ...["Checkpoint", "Pictures", "Size"].map((title) => make("th", { scope: "col" }, title)))),
        make("tbody", {}, ...stored.map((one) => line(one.model || "Unknown", String(one.count), sized(one.bytes)))),
        make("tfoot", {}, line("Total", String(sum("count")), sized(sum("bytes")))))),
    ]);
  } catch (error) {
    failed(error);
  }
}
