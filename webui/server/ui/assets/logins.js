// @ts-check
// Settings > Logins: where one has logged in, and ended here; an admin sees everybody's.
import { make, table, when } from "./dom.js";
import { say } from "./say.js";
import { told, url } from "./server.js";

const ROUTE = "internal/access/sessions";
const day = (/** @type {number} */ seconds) => new Date(seconds * 1000).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });

when("#setting_logins", (panel) => {
  const list = make("div.token-list", {});
  const leave = make("a", { href: url("logout") }, "Log out");
  const others = make("button", { type: "button", onclick: () => end(ROUTE) }, "Log out of all other browsers");
  panel.append(
    make("p", {}, "Every browser that is logged in. A login ends after 30 days, when the password changes, or here."),
    list, make("div.token-form", {}, leave, others));

  /** @param {string} address */
  async function end(address) {
    const answer = await fetch(url(address), { method: "DELETE" });
    if (!answer.ok) {
      say((await told(answer)).detail || "The login could not be ended.", "bad");
    }
    await draw();
  }

  async function draw() {
    const answer = await fetch(url(ROUTE), { cache: "no-store" });
    if (!answer.ok) return;
    /** @type {{id: string, owner: string, browser: string, address: string, created: number, seen: number, current: boolean}[]} */
    const logins = await answer.json();
    leave.hidden = !logins.length;
    others.hidden = logins.length < 2;
    if (!logins.length) {
      list.replaceChildren(make("p", {}, "This server does not use logins."));
      return;
    }
    const rows = logins.map((login) => {
      const undo = make("button", { type: "button", onclick: () => {
        if (undo.dataset.sure) end(`${ROUTE}/${login.id}`);
        undo.dataset.sure = "yes";
        undo.textContent = "Really log out?";
      } }, "End");
      return { id: login.id, cells: [login.owner, login.browser, login.address, day(login.created), day(login.seen),
        login.current ? "This browser" : undo] };
    });
    list.replaceChildren(table(["Name", "Browser", "Address", "Since", "Last seen", ""], rows));
  }

  draw();
});
