/* The plot of mean curves: which metric, which codecs, which rate axis. */
const curves = (() => {
  const { $, el, data } = core;
  const state = { metric: null, log: true, hidden: new Set() };
  const chart = new Chart($("#chart"), { pick: (point, curve) => curve.codec != null && drill.open(point) });

  /** Curves of the chosen dataset as the chart wants them; `image`: of one image, else the means. */
  function lines(metric, image = null, points = core.dataset().points) {
    const byCodec = new Map();
    for (const point of points) {
      const read = (name) => core.value(image == null ? point.mean[name] : point.each[name]?.[image]);
      const [rate, y] = [point.rate[metric], read(metric)]; // no rate: no point of this curve
      const x = image == null ? rate : read("bpp");
      if (rate == null || x == null || y == null || !Number.isFinite(y)) continue;
      const values = Object.fromEntries(Object.keys(data.metrics).filter((m) => read(m) != null).map((m) => [m, read(m)]));
      if (!byCodec.has(point.codec)) byCodec.set(point.codec, []);
      byCodec.get(point.codec).push({ x, y, setting: point.setting, values, of: point });
    }
    const found = [...byCodec].map(([codec, points]) => ({ codec, name: data.codecs[codec].name, points: points.sort((a, b) => a.x - b.x) }));
    return found.filter((curve) => !state.hidden.has(curve.codec));
  }

  /** Published curves, cut to the rates that were measured. */
  function reported(metric, measured) {
    const xs = measured.flatMap((c) => c.points.map((p) => p.x));
    const [low, high] = [Math.min(...xs), Math.max(...xs)];
    return core.dataset().reported.filter((r) => r.points[metric] && xs.length).map((r) => ({
      codec: null, name: r.name, dash: true,
      points: r.points[metric].filter(([x]) => x >= low && x <= high).map(([x, y]) => ({ x, y })),
    }));
  }

  function draw(keepView = false) {
    core.emit("changed", "curves");
    const measured = state.metric == null ? [] : lines(state.metric);
    const none = state.metric == null;
    for (const part of ["#chart", "#chart-hint", "#chips"]) $(part).hidden = none;
    const left = none ? "No curve can be drawn: no image has a score of every setting." : core.dataset().coverage[state.metric];
    $("#coverage").textContent = left;
    $("#coverage").hidden = !left;
    if (none) return;
    $("#lower-note").hidden = core.metric(state.metric).higher;
    chart.show({ curves: [...measured, ...reported(state.metric, measured)], metric: state.metric, log: state.log, keepView });
    $("#chart").setAttribute("aria-label", `${core.metric(state.metric).title} against bits per pixel, ${measured.length} codecs on ${core.dataset().name}; the same numbers are in the table below`);
  }

  function chips() {
    const present = [...new Set(core.dataset().points.map((p) => p.codec))];
    const buttons = present.map((codec) => {
      const button = el("button", { type: "button", "aria-pressed": !state.hidden.has(codec), title: data.codecs[codec].label }, core.tag(codec));
      button.addEventListener("click", () => {
        state.hidden.has(codec) ? state.hidden.delete(codec) : state.hidden.add(codec);
        button.setAttribute("aria-pressed", String(!state.hidden.has(codec)));
        draw(true);
      });
      button.setAttribute("aria-pressed", String(!state.hidden.has(codec)));
      return button;
    });
    const all = el("button", { type: "button", class: "all", text: "all", onclick: () => {
      state.hidden.clear();
      chips();
      draw(true);
    } });
    $("#chips").replaceChildren(...buttons, all);
  }

  function start() {
    const { metrics } = core.dataset();
    if (!metrics.includes(state.metric)) state.metric = metrics[0] ?? null;
    core.radios($("#metric"), "metric", metrics.map((m) => [m, data.metrics[m].words]), state.metric, (metric) => {
      state.metric = metric;
      draw();
      core.emit("metric", metric);
    });
    chips();
    draw();
  }

  for (const input of core.$$("#scale input")) input.addEventListener("change", () => {
    state.log = input.value === "log";
    draw();
    core.emit("metric", state.metric);
  });
  for (const input of core.$$("#drag input")) input.addEventListener("change", () => {
    chart.input.dragTo = input.value;
    $("#chart").classList.toggle("pan", input.value === "pan");
  });
  $("#chart-in").addEventListener("click", () => chart.zoom(1.5));
  $("#chart-out").addEventListener("click", () => chart.zoom(1 / 1.5));
  $("#chart-reset").addEventListener("click", () => chart.reset());
  core.on("dataset", start);
  /** Choose from elsewhere: metric, log axis or not, codecs that are hidden. */
  function set({ metric, log, hidden }) {
    if (core.dataset().metrics.includes(metric)) state.metric = metric;
    state.log = log;
    state.hidden = new Set(hidden);
    $(`#scale input[value=${log ? "log" : "linear"}]`).checked = true;
    start();
    core.emit("metric", state.metric);
  }

  return { chart, lines, state, draw, set };
})();
