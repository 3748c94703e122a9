// @ts-check
// When a job ends: a sound, and a notification where nobody looks at the page. While one runs, the screen stays awake.
import { make, when } from "./dom.js";
import { facts } from "./facts.js";
import * as live from "./live.js";
import { url } from "./server.js";
import { words } from "./words.js";
import { ended } from "./stream.js";

/** @import { Job } from "./stream.js" */

/** @type {Promise<string> | undefined} The address of the sound; "": there is none. */
let sound;
/** @type {HTMLAudioElement | undefined} */
let player;

async function load() {
  const answer = await fetch(url("internal/notification"));
  return answer.status === 200 ? URL.createObjectURL(await answer.blob()) : "";
}

async function play() {
  if (!facts.volume) return;
  sound ??= load().catch(() => "");
  const address = await sound;
  if (!address) {
    sound = undefined; // It may be put there later.
    return;
  }
  player ??= new Audio(address);
  player.volume = Math.min(Math.max(facts.volume, 0), 1);
  player.currentTime = 0;
  await player.play().catch(() => {}); // Browsers let no page make a sound that was never clicked on.
}

/** @param {Job} job */
function notify(job) {
  if (!("Notification" in globalThis) || Notification.permission !== "granted") return;
  if (document.visibilityState === "visible" && document.hasFocus()) return;
  const count = job.pictures.length;
  const body = job.state === "failed" ? job.error?.message ?? "The job failed." : count
    ? `Generated ${count} image${count === 1 ? "" : "s"}` : "The job is done.";
  const icon = job.pictures[0] ? url(job.pictures[0].thumb_url) : undefined;
  const shown = new Notification("Gesso", { body: words(body), icon, tag: "gesso" });
  shown.onclick = () => {
    focus();
    shown.close();
  };
}

/** @type {Map<string, Job["state"]>} */
const states = new Map();
live.read((what) => {
  for (const job of ended(states, live.jobs(), what === "state")) {
    if (job.state === "done") play();
    notify(job);
  }
  stayAwake();
});

// Settings > The page: browsers ask only when something was clicked on.
when("#gesso_notifications", (place) => {
  const draw = () => {
    const state = "Notification" in globalThis ? Notification.permission : "unavailable";
    const said = state === "granted" ? "Browser notifications are allowed: they come when the page is not in front."
      : state === "denied" ? "This browser has been told not to allow notifications here."
        : "This browser shows no notifications for this address: they need https, or a page on the machine itself.";
    place.replaceChildren(state === "default"
      ? make("button", { type: "button", onclick: () => Notification.requestPermission().then(draw) }, "Request browser notifications")
      : make("p", {}, said));
  };
  draw();
});

/** @type {WakeLockSentinel | null} */
let lock = null;
let asking = false;

async function stayAwake() {
  const wanted = facts.stays_awake && document.visibilityState === "visible"
    && live.jobs().some((job) => job.mine && job.state === "running");
  if (asking || !("wakeLock" in navigator) || wanted === Boolean(lock && !lock.released)) return;
  asking = true;
  try {
    if (wanted) lock = await navigator.wakeLock.request("screen");
    else {
      await lock?.release();
      lock = null;
    }
  } catch {
    lock = null; // A battery that is low, a page that has just been hidden: it is tried again.
  } finally {
    asking = false;
  }
}
document.addEventListener("visibilitychange", stayAwake);

