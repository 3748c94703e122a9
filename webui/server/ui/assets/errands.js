// Jobs without pictures: a merged checkpoint, a picture described in words.
(() => {
  const { make, live } = gesso;
  const over = (job) => !["queued", "running"].includes(job.state);
  const latest = (kind) => live.of(kind).sort((a, b) => b.created - a.created)[0];
  const seen = new Map(); // kind -> the job whose end has been acted upon, or was there before the page
  let known = null; // jobs that were there when a description was asked for

  function words(job) {
    if (job.state === "queued") return "Waits for its turn.";
    if (job.state === "running") return job.text || "Runs.";
    if (job.state === "failed") return [job.error?.message, job.error?.hint].filter(Boolean).join(" ");
    return job.state === "done" ? `Made: ${job.answer}` : "Stopped; nothing was written.";
  }

  function draw() {
    for (const place of document.querySelectorAll(".gesso-errand")) {
      const job = latest(place.dataset.kind);
      const shown = job ? JSON.stringify([job.id, job.state, job.text, job.progress]) : "";
      if (place.dataset.shown === shown) continue;
      place.dataset.shown = shown;
      if (!job) place.replaceChildren();
      else {
        place.replaceChildren(make("p.errand-what", {}, job.prompt), make(`p.errand-says.${job.state}`, {}, words(job)),
          ...(job.state === "running" ? [make("div.track", {}, make("div.bar", { style: `width: ${Math.round(job.progress * 100)}%` }))] : []));
      }
    }
  }

  /** A new checkpoint is there: the lists take it up. */
  function merged(what) {
    const job = latest("merge");
    if (!job || !over(job)) return;
    const old = seen.get("merge");
    seen.set("merge", job.id);
    if (what === "state" || old === job.id || job.state !== "done") return;
    gesso.byId("refresh_sd_model_checkpoint")?.click();
    gesso.byId("merge_refresh")?.click();
  }

  function described() {
    if (!known) return;
    const job = live.of("interrogate").find((one) => !known.has(one.id) && over(one));
    if (!job) return;
    known = null;
    if (job.state === "done") gesso.type(gesso.field("img2img_prompt"), job.answer);
    else if (job.state === "failed") gesso.say(words(job), "bad");
  }

  for (const model of ["clip", "deepdanbooru"]) {
    gesso.when(`#img2img_interrogate_${model}`, (button) => button.addEventListener("click", () => {
      const ask = gesso.byId(`img2img_ask_${model}_${gesso.mode()}`);
      if (!ask) return gesso.say("There is no single picture here to describe.");
      known = new Set(live.of("interrogate").map((job) => job.id));
      return ask.click();
    }));
  }
  gesso.when(".gesso-errand", draw);
  live.read((what) => {
    draw();
    merged(what);
    described();
  });
})();
