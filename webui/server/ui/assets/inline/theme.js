// @ts-check
// Dark or light: what the person chose here, else what the address says, else what the server was told, else the system.
// It stands in the page itself, no module: a dark page that comes up light for a moment is a flash in the eyes.
{
  const system = matchMedia("(prefers-color-scheme: dark)");
  const asked = new URL(location.href).searchParams.get("__theme");
  const facts = JSON.parse(document.getElementById("page_facts")?.textContent || "{}");

  const show = () => {
    const wanted = localStorage.getItem("gesso_theme") || asked || facts.theme || (system.matches ? "dark" : "light");
    document.body.classList.toggle("dark", wanted === "dark");
    document.documentElement.style.colorScheme = wanted === "dark" ? "dark" : "light";
  };
  show();
  system.addEventListener("change", () => setTimeout(show));
  document.addEventListener("gesso:theme", show);
}
