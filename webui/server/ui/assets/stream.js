// @ts-check
// What the server's messages mean: the state of the page, and how each message changes it. Knows nothing of a browser.

/**
 * @typedef {{url: string, name: string, sheet?: boolean}} ExtraPicture
 * @typedef {object} Picture
 * @property {string} id
 * @property {string} url
 * @property {string} thumb_url
 * @property {string} infotext
 * @property {import("./infotext.js").Mark[]} marks Where the labels of the infotext are.
 * @property {number} seed
 * @property {string} [name]
 * @property {boolean} [saved] false: its file could not be written.
 * @property {ExtraPicture[]} [extras]
 * @property {string} [replaces] The id of the picture in whose place it stands.
 * @property {boolean} [gone] Its file has been deleted.
 * @property {boolean} [sheet] It is a sheet of all pictures of its job.
 *
 * @typedef {object} Job
 * @property {string} id
 * @property {string} kind
 * @property {string} tab
 * @property {"queued" | "running" | "done" | "failed" | "cancelled"} state
 * @property {number} position Among the waiting ones, from 1.
 * @property {number} progress 0 to 1.
 * @property {string} text
 * @property {number} step
 * @property {number | null} eta_seconds
 * @property {number} count How many pictures were asked for.
 * @property {number} created Seconds since 1970, as the next two.
 * @property {number | null} [started]
 * @property {number | null} [finished]
 * @property {{active: number, reserved: number, used: number, total: number} | null} [memory] What it took of a GPU's, in bytes.
 * @property {boolean} mine
 * @property {Picture[]} pictures
 * @property {string[]} comments
 * @property {string} answer
 * @property {{code: string, message: string, hint: string} | null} error
 * @property {string} [prompt] Of one's own jobs.
 * @property {boolean} [masked] Of one's own jobs.
 *
 * @typedef {{job_id: string, url: string, number: number}} Preview
 * @typedef {{model: string, part: string, nbytes: number, device: string}} ModelPart
 * @typedef {{loading: string, message: string, parts?: ModelPart[], profile?: string, resident?: string[]}} Models
 * @typedef {{state: string, text: string}} Engine
 * @typedef {{type: string, seq?: number, [name: string]: any}} Message
 *
 * @typedef {object} State
 * @property {number} seq The number of the newest message.
 * @property {Map<string, Job>} jobs
 * @property {Map<string, Preview>} previews By their jobs.
 * @property {Models} models
 * @property {Engine | null} engine
 * @property {Record<string, any>} page What the page is to know of the settings.
 */

/**
 * @param {Record<string, any>} page
 * @returns {State}
 */
export const empty = (page = {}) => ({
  seq: 0, jobs: new Map(), previews: new Map(), models: { loading: "", message: "" }, engine: null, page,
});

/** @param {Job} job */
export const isOver = (job) => job.state !== "queued" && job.state !== "running";

/**
 * Takes a message in -> whether it says anything: a sign of life does not.
 * @param {State} state
 * @param {Message} message
 */
export function take(state, message) {
  if (message.seq) state.seq = Math.max(state.seq, message.seq);
  switch (message.type) {
    case "state":
      if (message.jobs) {
        state.jobs.clear();
        for (const job of message.jobs) state.jobs.set(job.id, job);
      }
      if (message.models) state.models = message.models;
      if (message.engine) state.engine = message.engine;
      if (message.page) Object.assign(state.page, message.page);
      for (const preview of message.previews ?? []) state.previews.set(preview.job_id, preview);
      return true;
    case "job":
      state.jobs.set(message.job.id, message.job);
      if (isOver(message.job)) state.previews.delete(message.job.id);
      return true;
    case "removed":
      state.jobs.delete(message.job_id);
      return true;
    case "page": {
      const { type: _type, seq: _seq, ...page } = message;
      Object.assign(state.page, page);
      return true;
    }
    case "preview":
      state.previews.set(message.job_id, /** @type {any} */ (message));
      return true;
    case "models":
      state.models = /** @type {any} */ (message);
      return true;
    case "engine":
      state.engine = /** @type {any} */ (message);
      return true;
    case "still":
      return false;
  }
  return true; // Whoever knows it reads it.
}

/**
 * The jobs of somebody's tab.
 * @param {State} state
 * @param {string} tab
 */
export const jobsOf = (state, tab) => [...state.jobs.values()].filter((job) => job.mine && job.tab === tab);

/**
 * Somebody's jobs that have ended since this was asked last.
 * @param {Map<string, Job["state"]>} known How each job was then; brought up to date.
 * @param {Job[]} jobs
 * @param {boolean} first What is over already is no news.
 */
export function ended(known, jobs, first = false) {
  const news = jobs.filter((job) => {
    const before = known.get(job.id);
    return !first && job.mine && before !== undefined && before !== job.state && (job.state === "done" || job.state === "failed");
  });
  known.clear();
  for (const job of jobs) known.set(job.id, job.state);
  return news;
}

/**
 * The jobs that wait, in their order.
 * @param {State} state
 */
export const waitingJobs = (state) => [...state.jobs.values()].filter((job) => job.state === "queued")
  .sort((a, b) => (a.position || Infinity) - (b.position || Infinity) || a.created - b.created);
