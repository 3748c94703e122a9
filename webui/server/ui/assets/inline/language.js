// @ts-check
// Before Gradio reads what it is to build: what lists offer, in the visitor's language (what is picked of them stands in
// boxes, where no text can be changed later), and Gradio's own texts in the page's language, not in the browser's.
{
  const told = JSON.parse(document.getElementById("page_words")?.textContent || "null");
  /** @type {Record<string, string>} */
  const gradios = { "zh-Hans": "zh-CN", "zh-Hant": "zh-TW" };
  const language = told ? told.language : "en";
  if (language) {
    const one = gradios[language] ?? language;
    Object.defineProperties(navigator, { language: { get: () => one }, languages: { get: () => [one] } });
  }
  /** @type {{components?: {props: {choices?: [string, unknown][], elem_classes?: string[]}}[]}} */
  const page = Reflect.get(globalThis, "gradio_config") ?? {};
  const said = (/** @type {string | undefined} */ name = "") => told.words[name] ?? name;
  for (const { props } of told ? page.components ?? [] : []) {
    if (!Array.isArray(props.choices)) continue;
    const isOfNames = props.elem_classes?.includes("names");
    props.choices = props.choices.map(([name, value]) => {
      if (isOfNames && !told.lines.includes(name)) return [name, value];
      const part = /^\[(.+?)\] (.+)$/.exec(name); // an axis of a feature: "[Hires. fix] Upscaler"
      return [told.words[name] === undefined && part ? `[${said(part[1])}] ${said(part[2])}` : said(name), value];
    });
  }
}
