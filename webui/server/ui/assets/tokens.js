// Settings > API tokens: made here, shown once, taken back here.
(() => {
  const SCOPES = {
    read: "Look at my jobs and pictures",
    generate: "Submit and stop jobs",
    admin: "All that I may do",
  };
  const day = (seconds) => new Date(seconds * 1000).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });

  gesso.when("#setting_tokens", (panel) => {
    const name = gesso.make("input", {
      type: "text", maxlength: 100, autocomplete: "off", placeholder: "What is it for?", "aria-label": "Name of the token",
    });
    const wishes = Object.entries(SCOPES).map(([scope, meaning]) =>
      gesso.make("label", {},
        gesso.make("input", { type: "checkbox", value: scope, checked: scope !== "admin" }), ` ${meaning}`));
    const form = gesso.make("form.token-form", { onsubmit: make }, name, ...wishes,
      gesso.make("button", { type: "submit" }, "Make a token"));
    const secret = gesso.make("div.token-secret", { role: "status", "aria-live": "polite" });
    const list = gesso.make("div.token-list", {});
    panel.append(
      gesso.make("p", {}, "A program shows its token instead of a password: ",
        gesso.make("code", {}, "Authorization: Bearer …"), ". It sees what you see, within its scope."),
      form, secret, list);

    async function make(event) {
      event.preventDefault();
      const scopes = wishes.map((label) => label.firstChild).filter((box) => box.checked).map((box) => box.value);
      const answer = await gesso.post("internal/access/tokens", { name: name.value.trim(), scopes });
      const said = await answer.json().catch(() => ({}));
      if (!answer.ok) {
        gesso.say(said.errors || "No token could be made.", "bad");
        return;
      }
      name.value = "";
      const shown = gesso.make("input", { type: "text", readonly: true, value: said.token, "aria-label": "The new token" });
      shown.addEventListener("focus", () => shown.select());
      const copy = gesso.make("button", { type: "button", onclick: () => {
        shown.select();
        navigator.clipboard?.writeText(said.token).then(() => gesso.say("Copied."), () => {});
      } }, "Copy");
      const done = gesso.make("button", { type: "button", onclick: () => secret.replaceChildren() }, "I have it");
      secret.replaceChildren(gesso.make("p", {}, "Copy it now: it is not shown again."), shown, copy, done);
      await draw();
    }

    async function revoke(token) {
      const answer = await fetch(gesso.url(`internal/access/tokens/${token.id}`), { method: "DELETE" });
      if (!answer.ok) gesso.say("The token could not be taken back.", "bad");
      await draw();
    }

    async function draw() {
      const answer = await fetch(gesso.url("internal/access/tokens"), { cache: "no-store" });
      if (!answer.ok) return;
      const tokens = await answer.json();
      if (!tokens.length) {
        list.replaceChildren(gesso.make("p", {}, "There is no token of yours."));
        return;
      }
      const rows = tokens.map((token) => {
        const undo = gesso.make("button", { type: "button", onclick: () => {
          if (undo.dataset.sure) revoke(token);
          undo.dataset.sure = "yes";
          undo.textContent = "Really revoke?";
        } }, "Revoke");
        return gesso.make("tr", { "data-id": token.id },
          gesso.make("td", {}, token.name || "(no name)"),
          gesso.make("td", {}, token.scopes.join(", ")),
          gesso.make("td", {}, day(token.created)),
          gesso.make("td", {}, token.used ? day(token.used) : "never"),
          gesso.make("td", {}, undo));
      });
      const heads = ["Name", "Scope", "Made", "Last used", ""].map((title) => gesso.make("th", { scope: "col" }, title));
      list.replaceChildren(
        gesso.make("table", {}, gesso.make("thead", {}, gesso.make("tr", {}, ...heads)), gesso.make("tbody", {}, ...rows)));
    }

    draw();
  });
})();
