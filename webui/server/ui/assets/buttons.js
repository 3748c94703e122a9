// Generate, Interrupt and Skip: shown and named as the event stream says; the title carries the progress.
(() => {
  const { live } = gesso;
  const VERBS = { merge: "Merge" };
  const asked = new Map(); // job -> how often its interruption was asked for here

  async function act(tab, what) {
    const job = live.running(tab);
    if (!job) return;
    if (what === "interrupt") asked.set(job.id, (asked.get(job.id) ?? 0) + 1);
    draw();
    const answer = await gesso.post(`internal/jobs/${job.id}/${what}`);
    if (!answer.ok && answer.status !== 404) gesso.say(`The server did not ${what} the job.`, "bad");
  }

  gesso.interrupt = (tab) => act(tab, "interrupt");
  gesso.skip = (tab) => act(tab, "skip");

  /** Presses Generate of a tab; img2img has one button a sub-tab, and this finds the right one. */
  gesso.generate = (tab) => gesso.byId(`${tab}_generate`)?.click();

  function draw() {
    for (const box of document.querySelectorAll(".generate-box")) {
      const tab = box.id.replace("_generate_box", "");
      const job = live.running(tab);
      box.classList.toggle("running", Boolean(job));
      const interrupt = gesso.byId(`${tab}_interrupt`);
      const generate = gesso.byId(`${tab}_generate`);
      if (!interrupt || !generate) continue;
      const times = job ? asked.get(job.id) ?? 0 : 0;
      set(interrupt, times ? "Interrupting…" : "Interrupt",
        times && job.count > 1 ? "Once more stops at once" : "Stop, and keep what is finished (Esc)");
      set(gesso.byId(`${tab}_skip`), "Skip", "Go on with the next batch (Alt+Enter)");
      const anew = gesso.facts.begins_anew;
      const more = anew ? "One more job, after those that wait (Ctrl+Enter interrupts, and begins anew)"
        : "One more job, after those that wait (Ctrl+Enter)";
      set(generate, VERBS[tab] ?? "Generate", job ? more : "Ctrl+Enter");
    }
    const job = live.jobs().find((any) => any.mine && any.state === "running");
    document.title = job ? `[${Math.round(job.progress * 100)} %] Gesso` : "Gesso";
  }

  function set(button, text, title) {
    if (!button) return;
    if (button.textContent.trim() !== text) button.textContent = text;
    button.title = title;
  }

  gesso.when(".generate-box button[id$=_interrupt]", (button) =>
    button.addEventListener("click", () => gesso.interrupt(button.id.replace("_interrupt", ""))));
  gesso.when(".generate-box button[id$=_skip]", (button) =>
    button.addEventListener("click", () => gesso.skip(button.id.replace("_skip", ""))));
  gesso.when("#img2img_generate", (button) =>
    button.addEventListener("click", () => gesso.byId(`img2img_run_${gesso.mode()}`)?.click()));
  gesso.when(".generate-box", draw);
  live.read(draw);
})();
