// Small arithmetic of the forms, where a trip to the server would only be felt.
(() => {
  const { live } = gesso;
  const MODE = "#mode_img2img";

  /** The open sub-tab of img2img: "img2img", "sketch", "inpaint", "inpaint_sketch", "inpaint_upload", "batch". */
  gesso.mode = () =>
    document.querySelector(`${MODE} button[role=tab][aria-selected=true]`)?.id
      ?.replace(/^mode_img2img_|-button$/g, "") || "img2img";

  gesso.openSubTab = (id, tries = 40) => {
    const button = gesso.byId(`${id}-button`);
    if (button) button.click();
    else if (tries) setTimeout(() => gesso.openSubTab(id, tries - 1), 50);
  };

  function showMode() {
    const column = gesso.byId("img2img_settings");
    if (column) column.dataset.mode = gesso.mode();
    gesso.scaleText?.();
  }
  gesso.when(MODE, (tabs) => {
    showMode();
    new MutationObserver(showMode).observe(tabs, { subtree: true, attributes: true, attributeFilter: ["aria-selected"] });
  });

  /** What hires fix makes out of what. */
  gesso.hiresText = (on, width, height, scale, toWidth, toHeight) => {
    for (const id of ["txt2img_hr_scale"]) gesso.byId(id)?.classList.toggle("unused", Boolean(toWidth || toHeight));
    if (!on) return "";
    let to = [Math.floor(width * scale), Math.floor(height * scale)];
    if (toWidth && toHeight) to = [toWidth, toHeight];
    else if (toWidth) to = [toWidth, Math.floor((toWidth * height) / width)];
    else if (toHeight) to = [Math.floor((toHeight * width) / height), toHeight];
    return `<span>from <b>${Number(width)}×${Number(height)}</b> to <b>${Number(to[0])}×${Number(to[1])}</b></span>`;
  };

  function source() {
    const image = gesso.byId(`mode_img2img_${gesso.mode()}`)?.querySelector(".source img");
    return image?.naturalWidth ? [image.naturalWidth, image.naturalHeight] : null;
  }

  const eighths = (size) => Math.min(Math.max(Math.round(size / 8) * 8, 64), 2048);

  gesso.naturalSize = (width, height) => {
    const size = source();
    if (!size) gesso.say("There is no picture yet whose size could be taken.");
    return size ? size.map(eighths) : [width, height];
  };

  /** Says what "Resize by" makes of the picture; the server computes the same. */
  gesso.scaleText = (by) => {
    const text = gesso.byId("img2img_scale_text");
    if (!text) return;
    const size = source();
    const factor = Number(by ?? document.querySelector("#img2img_scale input[type=number]")?.value ?? 1);
    const down = (side) => Math.max(Math.floor((side * factor) / 8) * 8, 8);
    const bold = (sides) => gesso.make("b", {}, sides.join("×"));
    if (size) text.replaceChildren("from ", bold(size), " to ", bold(size.map(down)));
    else text.textContent = gesso.mode() === "batch" ? "of each picture's own size" : "Drop a picture first.";
  };
  gesso.when("#mode_img2img .source img", (image) => image.addEventListener("load", () => gesso.scaleText()));

  let given = "";

  /** What the paste button reads: what a file said, the prompt, or the infotext of the last picture. */
  gesso.infotextFor = (tab, text) => {
    const read = given || text.trim() || gesso.results.infotext(tab);
    given = "";
    return read;
  };

  /** Fills a form with what an infotext says. */
  gesso.fill = (tab, text) => {
    given = text;
    gesso.byId(`${tab}_paste`)?.click();
  };

  /** Rows that the settings put away show themselves once something in them matters. */
  gesso.untuck = (row, ...values) => {
    if (values.some((value) => value && !String(value).startsWith("Use same "))) gesso.byId(row)?.classList.remove("tucked");
  };

  /** Shows the controls of the script that is picked. */
  gesso.showScript = (tab, name) => {
    const wanted = `${tab}_script_${name.toLowerCase().replace(/[^\p{L}\p{N}]/gu, "_")}`;
    for (const body of gesso.byId(`${tab}_scripts`)?.querySelectorAll(".script-body") ?? []) {
      body.classList.toggle("chosen", body.id === wanted);
    }
  };

  /** Empties both prompts, with a way back. */
  gesso.cleared = () => {
    const tab = gesso.tab();
    const fields = ["prompt", "negative_prompt"].map((name) => gesso.field(`${tab}_${name}`));
    const old = fields.map((field) => field?.value ?? "");
    if (old.some(Boolean)) {
      gesso.say("Prompts cleared.", "note", ["Undo", () => fields.forEach((field, at) => gesso.type(field, old[at]))]);
    }
    return ["", ""];
  };

  // "1024x768" pasted into width or height fills both.
  document.addEventListener("paste", (event) => {
    const match = /^\s*(\d{2,5})\s*[x×*]\s*(\d{2,5})\s*$/.exec(event.clipboardData?.getData("text") ?? "");
    const box = event.target.closest?.("[id$=_width], [id$=_height]");
    if (!match || !box) return;
    event.preventDefault();
    const tab = box.id.replace(/_(width|height)$/, "");
    ["width", "height"].forEach((side, at) => {
      const field = document.querySelector(`#${tab}_${side} input[type=number]`);
      if (!field) return;
      gesso.type(field, match[at + 1]);
      field.dispatchEvent(new Event("blur", { bubbles: true }));
    });
  });

  // The checkpoint in the bar: busy while one is loaded. One that cannot be loaded is said; the server has taken it back,
  // or, where it knows no better one, it stands, and so does the reason.
  let wasLoading = "";
  let standing = "";
  live.read((what, told) => {
    if (what === "refused") {
      refused(told.message);
      gesso.showSettings();
    }
    if (what !== "models" && what !== "state") return;
    const { loading, message } = live.models;
    gesso.byId("setting_sd_model_checkpoint")?.classList.toggle("loading", Boolean(loading));
    if (wasLoading && !loading) gesso.showSettings();
    wasLoading = loading;
    if (message === standing) return;
    standing = message;
    if (message) refused(message);
    else document.querySelector("#gesso_model_notice.standing")?.remove();
  });

  function refused(message) {
    document.querySelector("#gesso_model_notice")?.remove();
    const notice = gesso.make(`div.notice.bad${message === standing ? ".standing" : ""}`,
      { id: "gesso_model_notice", role: "alert" },
      gesso.make("b", {}, message), gesso.iconButton("close", "Dismiss", () => notice.remove()));
    gesso.byId("quicksettings")?.after(notice);
  }

  /** Brings the bar to what the server's settings say. */
  gesso.showSettings = () => gesso.byId("quicksettings_show")?.click();
})();
