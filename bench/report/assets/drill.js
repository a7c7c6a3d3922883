/* Behind a point of a mean curve: every image at that setting, and that image's own curves. */
const drill = (() => {
  const { $, el, data } = core;
  const box = $("#drill");
  let point = null;
  let image = 0;
  let chart = null;

  function open(picked) {
    point = picked.of;
    const dataset = core.dataset();
    image = Math.max(0, dataset.images.findIndex((_, i) => dataset.common[i] && point.each.bpp[i] != null));
    build();
    box.hidden = false;
    select(image);
    $("#drill-title").focus({ preventScroll: true });
    box.scrollIntoView({ block: "nearest" });
  }

  function close() {
    if (box.hidden) return;
    box.hidden = true;
    point = null;
    curves.chart.cloud = [];
    curves.chart.chosen = null;
    curves.draw(true);
    $("#chart").focus({ preventScroll: true });
  }

  function build() {
    const dataset = core.dataset();
    const shown = dataset.metrics;
    const title = el("h3", { id: "drill-title", tabindex: -1 }, core.tag(point.codec), ` ${point.setting}, image by image`);
    const table = el("table", { class: "grid", "data-name": `images-${data.codecs[point.codec].name}-${point.setting}` },
      el("caption", { text: data.codecs[point.codec].label }),
      el("thead", {}, el("tr", {}, ...["Image", "Bytes", "bpp", ...shown.map((m) => data.metrics[m].words + (data.metrics[m].unit ? ` (${data.metrics[m].unit})` : ""))].map((text, i) => el("th", { scope: "col", class: i ? "n" : null, text })))),
      el("tbody", {}, ...dataset.images.map((name, i) => row(name, i, shown))));
    const side = el("div", {}, el("div", { class: "chart", id: "drill-chart", tabindex: 0, role: "application", "aria-label": "Curves of one image" }), el("p", { class: "hint", id: "drill-hint" }));
    const left = el("div", {}, el("div", { class: "tablebox" }, table));
    box.replaceChildren(
      el("header", {}, title, el("button", { type: "button", id: "drill-close", text: "Close", onclick: close })),
      el("div", { class: "split" }, left, side));
    tables.equip(table);
    chart = new Chart($("#drill-chart"), { small: true, pick: (picked, curve) => {
      if (curve.codec == null) return;
      const kept = image;
      point = picked.of;
      build();
      select(kept);
    } });
  }

  function row(name, i, shown) {
    const each = (key) => point.each[key]?.[i];
    if (each("bpp") == null) {
      const why = point.errors[i] || "not measured";
      return el("tr", { "data-i": i }, el("td", { text: name, "data-v": name }), el("td", { colspan: shown.length + 2, text: why, "data-v": "" }));
    }
    const cell = (text, v) => el("td", { class: "n", "data-v": v ?? "", text });
    const node = el("tr", { "data-i": i, class: core.dataset().common[i] ? null : "aside", title: core.dataset().common[i] ? null : "not in the means: another codec lacks it" },
      el("td", { "data-v": name }, el("button", { type: "button", class: "row-image", text: name })),
      cell(core.bytes(each("bytes")), each("bytes")), cell(core.number(each("bpp"), 3), each("bpp")),
      ...shown.map((m) => cell(core.show(m, each(m)), each(m))));
    node.addEventListener("click", () => select(i));
    return node;
  }

  /** Show one image's curves, the chosen point in them, and its place among the means. */
  function select(i) {
    image = i;
    const { metric, log } = curves.state;
    for (const node of core.$$("tbody tr", box)) node.setAttribute("aria-selected", String(Number(node.dataset.i) === i));
    chart.chosen = (p) => p.of === point;
    chart.show({ curves: curves.lines(metric, i), metric, log });
    const name = core.dataset().images[i];
    const hint = $("#drill-hint");
    hint.replaceChildren(`${name}: ${core.metric(metric).title} of every codec. `);
    if (pictures.scene(core.state.dataset, name) != null)
      hint.append(el("button", { type: "button", id: "drill-look", text: "Look at it", onclick: () => viewer.look(name, point.codec) }));
    curves.chart.chosen = (p) => p.of === point;
    curves.chart.cloud = core.dataset().images.flatMap((_, k) => {
      const [x, y] = [core.value(point.each.bpp[k]), core.value(point.each[metric]?.[k])];
      return x != null && Number.isFinite(y) ? [{ x, y, codec: point.codec }] : [];
    });
    curves.draw(true);
  }

  core.on("metric", () => point && (build(), select(image)));
  core.on("dataset", () => point && close());
  document.addEventListener("keydown", (event) => event.key === "Escape" && !$("#help-box").open && box.contains(document.activeElement) && close());
  return { open, close };
})();
