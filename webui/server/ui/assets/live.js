// @ts-check
// The one channel from the server: what it says is the page's state; the page keeps none of its own.
import { facts } from "./facts.js";
import { url } from "./server.js";
import { empty, jobsOf, take, waitingJobs } from "./stream.js";

/** @import { Job, Message } from "./stream.js" */

const SOON = 250;
const LONGEST_WAIT = 900; // ms: whoever comes back sees the true state within about a second
const SILENCE = 10000; // ms without a word, though the server says every few seconds that it is there

const state = empty(facts);
/** @type {((what: string, message: Message) => void)[]} */
const readers = [];
let connected = false;
let wait = SOON;
/** @type {WebSocket} */
let socket;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let lost;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let next;
let heard = 0;

/**
 * Calls `read(what, message)` after each message; `what` is its type: state, job, preview, models, refused, engine,
 * page, link.
 * @param {(what: string, message: Message) => void} read
 */
export const read = (read) => readers.push(read);

export const isConnected = () => connected;
export const engine = () => state.engine;
export const models = () => state.models;
/** @param {string} job */
export const preview = (job) => state.previews.get(job);

export const jobs = () => [...state.jobs.values()];
/** @param {string} id */
export const job = (id) => state.jobs.get(id);
/** @param {string} tab */
export const of = (tab) => jobsOf(state, tab);
/** @param {string} tab */
export const running = (tab) => of(tab).find((job) => job.state === "running");
export const waiting = () => waitingJobs(state);
/**
 * The newest of some jobs.
 * @param {Job[]} some
 * @returns {Job | undefined}
 */
export const newest = (some) => [...some].sort((a, b) => b.created - a.created)[0];

/** @param {Message} message */
function tell(message) {
  for (const read of readers) read(message.type, message);
}

function connect() {
  clearTimeout(next);
  const address = new URL(url(`internal/ws?since=${state.seq}`));
  address.protocol = address.protocol.replace("http", "ws");
  socket = new WebSocket(address);
  heard = Date.now();
  socket.onopen = () => {
    wait = SOON;
    connected = true;
    clearTimeout(lost);
    tell({ type: "link" });
  };
  socket.onmessage = (event) => {
    heard = Date.now();
    const message = JSON.parse(event.data);
    if (take(state, message)) tell(message);
  };
  socket.onclose = closed;
}

function closed() {
  if (connected) {
    // A moment of grace: a restart of the server or a sleeping laptop need not flash a warning.
    clearTimeout(lost);
    lost = setTimeout(() => tell({ type: "link" }), 1200);
  }
  connected = false;
  next = setTimeout(connect, wait * (0.8 + 0.4 * Math.random()));
  wait = Math.min(wait * 1.7, LONGEST_WAIT);
}

/** Connects anew at once: a network that went away, or a sleep, leaves a connection that looks open and is dead. */
function renew() {
  socket.onopen = socket.onmessage = socket.onclose = null;
  socket.close();
  closed();
  connect();
}
const renewIfSilent = (/** @type {number} */ ms) => { if (Date.now() - heard > ms) renew(); };

connect();
setInterval(() => renewIfSilent(SILENCE), 1000);
document.addEventListener("visibilitychange", () => { if (!document.hidden) renewIfSilent(SILENCE / 2); });
addEventListener("online", renew);
addEventListener("pageshow", (event) => { if (event.persisted) renew(); });
