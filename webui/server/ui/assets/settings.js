// @ts-check
// The Settings tab: search over all pages at once; restart, and come back when the server has.
import { command } from "./commands.js";
import { byId, make, when } from "./dom.js";
import { say } from "./say.js";
import { post, told, url } from "./server.js";

when("#settings_search", (/** @type {HTMLInputElement} */ box) => {
  box.addEventListener("focus", openAll, { once: true });
  box.addEventListener("input", async () => {
    await openAll();
    search(written());
  });
});

// All pages at once, until the button is pressed again.
let all = false;
command("showAllSettings", async () => {
  all = !all;
  const button = byId("settings_show_all_pages");
  if (button) button.textContent = all ? "Show one page" : "Show all pages";
  await openAll();
  search(written());
});

const written = () => {
  const box = byId("settings_search");
  return box instanceof HTMLInputElement ? box.value.trim().toLowerCase().split(/\s+/).filter(Boolean) : [];
};

/** @param {string[]} words */
function search(words) {
  const pages = byId("settings_pages");
  if (!pages) return;
  pages.classList.toggle("searching", all || words.length > 0);
  let hits = 0;
  for (const block of pages.querySelectorAll("[id^=setting_]")) {
    const text = `${block.textContent} ${block.id}`.toLowerCase();
    const fits = words.every((word) => text.includes(word));
    block.classList.toggle("passed-over", words.length > 0 && !fits);
    hits += Number(fits);
  }
  pages.classList.toggle("no-hits", hits === 0);
}

// A page is built when its tab is opened, and stays: so each is opened once, before anything is searched for.
/** @type {Promise<void> | undefined} */
let opened;
function openAll() {
  opened ??= (async () => {
    /** @type {NodeListOf<HTMLElement>} */
    const buttons = document.querySelectorAll("#settings_pages button[role=tab][id^=settings_]");
    const tabs = [...buttons];
    const shown = tabs.find((tab) => tab.getAttribute("aria-selected") === "true") ?? tabs[0];
    for (const tab of tabs) {
      const page = tab.id.replace("-button", "");
      if (!byId(page)) tab.click();
      for (let tries = 0; tries < 200 && !byId(page)?.querySelector("[id^=setting_]"); tries++) {
        await new Promise((wake) => setTimeout(wake, 20));
      }
      const panel = byId(page);
      if (panel) panel.dataset.title = tab.textContent?.trim() ?? "";
    }
    shown?.click();
  })();
  return opened;
}

command("restart", async () => {
  const answer = await post("internal/restart");
  if (!answer.ok) {
    say((await told(answer)).detail || "The server cannot be restarted from here.", "bad");
    return;
  }
  document.body.append(make("div", { id: "gesso_restarting", role: "alert" }, "Restarting. The page will reload automatically."));
  await new Promise((wake) => setTimeout(wake, 1500));
  for (;;) {
    try {
      const page = await fetch(url(""), { cache: "no-store" });
      if (page.ok) break;
    } catch {
      // Not there yet.
    }
    await new Promise((wake) => setTimeout(wake, 700));
  }
  location.reload();
});
