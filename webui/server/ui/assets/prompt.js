// In the prompt boxes: token counters, weights by Ctrl+Up/Down, order by Alt+Left/Right, infotext dropped as a file.
(() => {
  const WAIT = 350; // milliseconds after the last key
  const DELIMITERS = /[\s.,\\/!?%^*;:{}=`~()[\]<>|]/;
  const TITLE = "Tokens used, of the places in their chunks";
  const timers = new Map();
  const latest = new Map(); // prompt -> its text and the styles that were chosen with it

  gesso.when(".prompt", (box) => {
    const counter = gesso.make("span.tokens", { id: `${box.id}_tokens`, title: TITLE }, "0/75");
    counter.hidden = !gesso.facts.counters;
    box.append(counter);
    const field = box.querySelector("textarea");
    if (field) gesso.count(box.id, field.value);
  });

  /** Asks for the number of tokens of a prompt, with its styles, when typing has paused. */
  gesso.count = (id, text, styles) => {
    const wanted = { text: text ?? "", styles: styles ?? latest.get(id)?.styles ?? [] };
    latest.set(id, wanted);
    clearTimeout(timers.get(id));
    if (gesso.facts.counters) timers.set(id, setTimeout(() => count(id, wanted), WAIT));
  };

  // Whoever changes these settings sees it at once, wherever it was done.
  let shown = "";
  gesso.live.read((what) => {
    if (what !== "page" && what !== "state") return;
    const now = `${gesso.facts.counters} ${gesso.facts.styles_count}`;
    if (now === shown) return;
    shown = now;
    for (const counter of document.querySelectorAll(".prompt .tokens")) counter.hidden = !gesso.facts.counters;
    for (const [id, { text, styles }] of latest) gesso.count(id, text, styles);
  });

  async function count(id, wanted) {
    const counter = gesso.byId(`${id}_tokens`);
    if (!counter) return;
    const { text } = wanted;
    const styles = gesso.facts.styles_count ? wanted.styles : [];
    const open = unbalanced(text);
    counter.classList.toggle("bad", Boolean(open));
    counter.title = open || TITLE;
    if (!text.trim() && !styles.length) {
      counter.textContent = "0/75";
      return;
    }
    const query = new URLSearchParams({ text: text.slice(0, 8000), positive: String(!id.includes("negative")) });
    for (const style of styles) query.append("styles", style);
    try {
      const answer = await fetch(gesso.url(`internal/tokens?${query}`));
      if (!answer.ok || latest.get(id) !== wanted) return;
      const { used, max } = await answer.json();
      counter.textContent = `${used}/${max}`;
    } catch {
      // No connection: the counter waits for the next key.
    }
  }

  function unbalanced(text) {
    const pairs = { "(": ")", "[": "]", "{": "}" };
    const counts = { "(": 0, "[": 0, "{": 0 };
    const plain = text.replace(/\\[\s\S]/g, "");
    for (const letter of plain) {
      for (const [left, right] of Object.entries(pairs)) {
        if (letter === left) counts[left]++;
        else if (letter === right) counts[left]--;
      }
    }
    const wrong = Object.keys(pairs).filter((left) => counts[left]);
    return wrong.map((left) => `${left}${pairs[left]} do not match (${counts[left] > 0 ? "+" : ""}${counts[left]})`).join(", ");
  }

  /** Replaces part of a text field so that Ctrl+Z knows of it. */
  function replace(area, start, end, text) {
    area.focus();
    area.setSelectionRange(start, end);
    if (!document.execCommand("insertText", false, text)) {
      area.setRangeText(text, start, end, "end");
      area.dispatchEvent(new Event("input", { bubbles: true }));
    }
  }

  /** The round, square or angle bracket around a place: {open, close} positions, or null. */
  function bracketAround(text, start, end, left, right) {
    let depth = 0;
    let open = -1;
    for (let at = start - 1; at >= 0; at--) {
      if (text[at - 1] === "\\") continue;
      if (text[at] === right) depth++;
      else if (text[at] === left && depth-- === 0) {
        open = at;
        break;
      }
    }
    if (open < 0) return null;
    depth = 0;
    for (let at = end; at < text.length; at++) {
      if (text[at - 1] === "\\") continue;
      if (text[at] === left) depth++;
      else if (text[at] === right && depth-- === 0) return { open, close: at };
    }
    return null;
  }

  const rounded = (weight) => Number(weight.toFixed(4)).toString();

  function changeWeight(area, by) {
    const text = area.value;
    let { selectionStart: start, selectionEnd: end } = area;
    const tag = bracketAround(text, start, end, "<", ">");
    if (tag) {
      const inside = text.slice(tag.open + 1, tag.close);
      const match = /^(.*:)(-?\d+(?:\.\d+)?)$/.exec(inside);
      if (!match) return;
      const next = `<${match[1]}${rounded(Number(match[2]) + Math.sign(by) * gesso.facts.precision_extra)}>`;
      replace(area, tag.open, tag.close + 1, next);
      area.setSelectionRange(tag.open + 1, tag.open + next.length - 1);
      return;
    }
    while (start < end && /\s/.test(text[start])) start++;
    while (end > start && /\s/.test(text[end - 1])) end--;
    let weight = 1;
    let from = start;
    let to = end;
    let content = text.slice(start, end);
    let around = bracketAround(text, start, end, "(", ")");
    const whole = around && (start === end || isAllOf(text, around, start, end));
    if (around && whole) {
      [content, weight] = weighed(text.slice(around.open + 1, around.close));
      from = around.open;
      to = around.close + 1;
      // ((x)): each pair counts 1.1
      while (text[from - 1] === "(" && text[to] === ")" && text[from - 2] !== "\\" && !/:/.test(text.slice(around.close, to))) {
        weight *= 1.1;
        from--;
        to++;
      }
    } else {
      const square = bracketAround(text, start, end, "[", "]");
      if (square && !/[:|]/.test(text.slice(square.open, square.close)) && (start === end || isAllOf(text, square, start, end))) {
        content = text.slice(square.open + 1, square.close);
        weight = 1 / 1.1;
        from = square.open;
        to = square.close + 1;
      } else if (start === end) {
        while (from > 0 && !DELIMITERS.test(text[from - 1])) from--;
        while (to < text.length && !DELIMITERS.test(text[to])) to++;
        content = text.slice(from, to);
        if (!content) return;
      }
    }
    const next = Number((weight + by).toFixed(4));
    if (next === 1) {
      replace(area, from, to, content);
      area.setSelectionRange(from, from + content.length);
    } else {
      replace(area, from, to, `(${content}:${rounded(next)})`);
      area.setSelectionRange(from + 1, from + 1 + content.length);
    }
  }

  /** Whether a selection is what a bracket holds, without its weight. */
  function isAllOf(text, { open, close }, start, end) {
    const [content] = weighed(text.slice(open + 1, close));
    return text.slice(start, end) === content && start === open + 1;
  }

  function weighed(inside) {
    const match = /^([\s\S]*):\s*(-?\d+(?:\.\d+)?)\s*$/.exec(inside);
    return match ? [match[1], Number(match[2])] : [inside, 1.1];
  }

  /** Moves the comma-separated pieces that the selection touches one place to the left or right. */
  function movePieces(area, by) {
    const text = area.value;
    const pieces = text.split(",");
    let at = 0;
    const spans = pieces.map((piece) => {
      const span = [at, at + piece.length];
      at += piece.length + 1;
      return span;
    });
    const first = spans.findIndex(([, end]) => area.selectionStart <= end);
    let last = spans.findIndex(([, end]) => area.selectionEnd <= end);
    if (first < 0 || last < 0) return;
    last = Math.max(first, last);
    const target = by < 0 ? first - 1 : last + 1;
    if (target < 0 || target >= pieces.length) return;
    const words = pieces.map((piece) => piece.trim());
    const lead = pieces.map((piece) => /^\s*/.exec(piece)[0]);
    const tail = pieces.map((piece) => piece.slice(piece.trimEnd().length));
    const [moved] = words.splice(target, 1);
    words.splice(by < 0 ? last : first, 0, moved);
    const built = words.map((word, place) => lead[place] + word + (word || !lead[place] ? tail[place] : ""));
    replace(area, 0, text.length, built.join(","));
    const ends = [];
    let sum = 0;
    for (const piece of built) {
      ends.push([sum, sum + piece.length]);
      sum += piece.length + 1;
    }
    area.setSelectionRange(ends[first + by][0] + lead[first + by].length, ends[last + by][1]);
  }

  document.addEventListener("keydown", (event) => {
    const area = event.target;
    if (!(area instanceof HTMLTextAreaElement) || !area.closest("[id$=prompt]")) return;
    const command = event.ctrlKey || event.metaKey;
    if (command && !event.altKey && (event.key === "ArrowUp" || event.key === "ArrowDown")) {
      event.preventDefault();
      changeWeight(area, event.key === "ArrowUp" ? gesso.facts.precision : -gesso.facts.precision);
    } else if (event.altKey && !command && (event.key === "ArrowLeft" || event.key === "ArrowRight")) {
      event.preventDefault();
      movePieces(area, event.key === "ArrowLeft" ? -1 : 1);
    }
  });

  // A picture or a text file dropped or pasted on a prompt: its infotext fills the form.
  gesso.when(".prompt textarea", (area) => {
    area.addEventListener("dragover", (event) => {
      if (event.dataTransfer?.types.includes("Files")) event.preventDefault();
    });
    for (const [kind, carried] of [["drop", "dataTransfer"], ["paste", "clipboardData"]]) {
      area.addEventListener(kind, (event) => {
        const file = event[carried]?.files[0];
        if (!file) return;
        event.preventDefault();
        event.stopPropagation();
        readFile(file).then((text) => {
          if (text) gesso.fill(area.closest("[id$=_prompt]").id.replace(/_(negative_)?prompt$/, ""), text);
          else gesso.say("No infotext was found in this file.");
        });
      });
    }
  });

  /** What a file says of how its picture was made; the server reads all that it can read of saved pictures. */
  async function readFile(file) {
    if (file.type === "text/plain") return file.size < 10000 ? file.text() : "";
    const image = await new Promise((done) => {
      const reader = new FileReader();
      reader.onload = () => done(reader.result);
      reader.onerror = () => done("");
      reader.readAsDataURL(file);
    });
    const answer = await gesso.post("sdapi/v1/png-info", { image });
    return answer.ok ? (await answer.json()).info : "";
  }
})();
