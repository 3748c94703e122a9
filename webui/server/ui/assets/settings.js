// The Settings tab: search over all pages at once; restart, and come back when the server has.
(() => {
  gesso.when("#settings_search", (box) => {
    box.addEventListener("focus", openAll, { once: true });
    box.addEventListener("input", async () => {
      await openAll();
      search(box.value.trim().toLowerCase().split(/\s+/).filter(Boolean));
    });
  });

  function search(words) {
    const pages = gesso.byId("settings_pages");
    pages.classList.toggle("searching", words.length > 0);
    let hits = 0;
    for (const block of pages.querySelectorAll("[id^=setting_]")) {
      const text = `${block.textContent} ${block.id}`.toLowerCase();
      const fits = words.every((word) => text.includes(word));
      block.classList.toggle("passed-over", words.length > 0 && !fits);
      hits += fits;
    }
    pages.classList.toggle("no-hits", hits === 0);
  }

  // A page is built when its tab is opened, and stays: so each is opened once, before anything is searched for.
  let opened = null;
  function openAll() {
    opened ??= (async () => {
      const tabs = [...document.querySelectorAll("#settings_pages button[role=tab][id^=settings_]")];
      const shown = tabs.find((tab) => tab.getAttribute("aria-selected") === "true") ?? tabs[0];
      for (const tab of tabs) {
        const page = tab.id.replace("-button", "");
        if (!gesso.byId(page)) tab.click();
        for (let tries = 0; tries < 200 && !gesso.byId(page)?.querySelector("[id^=setting_]"); tries++) {
          await new Promise((wake) => setTimeout(wake, 20));
        }
      }
      shown?.click();
    })();
    return opened;
  }

  gesso.restart = async () => {
    const answer = await gesso.post("internal/restart");
    if (!answer.ok) {
      const said = await answer.json().catch(() => ({}));
      gesso.say(said.detail || "The server cannot be restarted from here.", "bad");
      return;
    }
    document.body.append(gesso.make("div", { id: "gesso_restarting", role: "alert" }, "Restarting. The page comes back by itself."));
    await new Promise((wake) => setTimeout(wake, 1500));
    for (;;) {
      try {
        const page = await fetch(gesso.url(""), { cache: "no-store" });
        if (page.ok) break;
      } catch {
        // Not there yet.
      }
      await new Promise((wake) => setTimeout(wake, 700));
    }
    location.reload();
  };
})();
