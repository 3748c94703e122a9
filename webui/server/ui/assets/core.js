// What the other scripts build on: elements as they appear, addresses below the page's own, small DOM verbs.
(() => {
  const base = new URL(location.pathname.replace(/[^/]*$/, ""), location.origin);
  const wishes = [];

  /** The address of a route of this server, also where it lives below a subpath. */
  gesso.url = (path) => new URL(path.replace(/^\//, ""), base).href;

  gesso.post = (path, body = {}) =>
    fetch(gesso.url(path), {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });

  gesso.byId = (id) => document.getElementById(id);

  /** The field in which a Gradio control of this id is typed into. */
  gesso.field = (id) => document.querySelector(`#${CSS.escape(id)} :is(textarea, input[type=number], input)`);

  /** Runs `meet(element)` once for each element that ever matches: tabs are built when they are first opened. */
  gesso.when = (selector, meet) => {
    const wish = { selector, meet, seen: new WeakSet() };
    wishes.push(wish);
    grant(wish);
  };

  function grant({ selector, meet, seen }) {
    for (const element of document.querySelectorAll(selector)) {
      if (!seen.has(element)) {
        seen.add(element);
        meet(element);
      }
    }
  }

  let due = false;
  new MutationObserver(() => {
    if (due) return;
    due = true;
    setTimeout(() => {
      due = false;
      wishes.forEach(grant);
    });
  }).observe(document.documentElement, { childList: true, subtree: true });

  /** An element: gesso.make("a.link", {href: "..."}, "text", child). Texts are texts, never markup. */
  gesso.make = (what, attributes = {}, ...children) => {
    const [tag, ...classes] = what.split(".");
    const element = document.createElement(tag || "div");
    if (classes.length) element.className = classes.join(" ");
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else if (value === true) element.setAttribute(name, "");
      else if (value !== false && value != null) element.setAttribute(name, value);
    }
    element.append(...children.filter((child) => child != null && child !== false));
    return element;
  };

  /** A small button with an icon and a name that screen readers and the pointer get. */
  gesso.iconButton = (icon, name, click) =>
    gesso.make(`button.tool.glyph-${icon}`, { type: "button", title: name, "aria-label": name, onclick: click });

  /** Sets a text field as if it were typed into. */
  gesso.type = (field, text) => {
    field.value = text;
    field.dispatchEvent(new Event("input", { bubbles: true }));
  };

  gesso.clock = (seconds) => {
    const whole = Math.max(0, Math.round(seconds));
    const pad = (number) => String(number).padStart(2, "0");
    const minutes = Math.floor(whole / 60);
    if (whole < 60) return `${whole} s`;
    if (minutes < 60) return `${minutes}:${pad(whole % 60)}`;
    return `${Math.floor(minutes / 60)}:${pad(minutes % 60)}:${pad(whole % 60)}`;
  };

  gesso.openTab = (tab) => {
    const button = gesso.byId(`tab_${tab}-button`);
    if (button) return button.click();
    // A narrow window keeps it in a menu, whose lines have no ids.
    const name = gesso.facts.tabs[`tab_${tab}`];
    return [...document.querySelectorAll("#tabs > .tab-wrapper .overflow-dropdown button")]
      .find((line) => line.textContent.trim() === name)?.click();
  };

  // What is on its way: what the server says to a page that comes, and choices in the bar. What is generated waits.
  let unsettled = 1;
  const waiting = [];
  gesso.settling = () => {
    unsettled += 1;
  };
  gesso.settled = () => {
    unsettled = Math.max(0, unsettled - 1);
    arrived();
    if (!unsettled) for (const go of waiting.splice(0)) go();
  };
  /** The page shows the server's values, no longer those that it was built with. */
  const arrived = () => document.documentElement.classList.add("arrived");
  setTimeout(arrived, 5000);
  gesso.whenSettled = () => unsettled === 0 ? undefined : new Promise((go) => {
    waiting.push(go);
    setTimeout(() => { // an answer that never came must not hold anybody up
      unsettled = 0;
      go();
    }, 5000);
  });

  /** The name of the tab that is open: "txt2img". */
  gesso.tab = () =>
    [...document.querySelectorAll("#tabs > .tabitem[id^=tab_]")].find((panel) => panel.checkVisibility())
      ?.id.replace("tab_", "") ?? "";

  /** A line that comes up at the foot of the page and goes by itself. */
  gesso.say = (text, kind = "note", [action, act] = []) => {
    const bar = document.querySelector("#gesso_says") ?? document.body.appendChild(
      gesso.make("div", { id: "gesso_says", role: "status", "aria-live": "polite" }));
    const line = gesso.make(`div.said.${kind}`, {}, text,
      action && gesso.make("button.link", { type: "button", onclick: () => (line.remove(), act()) }, action));
    bar.replaceChildren(line);
    setTimeout(() => line.remove(), 6000);
  };

  // Gradio's buttons know no tooltip: the name that they carry as text becomes one.
  gesso.when("button.tool", (button) => {
    const name = button.textContent.trim();
    if (name && !button.title) button.title = name;
  });
  for (const [id, help] of Object.entries(gesso.facts.help)) {
    gesso.when(`#${CSS.escape(id)}`, (element) => {
      const label = element.querySelector("[data-testid=block-info], label > span, span") ?? element;
      label.title = help;
    });
  }
})();
