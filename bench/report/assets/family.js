/* Curves of the variants of a codec, by the metric and rate axis that the reader chose above. */
(() => {
  const charts = core.$$(".family-chart").map((box) => ({ box, chart: new Chart(box, { small: true, pick: () => {} }) }));
  function draw() {
    const { metric, log } = curves.state;
    for (const { box, chart } of charts) {
      if (Number(box.dataset.dataset) !== core.state.dataset || metric == null) continue;
      const family = core.dataset().families[Number(box.dataset.family)];
      chart.show({ curves: curves.lines(metric, null, family.points), metric, log });
    }
  }
  core.on("dataset", draw);
  core.on("metric", draw);
})();
