// @ts-check
// The button for dark or light; `inline/theme.js` shows what is chosen.
import { when } from "./dom.js";

when("#theme_toggle", (button) => {
  button.addEventListener("click", () => {
    localStorage.setItem("gesso_theme", document.body.classList.contains("dark") ? "light" : "dark");
    document.dispatchEvent(new Event("gesso:theme"));
  });
});
