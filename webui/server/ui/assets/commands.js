// @ts-check
// What Gradio's own handlers can ask of these modules. They are functions of no module and the page has no global, so
// that they ask by an event on the document (`script.py` writes them), which says who is asked, and takes the answer.
// An event before the modules are there is asked again when they are: `ready` says so.

/**
 * @typedef {(...given: any[]) => unknown} Command
 * @typedef {{name: string, given: unknown[], answer: (value: unknown) => void, refuse: (error: unknown) => void}} Asked
 */

/** @type {Map<string, Command>} */
const commands = new Map();

/**
 * Names what handlers may ask for; its answer is theirs.
 * @param {string} name
 * @param {Command} run
 */
export function command(name, run) {
  if (commands.has(name)) throw new Error(`There are two commands of the name ${name}.`);
  commands.set(name, run);
}

/** All modules are there: from now on what is asked is answered. */
export function ready() {
  document.addEventListener("gesso:ask", (event) => {
    const { name, given, answer, refuse } = /** @type {CustomEvent<Asked>} */ (event).detail;
    event.preventDefault(); // It is taken.
    new Promise((done) => {
      const run = commands.get(name);
      if (!run) throw new Error(`There is no command of the name ${name}.`);
      done(run(...given));
    }).then(answer, refuse);
  });
  document.dispatchEvent(new Event("gesso:ready"));
}
