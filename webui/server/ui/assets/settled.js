// @ts-check
// What is on its way: what the server says to a page that comes, and choices in the bar. What is generated waits.
import { command } from "./commands.js";

const LONGEST = 5000; // ms: an answer that never came must not hold anybody up

let unsettled = 1;
/** @type {(() => void)[]} */
const waiting = [];

/** The page shows the server's values, no longer those that it was built with. */
const arrived = () => document.documentElement.classList.add("arrived");
setTimeout(arrived, LONGEST);

/** @returns {Promise<void> | undefined} */
export const whenSettled = () => unsettled === 0 ? undefined : new Promise((go) => {
  waiting.push(go);
  setTimeout(() => {
    unsettled = 0;
    go();
  }, LONGEST);
});

/** Something more is on its way. */
export function settling() {
  unsettled += 1;
}

/** It has come. */
export function settled() {
  unsettled = Math.max(0, unsettled - 1);
  arrived();
  if (!unsettled) for (const go of waiting.splice(0)) go();
}

/** @type {(() => Promise<void>)[]} */
const chores = [];

/**
 * Something that is done before a form is read: what is painted is put into it.
 * @param {() => Promise<void>} chore It has nothing to do, most of the time.
 */
export const beforeSubmitting = (chore) => void chores.push(chore);

/** All of that. */
export const readyToSubmit = () => Promise.all(chores.map((chore) => chore()));

command("settling", (...given) => {
  settling();
  return given;
});
command("settled", settled);
command("whenSettled", async (...given) => {
  await whenSettled();
  return given;
});
