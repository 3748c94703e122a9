// @ts-check
// Which pictures a tab shows, and in which order: knows nothing of a browser.

/** @import { Job, Picture } from "./stream.js" */

/** @typedef {{job: Job | undefined, pictures: Picture[]}} Gallery */

/**
 * The newest of the jobs that have pictures, with its sheets before them. A picture that was made of one of them in its
 * place, such as that one made larger, stands where it stood.
 * @param {readonly Job[]} jobs Of one tab.
 * @returns {Gallery}
 */
export function gallery(jobs) {
  const shown = jobs.filter((job) => job.pictures.length);
  const holder = (/** @type {string} */ id) => shown.find((job) => job.pictures.some((picture) => picture.id === id));
  let job = shown.reduce((newest, each) => (!newest || each.created >= newest.created ? each : newest), /** @type {Job | undefined} */ (undefined));
  for (let left = shown.length; job && left > 0; left--) {
    const before = holder(job.pictures[0]?.replaces ?? "");
    if (!before || before === job) break;
    job = before;
  }
  if (!job) return { job, pictures: [] };
  /** @type {Map<string, Picture>} */
  const instead = new Map();
  for (const each of [...shown].sort((a, b) => a.created - b.created)) {
    for (const picture of each.pictures) if (picture.replaces) instead.set(picture.replaces, picture);
  }
  const pictures = job.pictures.map((picture) => {
    let last = picture;
    for (let left = instead.size; left > 0; left--) last = instead.get(last.id) ?? last;
    return last;
  });
  return { job, pictures: [...sheets(job), ...pictures] };
}

/**
 * The sheets of a job as pictures. They come with its first one, and say what that one says.
 * @param {Job} job
 * @returns {Picture[]}
 */
function sheets({ pictures: [first] }) {
  if (!first) return [];
  return (first.extras ?? []).filter((extra) => extra.sheet).map((extra) => ({
    id: `${first.id}.${extra.name}`,
    url: extra.url,
    thumb_url: extra.url,
    infotext: first.infotext,
    marks: first.marks,
    seed: first.seed,
    name: `${first.seed}-${extra.name}`,
    sheet: true,
  }));
}

/**
 * Where a picture that was picked is now: at its place, or at that of what has taken it.
 * @param {readonly Picture[]} pictures
 * @param {string} id
 * @returns {number} -1: nowhere.
 */
export function placeOf(pictures, id) {
  const at = pictures.findIndex((picture) => picture.id === id);
  return at < 0 ? pictures.findIndex((picture) => picture.replaces === id) : at;
}
