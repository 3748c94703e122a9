// @ts-check
// The bar: the checkpoint is busy while one is loaded. One that cannot be loaded is said; the server has taken it back,
// or, where it knows no better one, it stands, and so does the reason.
import { byId, iconButton, make } from "./dom.js";
import * as live from "./live.js";

let wasLoading = "";
let standing = "";

live.read((what, told) => {
  if (what === "refused") {
    refused(told.message);
    showSettings();
  }
  if (what !== "models" && what !== "state") return;
  const { loading, message } = live.models();
  byId("setting_sd_model_checkpoint")?.classList.toggle("loading", Boolean(loading));
  if (wasLoading && !loading) showSettings();
  wasLoading = loading;
  if (message === standing) return;
  standing = message;
  if (message) refused(message);
  else document.querySelector("#gesso_model_notice.standing")?.remove();
});

/** @param {string} message */
function refused(message) {
  document.querySelector("#gesso_model_notice")?.remove();
  const notice = make(`div.notice.bad${message === standing ? ".standing" : ""}`,
    { id: "gesso_model_notice", role: "alert" },
    make("b", {}, message), iconButton("close", "Dismiss", () => { notice.remove(); }));
  byId("quicksettings")?.after(notice);
}

/** Brings the bar to what the server's settings say. */
export const showSettings = () => byId("quicksettings_show")?.click();
