// Settings > System: which models are in memory, what their parts take, and how the last one used lies there.
(() => {
  const { live } = gesso;
  const NAMES = { unet: "UNet", vae: "VAE", text: "Text encoder", text_2: "Second text encoder", text_3: "T5", transformer: "Transformer" };
  const size = (bytes) => (bytes >= 2 ** 30 ? `${(bytes / 2 ** 30).toFixed(2)} GiB` : `${(bytes / 2 ** 20).toFixed(0)} MiB`);

  function draw(panel) {
    const { parts = [], profile = "" } = live.models;
    if (!parts.length) {
      panel.replaceChildren(gesso.make("p", {}, "No model is in memory."));
      return;
    }
    const rows = parts.map(({ model, part, nbytes, device }, at) =>
      gesso.make("tr", {},
        gesso.make("td", {}, at && parts[at - 1].model === model ? "" : model),
        gesso.make("td", {}, NAMES[part] ?? part),
        gesso.make("td.number", {}, size(nbytes)),
        gesso.make("td", {}, device)));
    const heads = ["Model", "Part", "Size", "Where"].map((title) => gesso.make("th", { scope: "col" }, title));
    panel.replaceChildren(
      gesso.make("p", {}, profile),
      gesso.make("table", {}, gesso.make("thead", {}, gesso.make("tr", {}, ...heads)), gesso.make("tbody", {}, ...rows)));
  }

  gesso.when("#memory_parts", (panel) => {
    draw(panel);
    live.read((what) => {
      if (what === "models" || what === "state") draw(panel);
    });
  });
})();
