// @ts-check
// The zip file that the page writes, read back by its own records.
import assert from "node:assert/strict";
import { test } from "node:test";
import { crc32 } from "node:zlib";

import { zip } from "../../webui/server/ui/assets/zip.js";

/** @param {Uint8Array} bytes */
function entries(bytes) {
  const view = new DataView(bytes.buffer);
  const end = bytes.length - 22;
  assert.equal(view.getUint32(end, true), 0x06054b50);
  let at = view.getUint32(end + 16, true);
  const found = [];
  for (let left = view.getUint16(end + 10, true); left; left--) {
    assert.equal(view.getUint32(at, true), 0x02014b50);
    const [checksum, size, long] = [view.getUint32(at + 16, true), view.getUint32(at + 24, true), view.getUint16(at + 28, true)];
    const name = new TextDecoder().decode(bytes.slice(at + 46, at + 46 + long));
    const local = view.getUint32(at + 42, true);
    assert.equal(view.getUint32(local, true), 0x04034b50);
    const begin = local + 30 + view.getUint16(local + 26, true);
    found.push({ name, checksum, content: bytes.slice(begin, begin + size) });
    at += 46 + long;
  }
  assert.equal(at, end);
  return found;
}

test("files come back by their names, with true checksums; equal names get numbers", async () => {
  const files = [["ä.png", "one"], ["b.png", ""], ["b.png", "three"], ["b.png", "four"], ["none", "x"], ["none", "y"]]
    .map(([name, text]) => ({ name: name ?? "", content: new Blob([text ?? ""]) }));
  const made = await zip(files, new Date(2026, 10, 29, 12, 0, 2));
  const found = entries(new Uint8Array(await made.arrayBuffer()));
  assert.deepEqual(found.map(({ name }) => name), ["ä.png", "b.png", "b-1.png", "b-2.png", "none", "none-1"]);
  for (const [at, { checksum, content }] of found.entries()) {
    assert.deepEqual(content, new Uint8Array(await files[at]?.content.arrayBuffer() ?? new ArrayBuffer()));
    assert.equal(checksum, crc32(content));
  }
});

test("no files are an empty archive", async () => {
  assert.deepEqual(entries(new Uint8Array(await (await zip([])).arrayBuffer())), []);
});
