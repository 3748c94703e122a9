// @ts-check
// The buttons under a gallery that keep pictures: in the folder of the Save button, as a zip file, by the browser; and
// the one that opens the folder.
import { make } from "./dom.js";
import { download, named, nothing, save } from "./downloads.js";
import { facts } from "./facts.js";
import { failed, say } from "./say.js";
import { post, told, url } from "./server.js";
import { zip } from "./zip.js";

/** @import { Picture } from "./stream.js" */

const SAVED = "The server could not save the pictures.";

/**
 * Saves the picture that is picked, or all, as the settings say, in the folder on the server; whoever sits elsewhere
 * gets them as well.
 * @param {Picture | undefined} current
 * @param {readonly Picture[]} pictures
 * @param {HTMLElement | undefined} place Where it is said.
 */
export async function keep(current, pictures, place) {
  const wanted = facts.saves_one && current ? [current] : [...pictures];
  if (!wanted.length) {
    nothing();
    return;
  }
  const answer = await post("internal/pictures/keep", { ids: wanted.map(({ id }) => id) });
  const said = await told(answer);
  if (!answer.ok) {
    say(said.errors || said.detail || SAVED, "bad", ["Save with the browser", () => byBrowser(wanted)]);
    return;
  }
  if (place) show(place, said, wanted);
  else say(`Saved in ${said.folder}.`);
  if (!facts.at_home) await byBrowser(wanted);
}

/** @param {readonly Picture[]} pictures */
async function byBrowser(pictures) {
  for (const picture of pictures) await save(picture);
}

/**
 * @param {HTMLElement} place
 * @param {{folder: string, files: {id: string, name: string}[], remarks: string[]}} kept
 * @param {readonly Picture[]} pictures
 */
function show(place, { folder, files, remarks }, pictures) {
  const links = files.map(({ id, name }) => {
    const picture = pictures.find((each) => each.id === id);
    return make("a", { href: picture && url(picture.url), download: name, title: "Save with the browser" }, name);
  });
  place.hidden = false;
  place.replaceChildren(make("span", {}, `Saved in ${folder}: `), ...links,
    ...remarks.map((remark) => make("p.kept-remark", {}, remark)));
}

/**
 * Saves all pictures, and a zip file of them, which the browser gets.
 * @param {readonly Picture[]} pictures
 */
export async function keepAsZip(pictures) {
  if (!pictures.length) {
    nothing();
    return;
  }
  try {
    const answer = await post("internal/pictures/keep-as-zip", { ids: pictures.map(({ id }) => id) });
    if (!answer.ok) {
      const said = await told(answer);
      say(said.errors || said.detail || SAVED, "bad", ["Save with the browser", () => zipByBrowser(pictures)]);
      return;
    }
    const name = /filename\*?="?(?:utf-8'')?([^";]+)/i.exec(answer.headers.get("content-disposition") ?? "")?.[1];
    download(decodeURIComponent(name ?? `gesso-${pictures[0]?.seed}.zip`), await answer.blob());
    const remarks = decodeURIComponent(answer.headers.get("x-remarks") ?? "");
    if (remarks) say(remarks, "bad");
  } catch (error) {
    failed(error);
  }
}

/** @param {readonly Picture[]} pictures */
async function zipByBrowser(pictures) {
  try {
    const files = await Promise.all(pictures.map(named));
    download(`gesso-${pictures[0]?.seed}.zip`, await zip(files));
  } catch (error) {
    failed(error);
  }
}

/**
 * Opens a window of the machine that shows where the picture lies.
 * @param {string} tab
 * @param {Picture | undefined} current
 */
export async function showFolder(tab, current) {
  const answer = await post("internal/folder/show", { tab, picture: current?.id ?? "" });
  const said = await told(answer);
  if (answer.ok) say(`Opened ${said.folder}.`);
  else say(said.errors || said.detail || "The folder could not be opened.", "bad");
}
