// @ts-check
// A zip file of files as they are (pictures do not compress any further).

const table = Uint32Array.from({ length: 256 }, (_, number) => {
  let value = number;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value >>> 0;
});

/** @param {Uint8Array} bytes */
function checksum(bytes) {
  let value = 0xffffffff;
  for (const byte of bytes) value = (table[(value ^ byte) & 0xff] ?? 0) ^ (value >>> 8);
  return (value ^ 0xffffffff) >>> 0;
}

/**
 * Little-endian fields.
 * @param {[size: number, value: number][]} pairs Sizes in bytes: 2 or 4.
 */
function fields(...pairs) {
  const view = new DataView(new ArrayBuffer(pairs.reduce((sum, [size]) => sum + size, 0)));
  let at = 0;
  for (const [size, value] of pairs) {
    if (size === 2) view.setUint16(at, value, true);
    else view.setUint32(at, value, true);
    at += size;
  }
  return new Uint8Array(view.buffer);
}

/**
 * Equal names get a number.
 * @param {{name: string, content: Blob}[]} files
 * @param {Date} now
 * @returns {Promise<Blob>}
 */
export async function zip(files, now = new Date()) {
  const time = (now.getHours() << 11) | (now.getMinutes() << 5) | (now.getSeconds() >> 1);
  const date = ((now.getFullYear() - 1980) << 9) | ((now.getMonth() + 1) << 5) | now.getDate();
  const used = new Set();
  /** @type {Uint8Array<ArrayBuffer>[]} */
  const body = [];
  /** @type {Uint8Array<ArrayBuffer>[]} */
  const index = [];
  let offset = 0;
  for (const { name, content } of files) {
    let own = name;
    for (let number = 1; used.has(own); number++) own = name.replace(/(\.[^.]*)?$/, (ending) => `-${number}${ending}`);
    used.add(own);
    const title = new TextEncoder().encode(own);
    const bytes = new Uint8Array(await content.arrayBuffer());
    /** @type {[number, number][]} */
    const facts = [[2, 20], [2, 0x0800], [2, 0], [2, time], [2, date], [4, checksum(bytes)],
      [4, bytes.length], [4, bytes.length], [2, title.length], [2, 0]];
    body.push(fields([4, 0x04034b50], ...facts), title, bytes);
    index.push(fields([4, 0x02014b50], [2, 20], ...facts, [2, 0], [2, 0], [2, 0], [4, 0], [4, offset]), title);
    offset += 30 + title.length + bytes.length;
  }
  const size = index.reduce((sum, part) => sum + part.length, 0);
  const end = fields([4, 0x06054b50], [2, 0], [2, 0], [2, files.length], [2, files.length], [4, size], [4, offset], [2, 0]);
  return new Blob([...body, ...index, end], { type: "application/zip" });
}
