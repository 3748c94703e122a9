// @ts-check
// Settings > About: the report for a bug, things that are done once in a while, licences.
import { showAll } from "./bring.js";
import { make, when } from "./dom.js";
import { failed, say } from "./say.js";
import { post, told, url } from "./server.js";

/**
 * A button that sends a request.
 * @param {string} name
 * @param {string} path
 * @param {string} done What is said then.
 */
const action = (name, path, done) => make("button", {
  type: "button", onclick: async () => {
    const answer = await post(path);
    if (answer.ok) say(done);
    else say((await told(answer)).detail ?? answer.statusText, "bad");
  },
}, name);

/** @param {File} file */
async function check(file) {
  let report;
  try {
    report = JSON.parse(await file.text());
  } catch {
    return `${file.name} is not a JSON file.`;
  }
  const answer = await post("internal/sysinfo-check", report);
  if (!answer.ok) throw new Error((await told(answer)).detail ?? answer.statusText);
  return (await told(answer)).whole ? `${file.name} is as it was written.` : `${file.name} has been changed, or is incomplete.`;
}

when("#setting_about", (place) => {
  const said = make("p", { role: "status" });
  const file = make("input", {
    type: "file", accept: ".json", "aria-label": "Check a report", onchange: async () => {
      try {
        if (file.files?.[0]) said.textContent = await check(file.files[0]);
      } catch (error) {
        failed(error);
      }
    },
  });
  place.replaceChildren(
    make("h3", {}, "System information"),
    make("p", {}, "What a bug report needs to know: versions, flags, changed settings, packages. It holds no password."),
    make("p.about-row", {},
      make("a", { href: url("internal/sysinfo-download"), download: "sysinfo.json" }, "Download"),
      make("a", { href: url("internal/sysinfo"), target: "_blank", rel: "noopener" }, "Open"),
      make("label", {}, "Check a report ", file)),
    said,
    make("h3", {}, "Actions"),
    make("p.about-row", {},
      action("Unload all models", "sdapi/v1/unload-checkpoint", "The models were unloaded."),
      action("Load the checkpoint", "sdapi/v1/reload-checkpoint", "The checkpoint is loaded."),
      action("Calculate the hashes of all models", "internal/cards/refresh/checkpoints", "The hashes are computed in the background."),
      make("button", { type: "button", onclick: showAll }, "Models of other programs…"),
      make("a", { href: url("internal/localization-template"), download: "localization.json" }, "Download localization template")),
    make("h3", {}, "Licences"),
    make("p", {}, make("a", { href: url("internal/licences"), target: "_blank", rel: "noopener" }, "The program and its packages")));
});
