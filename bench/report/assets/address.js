/* What the reader sees, in the address: reloading, or sending it to somebody, shows it again. */
const address = (() => {
  const { $, data } = core;
  const MODES = ["slider", "side", "flicker", "error", "closer"];
  let section = "";
  let last = null;
  let pending = 0;

  const codecOf = (side) => (side === "original" ? side : data.codecs[side]?.id);
  const sideOf = (id) => (id === "original" ? id : data.codecs.findIndex((codec) => codec.id === id));

  /** All choices as text. */
  function written() {
    const words = new URLSearchParams();
    words.set("dataset", core.dataset().name);
    const { metric, log, hidden } = curves.state;
    if (metric) words.set("metric", metric);
    if (!log) words.set("axis", "linear");
    for (const codec of hidden) words.append("hide", data.codecs[codec].id);
    const { state } = viewer;
    if (state.scene) {
      words.set("image", state.scene.image);
      words.set("rate", state.scene.rates[state.rate].bpp);
      words.set("a", codecOf(state.a));
      words.set("b", codecOf(state.b));
      words.set("by", state.mode);
      words.set("at", Math.round(1000 * state.split) / 10);
      words.set("between", state.between ? "original" : "nothing");
      words.set("gain", state.gain);
      if (viewer.zoomed()) words.set("zoom", viewer.zoomed().flat().map((v) => Math.round(1000 * v) / 1000).join(" "));
    }
    return words.toString();
  }

  /** Write the choices behind the name of the section, once they are not those of a fresh page. */
  function write() {
    clearTimeout(pending);
    pending = 0;
    const now = written();
    if (last === null || now === last) return;
    last = now;
    try {
      history.replaceState(null, "", `#${section}&${now}`);
    } catch {
      /* a browser may refuse; then the address stays plain */
    }
  }

  /** Show what an address says; a word that this page does not know is passed over. */
  function read(words) {
    const place = data.datasets.findIndex((dataset) => dataset.name === words.get("dataset"));
    if (place >= 0 && place !== core.state.dataset) {
      if ($("#dataset")) $("#dataset").value = String(place);
      core.chooseDataset(place);
    }
    const hidden = words.getAll("hide").map(sideOf).filter((codec) => codec >= 0);
    curves.set({ metric: words.get("metric"), log: words.get("axis") !== "linear", hidden });
    const scene = pictures.scene(core.state.dataset, words.get("image"));
    if (scene) look(scene, words);
  }

  function look(scene, words) {
    const { state, stage } = viewer;
    const number = (name, fallback) => (words.has(name) && Number.isFinite(Number(words.get(name))) ? Number(words.get(name)) : fallback);
    const level = scene.rates.findIndex((rate) => rate.bpp === number("rate", NaN));
    const known = (side) => side === "original" || scene.rates[Math.max(0, level)].shots[side] != null;
    const [a, b] = ["a", "b"].map((key) => sideOf(words.get(key)));
    viewer.choose(scene);
    Object.assign(state, {
      rate: level < 0 ? state.rate : level,
      a: known(a) ? a : state.a,
      b: known(b) ? b : state.b,
      split: Math.min(1, Math.max(0, number("at", 50) / 100)),
      between: words.get("between") !== "nothing",
      gain: [8, 16, 32, 64, 128].find((gain) => gain === number("gain", 32)) ?? 32,
    });
    $("#gain").value = String(state.gain);
    $("#between").setAttribute("aria-pressed", String(state.between));
    viewer.controls();
    viewer.setMode(MODES.find((mode) => mode === words.get("by")) ?? "slider");
    const zoom = (words.get("zoom") ?? "").split(" ").map(Number);
    if (zoom.length === 3 && zoom.every(Number.isFinite) && zoom[0] > 0) viewer.zoomTo(zoom[0], zoom.slice(1));
    else stage.fit();
  }

  /** Follow the address: its choices if it has any, and the section that it names. */
  function follow() {
    const [name, ...rest] = location.hash.slice(1).split("&");
    section = document.getElementById(name) ? name : "answer";
    if (rest.length) {
      read(new URLSearchParams(rest.join("&")));
      document.getElementById(section).scrollIntoView({ behavior: "instant" });
    }
  }

  /** Begin; what a fresh page shows is not written. */
  function start() {
    const fresh = written();
    last = fresh;
    follow();
    last = written();
    core.on("changed", (where) => {
      if (written() === last) return;
      section = where;
      if (!pending) pending = setTimeout(write, 200);
    });
    addEventListener("hashchange", () => {
      follow();
      if (location.hash.includes("&") || last === fresh) return;
      last = ""; // a link to a section keeps what was chosen
      write();
    });
  }

  return { start, written };
})();
