// @ts-check
// Settings > API tokens: made here, shown once, taken back here.
import { make, table, when } from "./dom.js";
import { say } from "./say.js";
import { post, told, url } from "./server.js";

const SCOPES = {
  read: "View my jobs and pictures",
  generate: "Submit and stop jobs",
  admin: "Everything I may do",
};
const day = (/** @type {number} */ seconds) => new Date(seconds * 1000).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });

when("#setting_tokens", (panel) => {
  const name = make("input", {
    type: "text", maxlength: 100, autocomplete: "off", placeholder: "What is the token for?", "aria-label": "Name of the token",
  });
  const boxes = Object.keys(SCOPES).map((scope) => make("input", { type: "checkbox", value: scope, checked: scope !== "admin" }));
  const wishes = Object.values(SCOPES).map((meaning, at) => make("label", {}, boxes[at], ` ${meaning}`));
  const form = make("form.token-form", { onsubmit: create }, name, ...wishes,
    make("button", { type: "submit" }, "Create a token"));
  const secret = make("div.token-secret", { role: "status", "aria-live": "polite" });
  const list = make("div.token-list", {});
  panel.append(
    make("p", {}, "A program shows its token instead of a password: ",
      make("code", {}, "Authorization: Bearer …"), ". It sees what you see, within its scope."),
    form, secret, list);

  /** @param {SubmitEvent} event */
  async function create(event) {
    event.preventDefault();
    const scopes = boxes.filter((box) => box.checked).map((box) => box.value);
    const answer = await post("internal/access/tokens", { name: name.value.trim(), scopes });
    const said = await told(answer);
    if (!answer.ok) {
      say(said.errors || "The token could not be created.", "bad");
      return;
    }
    name.value = "";
    const shown = make("input", { type: "text", readonly: true, value: said.token, "aria-label": "The new token" });
    shown.addEventListener("focus", () => shown.select());
    const copy = make("button", { type: "button", onclick: () => {
      shown.select();
      navigator.clipboard?.writeText(said.token).then(() => say("Copied."), () => {});
    } }, "Copy");
    const done = make("button", { type: "button", onclick: () => secret.replaceChildren() }, "Done");
    secret.replaceChildren(make("p", {}, "Copy it now: it will not be shown again."), shown, copy, done);
    await draw();
  }

  /** @param {{id: string}} token */
  async function revoke(token) {
    const answer = await fetch(url(`internal/access/tokens/${token.id}`), { method: "DELETE" });
    if (!answer.ok) say("The token could not be revoked.", "bad");
    await draw();
  }

  async function draw() {
    const answer = await fetch(url("internal/access/tokens"), { cache: "no-store" });
    if (!answer.ok) return;
    /** @type {{id: string, name: string, scopes: string[], created: number, used: number | null}[]} */
    const tokens = await answer.json();
    if (!tokens.length) {
      list.replaceChildren(make("p", {}, "You have no tokens."));
      return;
    }
    const rows = tokens.map((token) => {
      const undo = make("button", { type: "button", onclick: () => {
        if (undo.dataset.sure) revoke(token);
        undo.dataset.sure = "yes";
        undo.textContent = "Really revoke?";
      } }, "Revoke");
      return { id: token.id, cells: [token.name || "(no name)", token.scopes.join(", "), day(token.created),
        token.used ? day(token.used) : "never", undo] };
    });
    list.replaceChildren(table(["Name", "Scope", "Made", "Last used", ""], rows));
  }

  draw();
});
