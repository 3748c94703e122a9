// @ts-check
// The page in the visitor's language. Everything is written in English, by Gradio and by our modules; what comes into
// the document, or changes there, is said in the other language before the browser draws it.
import { make, when } from "./dom.js";
import { told, translated } from "./words.js";

/** What is in no language of the page's, with all that is said of it: what people wrote, and names that they gave. */
const THEIRS = [
  "[translate=no]", "script", "style", ".card-use", ".cards-folders", ".job-prompt", ".history-open", ".suggestions",
].join();
/** What is called something in the page's language, and holds something that is in none. */
const HOLDERS = [
  "textarea", "code", "pre", ".infotext", ".names .token", "ul.options", ".card-facts td", ".card-tags", ".file-preview",
].join();
const BOTH = `${THEIRS}, ${HOLDERS}`;
const ATTRIBUTES = ["title", "placeholder", "aria-label", "aria-valuetext", "data-title"];
/** Texts that style sheets show. */
const OF_SHEETS = { "--word-styles": "Styles", "--word-no-setting": "No setting has these words." };

/** What was said where: something that is moved within the page is not said again. @type {WeakMap<Node, Map<string, string>>} */
const known = new WeakMap();

/**
 * @param {Node} node
 * @param {string} place The name of an attribute; "": the text itself.
 * @param {string} text
 * @returns {string} It in the visitor's language; "": it stays.
 */
function saidAt(node, place, text) {
  const said = known.get(node)?.get(place) === text ? undefined : translated(text);
  if (said === undefined || said === text) return "";
  known.set(node, (known.get(node) ?? new Map()).set(place, said));
  return said;
}

/** @param {Text} node */
function say(node) {
  const said = saidAt(node, "", node.data);
  if (said) node.data = said;
}

/** @param {Element} element */
function sayAttributes(element) {
  for (const name of ATTRIBUTES) {
    const value = element.getAttribute(name);
    const said = value && saidAt(element, name, value);
    if (said) element.setAttribute(name, said);
  }
  // Without one its text is its value, and that is for the server.
  if (element instanceof HTMLOptionElement && !element.hasAttribute("value")) element.value = element.text;
}

/** @param {Node} root What is below it, and itself. */
function sayAll(root) {
  if (root instanceof Text) say(root);
  if (!(root instanceof Element) || isClosed(root)) return;
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_TEXT, (node) =>
    node instanceof Element && isClosed(node) ? NodeFilter.FILTER_REJECT : NodeFilter.FILTER_ACCEPT);
  for (let node = /** @type {Node | null} */ (root); node; node = walker.nextNode()) {
    if (node instanceof Text) say(node);
    else sayAttributes(/** @type {Element} */ (node));
  }
}

/**
 * Whether nothing within an element is said.
 * @param {Element} element
 */
function isClosed(element) {
  if (!element.matches(BOTH)) return false;
  if (!element.matches(THEIRS)) sayAttributes(element);
  return true;
}

/**
 * @param {Node} node
 * @param {string} selector
 */
const isWithin = (node, selector) => Boolean((node instanceof Element ? node : node.parentElement)?.closest(selector));

/** @param {MutationRecord[]} changes */
function follow(changes) {
  for (const { type, target, addedNodes } of changes) {
    if (!target.isConnected) continue;
    if (type === "attributes") {
      if (!isWithin(target, THEIRS)) sayAttributes(/** @type {Element} */ (target));
    } else if (!isWithin(target, BOTH)) {
      if (type === "characterData") sayAll(target);
      else for (const node of addedNodes) if (node.parentNode) sayAll(node);
    }
  }
}

if (told) {
  const observer = new MutationObserver((changes) => {
    follow(changes);
    observer.takeRecords(); // What was said just now is not English that has come.
  });
  const { documentElement: page } = document;
  const { language } = told;
  const own = () => { if (language && page.lang !== language) page.lang = language; };
  new MutationObserver(own).observe(page, { attributes: true, attributeFilter: ["lang"] }); // Gradio sets the browser's.
  own();
  sayAll(page);
  for (const [name, text] of Object.entries(OF_SHEETS)) {
    page.style.setProperty(name, JSON.stringify(translated(text) ?? text));
  }
  observer.observe(page,
    { subtree: true, childList: true, characterData: true, attributes: true, attributeFilter: ATTRIBUTES });
}

// Settings > The page: a language for this browser, whatever the setting says for all.
when("#gesso_language", (place) => {
  /** @type {Record<string, string>} By code or name: as their speakers call them. */
  const languages = JSON.parse(document.getElementById("page_languages")?.textContent || "{}");
  const chosen = decodeURIComponent(/(?:^|; )gesso_language=([^;]*)/.exec(document.cookie)?.[1] ?? "");
  const names = [["", "As the setting above says"], ["None", "English"], ...Object.entries(languages)];
  const list = make("select", { onchange: () => {
    const age = list.value ? 31536000 : 0;
    document.cookie = `gesso_language=${encodeURIComponent(list.value)}; path=${new URL(document.baseURI).pathname}; max-age=${age}; samesite=lax`;
    location.reload();
  } }, ...names.map(([value, name], at) =>
    make("option", { value, selected: value === chosen, translate: at > 1 ? "no" : null, lang: at > 1 ? value : null }, name)));
  place.replaceChildren(make("label", {}, make("span", {}, "Language in this browser"), list));
});
