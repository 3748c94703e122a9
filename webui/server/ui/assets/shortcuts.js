// Ctrl+Enter generates, Alt+Enter skips, Esc closes what is open, else interrupts what runs.
(() => {
  document.addEventListener("keydown", (event) => {
    const tab = gesso.tab();
    const works = Boolean(gesso.byId(`${tab}_generate`));
    if (event.key === "Enter" && works && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      event.stopPropagation();
      // What was just typed into a number box counts only once the box is left.
      const active = document.activeElement;
      if (active instanceof HTMLInputElement) active.blur();
      setTimeout(() => gesso.generate(tab));
    } else if (event.key === "Enter" && works && event.altKey) {
      event.preventDefault();
      gesso.skip(tab);
    } else if (event.key === "Escape" && !event.defaultPrevented && !gesso.lightbox.isOpen) {
      if (gesso.closeDialog()) return;
      if (document.activeElement?.getAttribute("aria-expanded") === "true") return;
      if (works && gesso.live.running(tab)) gesso.interrupt(tab);
    }
  }, true);
})();
