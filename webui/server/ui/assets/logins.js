// @ts-check
// Settings > Logins: where one has logged in, and ended here; an admin sees everybody's.
import { make, when } from "./dom.js";
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
      return make("tr", { "data-id": login.id },
        make("td", {}, login.owner),
        make("td", {}, login.browser),
        make("td", {}, login.address),
        make("td", {}, day(login.created)),
        make("td", {}, day(login.seen)),
        make("td", {}, login.current ? "This browser" : undo));
    });
    const heads = ["Name", "Browser", "Address", "Since", "Last seen", ""].map((title) => make("th", { scope: "col" }, title));
    list.replaceChildren(
      make("table", {}, make("thead", {}, make("tr", {}, ...heads)), make("tbody", {}, ...rows)));
  }

  draw();
});
