/* The viewer: two codecs on one image at one rate, by slider, side by side, flicker or error. */
const viewer = (() => {
  const { $, $$, el, data } = core;
  const ORIGINAL = "original";
  const FLICKER_MS = 700; // slow enough to be no flashing (WCAG 2.3.1: at most three a second)
  const EQUAL = 1.02; // rates closer than this factor are called matched
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  const state = { scene: null, rate: 0, a: null, b: null, mode: "slider", split: 0.5, between: true, frame: 0, playing: true, gain: 32 };
  const stage = new Stage($("#stage"), $("#canvas"));
  let timer = 0;
  let wanted = null; // where to look once the pictures are decoded
  let turn = 0;

  const rate = () => state.scene.rates[state.rate];
  /** Number of the picture of a side; the original where that is chosen. */
  const shotOf = (side) => (side === ORIGINAL ? state.scene.original : rate().shots[side]);
  const nameOf = (side) => (side === ORIGINAL ? "original" : data.codecs[side].name);

  /** Keep the two codecs where the rate has them; else the pair that the answer is about. */
  function sides() {
    const known = Object.keys(rate().shots).map(Number);
    for (const key of ["a", "b"]) if (state[key] !== ORIGINAL && !known.includes(state[key])) state[key] = null;
    const best = [...core.dataset().pair, ...standing()].filter((codec) => known.includes(codec));
    const free = (other) => [...best, ...known, ORIGINAL].find((codec) => codec !== other);
    state.a ??= free(state.b);
    state.b ??= free(state.a);
  }

  /** Codecs by the order of the first table of bits: the best first. */
  function standing() {
    const rows = $$(`.dataset[data-dataset="${core.state.dataset}"] .card:first-child .bar .codec`);
    return rows.map((node) => Number([...node.classList].find((c) => /^k\d+$/.test(c)).slice(1)));
  }

  /** How far apart the rates of the first pair are at a rate of an image, as a factor. */
  function apart({ shots }) {
    const [a, b] = core.dataset().pair.map((codec) => data.shots[shots[codec]]?.bpp);
    return a && b ? Math.max(a / b, b / a) : Infinity;
  }

  function strip() {
    const buttons = pictures.scenes().map((scene) => {
      const image = el("img", { alt: "", loading: "lazy", src: pictures.url(scene.original) });
      return el("button", { type: "button", "aria-pressed": scene === state.scene ? "true" : "false", "data-image": scene.image, onclick: () => choose(scene) },
        image, el("span", { text: scene.image }));
    });
    $("#strip").replaceChildren(...buttons);
    $("#strip").hidden = buttons.length < 2;
  }

  function choose(scene) {
    const before = state.scene ? rate().bpp : null;
    state.scene = scene;
    const rates = scene.rates.map((r) => r.bpp);
    const near = (target) => rates.reduce((best, v, i) => (Math.abs(Math.log(v / target)) < Math.abs(Math.log(rates[best] / target)) ? i : best), 0);
    state.rate = near(before ?? 0.3);
    if (before === null && apart(rate()) > EQUAL) state.rate = rates.reduce((best, _, i) => (apart(scene.rates[i]) < apart(scene.rates[best]) ? i : best), state.rate);
    for (const button of $$("#strip button")) button.setAttribute("aria-pressed", String(button.dataset.image === scene.image));
    controls();
  }

  function controls() {
    core.radios($("#rate"), "rate", state.scene.rates.map((r, i) => [i, r.target || String(r.bpp)]), state.rate, (i) => {
      state.rate = i;
      controls();
    });
    sides();
    for (const key of ["a", "b"]) {
      const select = $(`#codec-${key}`);
      const options = [...Object.keys(rate().shots).map((c) => [c, data.codecs[c].name]), [ORIGINAL, "original"]];
      select.replaceChildren(...options.map(([v, text]) => el("option", { value: v, text })));
      select.value = String(state[key]);
    }
    for (const key of ["a", "b"]) $(`#versus-${key}`).textContent = nameOf(state[key]);
    update();
  }

  /** Decode what is wanted and show it; a later wish overtakes an earlier one. */
  async function update() {
    const mine = ++turn;
    $("#stage").setAttribute("aria-busy", "true");
    const busy = setTimeout(() => ($("#busy").hidden = false), 150);
    const shots = [shotOf(state.a), shotOf(state.b), state.scene.original];
    try {
      const [a, b, original] = await Promise.all(shots.map(pictures.get));
      if (mine !== turn) return;
      render(a, b, original);
      if (wanted) stage.look(...wanted);
      wanted = null;
      captions(a, b, original);
      core.emit("changed", "pictures");
    } catch (error) {
      $("#match").textContent = `A picture cannot be decoded by this browser (${error.message}).`;
    } finally {
      clearTimeout(busy);
      if (mine === turn) {
        $("#busy").hidden = true;
        $("#stage").setAttribute("aria-busy", "false");
      }
    }
  }

  function render(a, b, original) {
    const { mode } = state;
    const size = [original.bitmap.width, original.bitmap.height];
    clearInterval(timer);
    $("#divider").hidden = mode !== "slider";
    $("#gain-box").hidden = mode !== "error";
    $("#flicker-box").hidden = mode !== "flicker";
    const legend = $("#legend");
    legend.hidden = mode !== "error" && mode !== "closer";
    $("#between").disabled = mode === "error" || mode === "closer";
    const three = state.between && (mode === "slider" || mode === "side");
    $("#stage").classList.toggle("three", three);
    $("#stage").classList.toggle("side", mode === "side");
    if (mode === "error") {
      const maps = [a, b].map((p) => heat.error(pictures.pixels(original), pictures.pixels(p), state.gain));
      legend.replaceChildren("no error", el("i", { style: `background:${heat.errorScale}` }), `${state.gain} levels or more`);
      stage.show(maps, { size });
    } else if (mode === "closer") {
      const { canvas, share } = heat.closer(...[original, a, b].map(pictures.pixels));
      legend.replaceChildren(nameOf(state.a), el("i", { style: `background:${heat.closerScale}` }), nameOf(state.b));
      state.share = share;
      stage.show([canvas], { size });
    } else if (mode === "flicker") {
      const shown = { [ORIGINAL]: original, a, b };
      const draw = () => {
        stage.show([shown[frames()[state.frame % frames().length]].bitmap], { size });
        tags();
      };
      draw();
      $("#flicker-play").textContent = state.playing ? "Pause" : "Play";
      $("#flicker-play").setAttribute("aria-pressed", String(state.playing));
      if (state.playing) timer = setInterval(() => {
        state.frame++;
        draw();
      }, FLICKER_MS);
    } else {
      const sources = three ? [a, original, b] : [a, b];
      stage.show(sources.map((p) => p.bitmap), { size, split: mode === "slider" ? state.split : null });
    }
    tags();
    divide(state.split);
  }

  /** What flicker shows in turn. */
  const frames = () => (state.between ? ["a", ORIGINAL, "b", ORIGINAL] : ["a", "b"]);

  /** What is written on a picture: whose it is, its rate and its scores. */
  function written(side) {
    if (side === ORIGINAL) return [el("b", { text: "original" })];
    const shot = data.shots[shotOf(side)];
    const scores = core.dataset().metrics.filter((m) => shot.values[m] != null).map((m, i) =>
      el("span", { class: i ? "more" : null, text: `${core.metric(m).words} ${core.show(m, shot.values[m])}${core.unit(m)}` }));
    return [el("b", { text: nameOf(side) }), el("span", { text: `${core.number(shot.bpp, 3)} bpp` }), ...scores];
  }

  function tags() {
    const [a, b] = [$("#tag-a"), $("#tag-b")];
    const frame = frames()[state.frame % frames().length];
    const first = state.mode !== "flicker" ? state.a : frame === ORIGINAL ? ORIGINAL : state[frame];
    a.replaceChildren(...written(first));
    b.replaceChildren(...written(state.b));
    a.hidden = state.mode === "closer";
    b.hidden = state.mode === "flicker" || state.mode === "closer";
    $("#tag-o").hidden = !$("#stage").classList.contains("three");
    if (state.mode === "side") $("#tag-o").style.left = "";
  }

  function captions(a, b, original) {
    const reference = pictures.pixels(original);
    const here = [a, b].map((p) => heat.psnr(reference, pictures.pixels(p)));
    const shots = [state.a, state.b].map((side) => (side === ORIGINAL ? null : data.shots[shotOf(side)]));
    const [x, y, w, h] = state.scene.window;
    const part = w < state.scene.size[0] || h < state.scene.size[1];
    const rows = [["setting", (s) => s.setting], ["file, bytes", (s) => core.bytes(s.bytes)], ["bpp, whole file", (s) => core.number(s.bpp, 3), (s) => -s.bpp]];
    for (const m of core.dataset().metrics)
      rows.push([core.metric(m).title, (s) => core.show(m, s.values[m]), (s) => core.value(s.values[m]) * (core.metric(m).higher ? 1 : -1)]);
    const cell = (read, rank, mine, other) => {
      const won = rank && mine && other && rank(mine) > rank(other);
      return el("td", { text: mine ? read(mine) : "–", class: won ? "win" : null });
    };
    const lines = rows.map(([title, read, rank]) => el("tr", {}, el("th", { scope: "row", text: title }), cell(read, rank, ...shots), cell(read, rank, shots[1], shots[0])));
    const computed = el("tr", { title: "computed by this browser from the pictures shown" }, el("th", { scope: "row", text: part ? "PSNR of this part (dB)" : "PSNR, recomputed here (dB)" }),
      ...here.map((v, i) => el("td", { class: "here", text: shots[i] ? core.number(v, 2) : "–" })));
    $("#versus").replaceChildren(...lines, computed);
    match(shots, part ? `Shown is the part of ${w} × ${h} pixels with most detail, at ${x}, ${y} of ${state.scene.size.join(" × ")}.` : "");
  }

  /** Say how well the two rates match; a comparison at unequal rates is no comparison. */
  function match(shots, part) {
    const line = $("#match");
    const sentences = [];
    const [a, b] = shots;
    let off = false;
    const ratio = a && b ? a.bpp / b.bpp : 1;
    const more = Math.round(100 * (Math.max(ratio, 1 / ratio) - 1));
    if (a && b && state.a !== state.b && rate().target) {
      sentences.push(`At equal quality, ${rate().target}: ${more ? `${nameOf(ratio > 1 ? state.a : state.b)} needs ${more} % more bits` : "both need equally many bits"} on this image.`);
    } else if (a && b && state.a !== state.b) {
      off = more > 12;
      const [one, two] = a.exact ? [state.a, state.b] : [state.b, state.a];
      const larger = ratio > 1 ? state.a : state.b;
      if (off) sentences.push(`Not a matched pair: ${nameOf(larger)} spends ${more} % more bits; ${a.exact || b.exact ? "their settings come no closer" : "the stored settings come no closer; bench report --exact-rates encodes to the very rate"}.`);
      else if (more > 2) sentences.push(`Nearly matched: ${nameOf(larger)} spends ${more} % more bits.`);
      else sentences.push("Matched: the two files differ by at most 2 %.");
      if (a.exact !== b.exact) sentences.push(`${nameOf(one)} was encoded for this page to the rate of ${nameOf(two)}.`);
      if (a.exact && b.exact) sentences.push(`Both were encoded for this page to ${rate().bpp} bpp.`);
    }
    if (state.mode === "closer" && state.a !== state.b) sentences.push(`${nameOf(state.a)} is closer to the original on ${Math.round(100 * state.share)} % of the area.`);
    if (part) sentences.push(part);
    line.textContent = sentences.join(" ");
    line.classList.toggle("off", off);
  }

  function divide(share) {
    state.split = Math.min(1, Math.max(0, share));
    const divider = $("#divider");
    divider.style.left = `${100 * state.split}%`;
    if (state.mode === "slider") $("#tag-o").style.left = `${100 * state.split}%`;
    divider.setAttribute("aria-valuenow", Math.round(100 * state.split));
    if (state.mode === "slider" && stage.split !== null) {
      stage.split = state.split;
      stage.draw();
    }
    core.emit("changed", "pictures");
  }

  function setMode(mode) {
    state.mode = mode;
    if (mode === "flicker") {
      state.frame = 0;
      state.playing = !calm.matches;
    }
    $(`#mode input[value=${mode}]`).checked = true;
    update();
  }

  function swap() {
    [state.a, state.b] = [state.b, state.a];
    controls();
  }

  /** In flicker, the next picture. */
  function other() {
    state.frame++;
    state.playing = false;
    update();
  }

  function setBetween(between) {
    state.between = between;
    $("#between").setAttribute("aria-pressed", String(between));
    update();
  }

  /** From elsewhere in the page: show an image, with one codec on the left. */
  function look(image, codec) {
    const scene = pictures.scene(core.state.dataset, image);
    if (!scene) return;
    choose(scene);
    if (codec in rate().shots) {
      if (state.b === codec) state.b = state.a;
      state.a = codec;
      controls();
    }
    $("#pictures").scrollIntoView();
  }

  /** Step through images or rates; stops at the ends. */
  function step(images, rates) {
    const all = pictures.scenes();
    const next = all[all.indexOf(state.scene) + images];
    if (images && next) choose(next);
    const level = state.rate + rates;
    if (rates && state.scene.rates[level]) {
      state.rate = level;
      controls();
    }
  }

  function start() {
    const scenes = pictures.scenes();
    $("#viewer").hidden = !scenes.length;
    $("#no-pictures").hidden = Boolean(scenes.length);
    if (!scenes.length) return;
    Object.assign(state, { scene: null, a: null, b: null });
    strip();
    choose(scenes[0]);
    for (const cell of $$(`.dataset[data-dataset="${core.state.dataset}"] td.image`)) {
      if (cell.firstElementChild || !scenes.some((scene) => scene.image === cell.dataset.v)) continue;
      const button = el("button", { type: "button", class: "row-image", text: cell.dataset.v, title: "Look at it", onclick: () => look(cell.dataset.v) });
      cell.replaceChildren(button);
    }
  }

  /** Where it looks when zoomed in: [scale, centre]; null: at the whole picture. */
  const zoomed = () => wanted ?? (stage.fitted ? null : [stage.scale, stage.centre]);
  function zoomTo(scale, centre) {
    wanted = [scale, centre];
  }

  /** The height that the stage may have so that it, all above it and the match line are in sight. */
  function room() {
    const [box, top] = [$("#stage").getBoundingClientRect(), $("#viewer").getBoundingClientRect()];
    return innerHeight - $(".top").offsetHeight - (box.top - top.top) - Math.max(48, $("#match").offsetHeight) - 16;
  }

  core.on("dataset", start);
  stage.changed = () => {
    $("#zoom-now").textContent = `${Math.round(100 * stage.scale)} %`;
    $("#stage").style.cursor = stage.whole ? "default" : "grab";
    core.emit("changed", "pictures");
  };
  stage.room = room;
  return { state, stage, start, setMode, setBetween, swap, other, look, step, divide, update, choose, controls, zoomed, zoomTo };
})();
