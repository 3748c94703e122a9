// @ts-check
// The line beside the bar: no connection, a checkpoint that is loaded, an engine that starts.
import { when } from "./dom.js";
import * as live from "./live.js";

/** @type {Record<string, string>} */
const WORDS = { starting: "Engine starting", restarting: "Engine restarting", failed: "Engine failed" };

when("#gesso_status", (place) => {
  const show = () => {
    const engine = live.engine();
    const { loading } = live.models();
    let text = "";
    let kind = "";
    if (!live.isConnected()) [text, kind] = ["Connection lost, reconnecting", "bad"];
    else if (loading) [text, kind] = [`Loading ${loading}`, "busy"];
    else if (engine && engine.state !== "ready") {
      text = engine.text || WORDS[engine.state] || engine.state;
      kind = engine.state === "failed" ? "bad" : "busy";
    }
    place.textContent = text;
    place.className = `status ${kind}`;
  };
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let shown;
  live.read(() => {
    clearTimeout(shown);
    shown = setTimeout(show, 120);
  });
  setTimeout(show, 1500);
});
