// @ts-check
// A canvas outlives the page, in the browser's own database: its layers, and every step that can be undone. Tiles never
// change once they are part of a state, so that each is written once, whatever number of steps holds it.
import { penOf, canvasOf } from "./pixels.js";

/** @typedef {import("./pixels.js").Tile} Tile */
/** @typedef {import("./pixels.js").State} State */
/** @typedef {import("./pixels.js").Layer} Layer */
/** @typedef {import("./history.js").History<State>} Steps */
/** @typedef {{of: string, used: number, maps: [tile: number, id: string][][], done: Kept[], undone: Kept[], active: string}} Document */
/** @typedef {{name: string, weight: number, state: any}} Kept A step whose tiles are numbers of `maps`. */

const NAME = "gesso_canvas";
const STALE_MS = 14 * 24 * 3600 * 1000;

/** @type {Promise<IDBDatabase> | undefined} */
let opening;

const database = () => {
  opening ??= new Promise((done, fail) => {
    const asked = indexedDB.open(NAME, 1);
    asked.onupgradeneeded = () => {
      asked.result.createObjectStore("documents");
      asked.result.createObjectStore("tiles");
    };
    asked.onsuccess = () => done(asked.result);
    asked.onerror = () => fail(asked.error);
  });
  return opening;
};

/**
 * @template T
 * @param {IDBRequest<T>} asked
 * @returns {Promise<T>}
 */
const answered = (asked) => new Promise((done, fail) => {
  asked.onsuccess = () => done(asked.result);
  asked.onerror = () => fail(asked.error);
});

/** @param {string} place */
const tilesOf = (place) => IDBKeyRange.bound(`${place} `, `${place} \uffff`);

/** @type {WeakMap<Tile, string>} */
const names = new WeakMap();

/** @param {Tile} tile */
function nameOf(tile) {
  let name = names.get(tile);
  if (!name) {
    name = [...crypto.getRandomValues(new Uint8Array(12))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    names.set(tile, name);
  }
  return name;
}

/** @param {Tile} tile */
const blobOf = (tile) => new Promise((done) => { tile.toBlob(done, "image/png"); });

export class Store {
  /** @param {string} place Where the canvas stands, in this tab of the browser. */
  constructor(place) {
    this.place = place;
    /** @type {Set<string>} Tiles that are written already. */
    this.written = new Set();
    /** @type {Promise<void>} */
    this.writing = Promise.resolve();
  }

  /**
   * Writes what has changed, one time after the other.
   * @param {Steps} history
   * @param {string} active
   * @param {string} of What the canvas began with.
   */
  keep(history, active, of) {
    const { done, undone } = history;
    const told = { done: [...done], undone: [...undone] };
    this.writing = this.writing.then(() => this.write(told, active, of)).catch(() => this.forget());
    return this.writing;
  }

  /**
   * @param {{done: Steps["done"], undone: Steps["undone"]}} steps
   * @param {string} active
   * @param {string} of
   */
  async write({ done, undone }, active, of) {
    /** @type {Map<unknown, number>} */
    const numbers = new Map();
    /** @type {[number, string][][]} */
    const maps = [];
    /** @type {Map<string, Tile>} */
    const tiles = new Map();
    const number = (/** @type {import("./pixels.js").Tiles | null} */ map) => {
      if (!map) return -1;
      if (!numbers.has(map)) {
        numbers.set(map, maps.length);
        maps.push([...map].map(([tile, content]) => {
          tiles.set(nameOf(content), content);
          return [tile, nameOf(content)];
        }));
      }
      return numbers.get(map) ?? -1;
    };
    const plain = (/** @type {Steps["done"]} */ steps) => steps.map(({ state, name, weight }) => ({ name, weight,
      state: { ...state, selection: number(state.selection), layers: state.layers.map((layer) => ({ ...layer, tiles: number(layer.tiles) })) } }));
    /** @type {Document} */
    const document = { of, used: Date.now(), done: plain(done), undone: plain(undone), active, maps };
    const fresh = [...tiles].filter(([name]) => !this.written.has(name));
    const blobs = await Promise.all(fresh.map(async ([name, tile]) => /** @type {const} */ ([name, await blobOf(tile)])));
    const open = await database();
    const writing = open.transaction(["documents", "tiles"], "readwrite");
    for (const [name, blob] of blobs) {
      if (blob) writing.objectStore("tiles").put(blob, `${this.place} ${name}`);
      this.written.add(name);
    }
    for (const name of this.written) {
      if (tiles.has(name)) continue;
      writing.objectStore("tiles").delete(`${this.place} ${name}`);
      this.written.delete(name);
    }
    writing.objectStore("documents").put(document, this.place);
    await new Promise((end, fail) => {
      writing.oncomplete = () => end(undefined);
      writing.onerror = writing.onabort = () => fail(writing.error);
    });
  }

  /** What was kept goes; also where there is no room for it. */
  async forget() {
    this.written.clear();
    try {
      const open = await database();
      const writing = open.transaction(["documents", "tiles"], "readwrite");
      writing.objectStore("documents").delete(this.place);
      writing.objectStore("tiles").delete(tilesOf(this.place));
    } catch { /* There is no database: nothing is kept. */ }
  }

  /**
   * What was on this canvas; null: nothing, or another picture.
   * @param {string} of
   * @returns {Promise<{done: Steps["done"], undone: Steps["undone"], active: string} | null>}
   */
  async recall(of) {
    try {
      const open = await database();
      const reading = open.transaction(["documents", "tiles"]);
      /** @type {Document | undefined} */
      const document = await answered(reading.objectStore("documents").get(this.place));
      if (!document || document.of !== of) return null;
      const [keys, blobs] = await Promise.all([
        answered(reading.objectStore("tiles").getAllKeys(tilesOf(this.place))),
        answered(reading.objectStore("tiles").getAll(tilesOf(this.place)))]);
      /** @type {Map<string, Tile>} */
      const tiles = new Map();
      await Promise.all(keys.map(async (key, at) => {
        const name = String(key).slice(this.place.length + 1);
        const image = await createImageBitmap(blobs[at]);
        const tile = canvasOf();
        penOf(tile).drawImage(image, 0, 0);
        image.close();
        names.set(tile, name);
        this.written.add(name);
        tiles.set(name, tile);
      }));
      const maps = document.maps.map((map) => new Map(map.flatMap(([tile, name]) => {
        const content = tiles.get(name);
        return content ? [/** @type {[number, Tile]} */ ([tile, content])] : [];
      })));
      const alive = (/** @type {Kept[]} */ steps) => steps.map(({ state, name, weight }) => ({ name, weight, state: {
        ...state, selection: maps[state.selection] ?? null,
        layers: state.layers.map((/** @type {any} */ layer) => ({ ...layer, tiles: maps[layer.tiles] ?? new Map() })),
      } }));
      return { done: alive(document.done), undone: alive(document.undone), active: document.active };
    } catch {
      return null;
    }
  }
}

/** What was kept by tabs of the browser that nobody has opened for long goes. */
export async function clean(now = Date.now()) {
  try {
    const open = await database();
    const writing = open.transaction(["documents", "tiles"], "readwrite");
    const documents = writing.objectStore("documents");
    for (const key of await answered(documents.getAllKeys())) {
      /** @type {Document} */
      const document = await answered(documents.get(key));
      if (now - document.used < STALE_MS) continue;
      documents.delete(key);
      writing.objectStore("tiles").delete(tilesOf(String(key)));
    }
  } catch { /* There is no database. */ }
}
