// Ctrl+Enter and, in a prompt, Shift+Enter generate, Alt+Enter skips, Esc closes what is open, else interrupts what runs.
(() => {
  const { live } = gesso;
  const begun = new Map(); // tab -> the job that was interrupted to begin anew, and the jobs that waited then

  /** Interrupts what this tab makes, and generates. Pressed again before that is over, the newest press counts alone. */
  function beginAnew(tab) {
    const running = live.running(tab);
    const waiting = live.of(tab).filter((job) => job.state === "queued");
    const earlier = begun.get(tab);
    if (earlier?.job === running.id) {
      for (const job of waiting.filter(({ id }) => !earlier.waited.has(id))) gesso.post(`internal/jobs/${job.id}/cancel`);
    } else {
      begun.set(tab, { job: running.id, waited: new Set(waiting.map(({ id }) => id)) });
    }
    gesso.interrupt(tab);
    gesso.generate(tab);
  }

  document.addEventListener("keydown", (event) => {
    const tab = gesso.tab();
    const works = Boolean(gesso.byId(`${tab}_generate`));
    if (event.isComposing) return;
    const inPrompt = event.target instanceof HTMLTextAreaElement && Boolean(event.target.closest(".prompt"));
    const command = event.ctrlKey || event.metaKey;
    if (event.key === "Enter" && works && (command || (event.shiftKey && inPrompt && !event.altKey))) {
      event.preventDefault();
      event.stopPropagation();
      // What was just typed into a number box counts only once the box is left.
      const active = document.activeElement;
      if (active instanceof HTMLInputElement) active.blur();
      setTimeout(() => (command && live.running(tab) && gesso.facts.begins_anew ? beginAnew(tab) : gesso.generate(tab)));
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
