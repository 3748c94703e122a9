// Settings > Logins: where one has logged in, and ended here; an admin sees everybody's.
(() => {
  const ROUTE = "internal/access/sessions";
  const day = (seconds) => new Date(seconds * 1000).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });

  gesso.when("#setting_logins", (panel) => {
    const list = gesso.make("div.token-list", {});
    const leave = gesso.make("a", { href: gesso.url("logout") }, "Log out");
    const others = gesso.make("button", { type: "button", onclick: () => end(ROUTE) }, "End all my other logins");
    panel.append(
      gesso.make("p", {}, "Each browser in which somebody has logged in. A login ends after 30 days, with another password, and here."),
      list, gesso.make("div.token-form", {}, leave, others));

    async function end(address) {
      const answer = await fetch(gesso.url(address), { method: "DELETE" });
      if (!answer.ok) {
        const said = await answer.json().catch(() => ({}));
        gesso.say(said.detail || "The login could not be ended.", "bad");
      }
      await draw();
    }

    async function draw() {
      const answer = await fetch(gesso.url(ROUTE), { cache: "no-store" });
      if (!answer.ok) return;
      const logins = await answer.json();
      leave.hidden = !logins.length;
      others.hidden = logins.length < 2;
      if (!logins.length) {
        list.replaceChildren(gesso.make("p", {}, "Nobody logs in here."));
        return;
      }
      const rows = logins.map((login) => {
        const undo = gesso.make("button", { type: "button", onclick: () => {
          if (undo.dataset.sure) end(`${ROUTE}/${login.id}`);
          undo.dataset.sure = "yes";
          undo.textContent = "Really end it?";
        } }, "End");
        return gesso.make("tr", { "data-id": login.id },
          gesso.make("td", {}, login.owner),
          gesso.make("td", {}, login.browser),
          gesso.make("td", {}, login.address),
          gesso.make("td", {}, day(login.created)),
          gesso.make("td", {}, day(login.seen)),
          gesso.make("td", {}, login.current ? "This browser" : undo));
      });
      const heads = ["Name", "Browser", "Address", "Since", "Last seen", ""].map((title) => gesso.make("th", { scope: "col" }, title));
      list.replaceChildren(
        gesso.make("table", {}, gesso.make("thead", {}, gesso.make("tr", {}, ...heads)), gesso.make("tbody", {}, ...rows)));
    }

    draw();
  });
})();
