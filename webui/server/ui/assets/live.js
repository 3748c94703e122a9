// The one channel from the server: what it says is the page's state; the page keeps none of its own.
(() => {
  const SOON = 250;
  const LONGEST_WAIT = 900; // ms: whoever comes back sees the true state within about a second
  const SILENCE = 10000; // ms without a word, though the server says every few seconds that it is there
  const jobs = new Map();
  const readers = [];
  const live = (gesso.live = { connected: false, engine: null, models: { loading: "", message: "" }, previews: new Map() });
  let seq = 0;
  let wait = SOON;
  let socket = null;
  let lost = 0;
  let next = 0;
  let heard = 0;

  /** Calls `read(what)` after each message; `what` is its type: state, job, preview, models, refused, engine, page, link. */
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
        if (message.page) Object.assign(gesso.facts, message.page);
        for (const preview of message.previews ?? []) live.previews.set(preview.job_id, preview);
        break;
      case "job":
        jobs.set(message.job.id, message.job);
        if (!["queued", "running"].includes(message.job.state)) live.previews.delete(message.job.id);
        break;
      case "removed":
        jobs.delete(message.job_id);
        break;
      case "page": {
        const { type, seq: _, ...facts } = message;
        Object.assign(gesso.facts, facts);
        break;
      }
      case "preview":
        live.previews.set(message.job_id, message);
        break;
      case "models":
        live.models = message;
        break;
      case "engine":
        live.engine = message;
        break;
      case "still":
        return;
    }
    tell(message.type, message);
  }

  function connect() {
    clearTimeout(next);
    const address = new URL(gesso.url(`internal/ws?since=${seq}`));
    address.protocol = address.protocol.replace("http", "ws");
    socket = new WebSocket(address);
    heard = Date.now();
    socket.onopen = () => {
      wait = SOON;
      live.connected = true;
      clearTimeout(lost);
      tell("link");
    };
    socket.onmessage = (event) => {
      heard = Date.now();
      take(JSON.parse(event.data));
    };
    socket.onclose = () => {
      if (live.connected) {
        // A moment of grace: a restart of the server or a sleeping laptop need not flash a warning.
        clearTimeout(lost);
        lost = setTimeout(() => tell("link"), 1200);
      }
      live.connected = false;
      next = setTimeout(connect, wait * (0.8 + 0.4 * Math.random()));
      wait = Math.min(wait * 1.7, LONGEST_WAIT);
    };
  }
  connect();

  /** Connects anew at once: a network that went away, or a sleep, leaves a connection that looks open and is dead. */
  function renew() {
    socket.onopen = socket.onmessage = null;
    const closed = socket.onclose;
    socket.onclose = null;
    socket.close();
    closed();
    connect();
  }
  const renewIfSilent = (ms) => { if (Date.now() - heard > ms) renew(); };
  setInterval(() => renewIfSilent(SILENCE), 1000);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) renewIfSilent(SILENCE / 2); });
  window.addEventListener("online", renew);
  window.addEventListener("pageshow", (event) => { if (event.persisted) renew(); });

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
