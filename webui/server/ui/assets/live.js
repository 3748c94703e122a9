// The one channel from the server: what it says is the page's state; the page keeps none of its own.
(() => {
  const jobs = new Map();
  const readers = [];
  const live = (gesso.live = { connected: false, engine: null, models: { loading: "", message: "" }, previews: new Map() });
  let seq = 0;
  let wait = 250;
  let socket = null;
  let lost = 0;

  /** Calls `read(what)` after each message; `what` is its type: state, job, preview, models, engine, link. */
  live.read = (read) => readers.push(read);
  live.jobs = () => [...jobs.values()];
  live.job = (id) => jobs.get(id);
  live.of = (tab) => live.jobs().filter((job) => job.mine && job.tab === tab);
  live.running = (tab) => live.of(tab).find((job) => job.state === "running");
  live.waiting = () => live.jobs().filter((job) => job.state === "queued")
    .sort((a, b) => (a.position || Infinity) - (b.position || Infinity) || a.created - b.created);

  function tell(what, detail) {
    for (const read of readers) read(what, detail);
  }

  function take(message) {
    if (message.seq) seq = Math.max(seq, message.seq);
    switch (message.type) {
      case "state":
        if (message.jobs) {
          jobs.clear();
          for (const job of message.jobs) jobs.set(job.id, job);
        }
        if (message.models) live.models = message.models;
        if (message.engine) live.engine = message.engine;
        for (const preview of message.previews ?? []) live.previews.set(preview.job_id, preview);
        break;
      case "job":
        jobs.set(message.job.id, message.job);
        if (!["queued", "running"].includes(message.job.state)) live.previews.delete(message.job.id);
        break;
      case "removed":
        jobs.delete(message.job_id);
        break;
      case "preview":
        live.previews.set(message.job_id, message);
        break;
      case "models":
        live.models = message;
        break;
      case "engine":
        live.engine = message;
        break;
    }
    tell(message.type, message);
  }

  function connect() {
    const address = new URL(gesso.url(`internal/ws?since=${seq}`));
    address.protocol = address.protocol.replace("http", "ws");
    socket = new WebSocket(address);
    socket.onopen = () => {
      wait = 250;
      live.connected = true;
      clearTimeout(lost);
      tell("link");
    };
    socket.onmessage = (event) => take(JSON.parse(event.data));
    socket.onclose = () => {
      if (live.connected) {
        // A moment of grace: a restart of the server or a sleeping laptop need not flash a warning.
        clearTimeout(lost);
        lost = setTimeout(() => tell("link"), 1200);
      }
      live.connected = false;
      setTimeout(connect, wait * (0.8 + 0.4 * Math.random()));
      wait = Math.min(wait * 1.7, 8000);
    };
  }
  connect();

  // A page that comes back from sleep should not wait for the next try.
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && socket.readyState === WebSocket.CLOSED) wait = 250;
  });

  gesso.when("#gesso_status", (place) => {
    const show = () => {
      const engine = live.engine;
      let text = "";
      let kind = "";
      if (!live.connected) [text, kind] = ["No connection, trying again", "bad"];
      else if (live.models.loading) [text, kind] = [`Loading ${live.models.loading}`, "busy"];
      else if (engine && engine.state !== "ready") {
        const words = { starting: "Engine starting", restarting: "Engine restarting", failed: "Engine failed" };
        [text, kind] = [engine.text || words[engine.state] || engine.state, engine.state === "failed" ? "bad" : "busy"];
      }
      place.textContent = text;
      place.className = `status ${kind}`;
    };
    let shown = 0;
    live.read(() => {
      clearTimeout(shown);
      shown = setTimeout(show, 120);
    });
    setTimeout(show, 1500);
  });
})();
