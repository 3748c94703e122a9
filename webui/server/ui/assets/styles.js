// The dialog of saved styles: opens over the page, closes by Esc, its button, or a click beside it.
(() => {
  let before = null;
  const dialog = () => gesso.byId("styles_dialog");

  gesso.openStyles = (kind) => {
    before = document.activeElement;
    const box = dialog();
    box.dataset.kind = kind;
    box.classList.add("open");
    box.querySelector("input, textarea")?.focus();
  };

  /** Closes the dialog -> whether one was open. */
  gesso.closeDialog = () => {
    const box = dialog();
    if (!box?.classList.contains("open")) return false;
    box.classList.remove("open");
    before?.focus?.();
    return true;
  };

  gesso.when("#styles_dialog", (box) => {
    box.setAttribute("role", "dialog");
    box.setAttribute("aria-modal", "true");
    box.setAttribute("aria-labelledby", "styles_title");
    box.addEventListener("mousedown", (event) => event.target === box && gesso.closeDialog());
    box.addEventListener("keydown", (event) => {
      if (event.key !== "Tab") return;
      const stops = [...box.querySelectorAll("input, textarea, button")].filter((stop) => stop.offsetParent);
      const edge = event.shiftKey ? stops[0] : stops.at(-1);
      if (document.activeElement === edge) {
        event.preventDefault();
        (event.shiftKey ? stops.at(-1) : stops[0]).focus();
      }
    });
  });
  gesso.when("#styles_close", (button) => button.addEventListener("click", gesso.closeDialog));
})();
