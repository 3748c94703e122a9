// @ts-check
// Dark or light: what the server was told, else what the person chose here, else what the system says.
import { when } from "./dom.js";
import { facts } from "./facts.js";

const system = matchMedia("(prefers-color-scheme: dark)");
const asked = new URL(location.href).searchParams.get("__theme");
const chosen = () => localStorage.getItem("gesso_theme");
const wanted = () => chosen() || asked || facts.theme || (system.matches ? "dark" : "light");

function show() {
  const dark = wanted() === "dark";
  document.body.classList.toggle("dark", dark);
  document.documentElement.style.colorScheme = dark ? "dark" : "light";
}
show();
system.addEventListener("change", () => setTimeout(show));

when("#theme_toggle", (button) => {
  button.addEventListener("click", () => {
    localStorage.setItem("gesso_theme", wanted() === "dark" ? "light" : "dark");
    show();
  });
});
