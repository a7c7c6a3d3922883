/* A rate-distortion plot: uPlot draws lines, axes and grid; markers and labels are drawn here. */
const SHAPES = {
  o: (p, r) => p.arc(0, 0, r, 0, 7),
  s: (p, r) => p.rect(-r * 0.88, -r * 0.88, r * 1.76, r * 1.76),
  "^": (p, r) => polygon(p, [[0, -r * 1.1], [r, r * 0.8], [-r, r * 0.8]]),
  v: (p, r) => polygon(p, [[0, r * 1.1], [r, -r * 0.8], [-r, -r * 0.8]]),
  "<": (p, r) => polygon(p, [[-r * 1.1, 0], [r * 0.8, r], [r * 0.8, -r]]),
  ">": (p, r) => polygon(p, [[r * 1.1, 0], [-r * 0.8, r], [-r * 0.8, -r]]),
  D: (p, r) => polygon(p, [[0, -r * 1.2], [r * 1.2, 0], [0, r * 1.2], [-r * 1.2, 0]]),
  P: (p, r) => { p.rect(-r * 0.38, -r, r * 0.76, r * 2); p.rect(-r, -r * 0.38, r * 2, r * 0.76); },
  X: (p, r) => polygon(p, [[-r, -r * 0.6], [-r * 0.6, -r], [0, -r * 0.4], [r * 0.6, -r], [r, -r * 0.6], [r * 0.4, 0], [r, r * 0.6], [r * 0.6, r], [0, r * 0.4], [-r * 0.6, r], [-r, r * 0.6], [-r * 0.4, 0]]),
  h: (p, r) => polygon(p, [0, 1, 2, 3, 4, 5].map((i) => [r * 1.1 * Math.sin(i * Math.PI / 3), -r * 1.1 * Math.cos(i * Math.PI / 3)])),
};
function polygon(path, points) {
  points.forEach(([x, y], i) => (i ? path.lineTo(x, y) : path.moveTo(x, y)));
  path.closePath();
}

class Chart {
  /**
   * @param box   element to draw into
   * @param pick  called with a point that was clicked or entered
   * @param small whether it is the plot of one image
   */
  constructor(box, { pick, small = false }) {
    Object.assign(this, { box, pick, small, curves: [], view: null, hot: null, chosen: null, cloud: [] });
    this.plot = null;
    this.input = new ChartInput(this);
    core.on("theme", () => this.draw());
    new ResizeObserver(() => this.resize()).observe(box);
  }

  /** Show curves: [{codec, name, dash, points: [{x, y, ...}]}], points by rising x. */
  show({ curves, metric, log, keepView = false }) {
    const kept = keepView && this.log === log && this.metric === metric;
    Object.assign(this, { curves: curves.filter((c) => c.points.length), metric, log });
    if (!kept || !this.view) this.view = this.whole();
    this.input.forget();
    this.draw();
  }

  /** The range that holds every point, with room for labels. */
  whole() {
    const xs = this.curves.flatMap((c) => c.points.map((p) => p.x));
    const ys = this.curves.flatMap((c) => c.points.map((p) => p.y));
    if (!xs.length) return { x: [0.1, 2], y: [0, 1] };
    const [x0, x1, y0, y1] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
    const span = y1 - y0 || Math.abs(y0) || 1;
    const room = Math.log(x1 / x0) || 0.5;
    const x = this.log ? [x0 * Math.exp(-0.05 * room), x1 * Math.exp(0.05 * room)] : [0, x1 * 1.04];
    return { x, y: [y0 - 0.06 * span, y1 + 0.08 * span] };
  }

  draw() {
    this.plot?.destroy();
    this.plot = null;
    const width = this.box.clientWidth - 14;
    if (width < 60 || !this.metric) return; // hidden, or nothing to show yet
    const xs = [...new Set(this.curves.flatMap((c) => c.points.map((p) => p.x)))].sort((a, b) => a - b);
    const place = new Map(xs.map((x, i) => [x, i]));
    const columns = this.curves.map((curve) => {
      const column = Array(xs.length).fill(null);
      for (const point of curve.points) column[place.get(point.x)] = point.y;
      return column;
    });
    this.plot = new uPlot(this.options(width), [xs, ...columns], this.box);
    this.input.attach(this.plot);
  }

  options(width) {
    const ink = core.colour("soft");
    const grid = { stroke: core.colour("faint"), width: 1 };
    const font = `${width < 520 ? 11 : 12}px ${core.colour("sans")}`;
    const metric = core.metric(this.metric);
    const axis = { stroke: ink, font, labelFont: font, grid, ticks: { stroke: core.colour("rule"), size: 4, width: 1 } };
    return {
      width,
      height: Math.round(this.small ? Math.max(260, width * 0.62) : Math.min(560, Math.max(width < 520 ? width : 330, width * 0.52))),
      padding: [8, width < 520 ? 58 : 82, 0, 0],
      legend: { show: false },
      cursor: { show: false },
      scales: {
        x: { time: false, distr: this.log ? 3 : 1, range: () => this.view.x },
        y: { range: () => this.view.y },
      },
      axes: [
        { ...axis, label: "bits per pixel, whole file", labelSize: 22, size: 34, splits: (u, i, a, b) => ticks(a, b, this.log), filter: (u, s) => s, values: (u, s) => s.map(shortNumber) },
        { ...axis, label: `${metric.title}, ${metric.higher ? "higher" : "lower"} is better`, labelSize: 22, size: width < 520 ? 42 : 50, values: (u, s) => s.map(shortNumber) },
      ],
      series: [{}, ...this.curves.map((curve) => ({
        stroke: this.ink(curve), width: curve.dash ? 1.3 : 2, dash: curve.dash ? [7, 5] : undefined, spanGaps: true, points: { show: false },
      }))],
      hooks: { draw: [(u) => this.decorate(u)] },
    };
  }

  ink(curve) {
    return curve.codec == null ? core.colour("soft") : core.colour(`k${curve.codec}`);
  }

  /** Markers, the cloud of images behind a chosen point, labels at the ends of curves. */
  decorate(u) {
    const { ctx } = u;
    const ratio = devicePixelRatio || 1;
    const at = (x, y) => [u.valToPos(x, "x", true), u.valToPos(y, "y", true)];
    ctx.save();
    ctx.beginPath();
    ctx.rect(u.bbox.left - 6 * ratio, u.bbox.top - 6 * ratio, u.bbox.width + 12 * ratio, u.bbox.height + 12 * ratio);
    ctx.clip();
    for (const curve of this.curves) {
      if (curve.dash) continue;
      const style = core.data.codecs[curve.codec];
      for (const point of curve.points) {
        const chosen = this.chosen && this.chosen(point);
        const [x, y] = at(point.x, point.y);
        mark(ctx, x, y, (chosen ? 6.5 : 4.2) * ratio, style.marker, this.ink(curve), style.filled ? null : core.colour("raised"), chosen ? core.colour("ink") : null, ratio);
      }
    }
    ctx.globalAlpha = 0.55;
    for (const point of this.cloud) {
      const [x, y] = at(point.x, point.y);
      mark(ctx, x, y, 2.6 * ratio, "o", core.colour(`k${point.codec}`), core.colour("raised"), null, ratio);
    }
    ctx.restore();
    this.labels(u, ratio, at);
  }

  /** Names at the ends of curves: right of the end, above or below, wherever least is covered. */
  labels(u, ratio, at) {
    const { ctx } = u;
    const size = (u.width < 520 ? 11 : 12.5) * ratio;
    const taken = this.curves.flatMap((curve) => traced(curve.points.map((p) => at(p.x, p.y)), 5 * ratio));
    const placed = [];
    const last = (curve) => curve.points.filter((p) => inside(p, this.view)).at(-1);
    const ends = this.curves.map((curve) => ({ curve, end: last(curve) })).filter(({ end }) => end);
    ends.sort((a, b) => b.end.x - a.end.x);
    ctx.save();
    ctx.textBaseline = "middle";
    ctx.textAlign = "left";
    ctx.lineJoin = "round";
    for (const { curve, end } of ends) {
      ctx.font = `${curve.dash ? "italic " : "600 "}${size}px ${core.colour("sans")}`;
      const width = ctx.measureText(curve.name).width;
      const [ex, ey] = at(end.x, end.y);
      const offers = [[9, 0], [9, -0.7], [9, 0.7], [-width / ratio / 2, -1.3], [-width / ratio / 2, 1.4], [-width / ratio - 4, -1.1], [9, 1.9], [9, -1.9]];
      const boxes = offers.map(([dx, lines]) => ({ x: Math.min(ex + dx * ratio, ctx.canvas.width - width - 2 * ratio), y: ey + lines * size, width }));
      const covers = (box) =>
        taken.filter(([x, y]) => x > box.x - 2 && x < box.x + width + 2 && Math.abs(y - box.y) < size * 0.6).length +
        40 * placed.filter((o) => Math.abs(o.y - box.y) < size * 1.12 && box.x < o.x + o.width && o.x < box.x + width).length;
      const off = (box, x, y) => Math.hypot(Math.max(box.x - x, 0, x - box.x - width), y - box.y);
      const astray = (box) => ends.some(({ end: e }) => off(box, ...at(e.x, e.y)) < off(box, ex, ey)); // at another's end
      const costs = boxes.map((box, i) => covers(box) + 0.4 * i + 8 * astray(box));
      const best = boxes[costs.indexOf(Math.min(...costs))];
      // Too crowded; colours and hover tell.
      if ((this.small && Math.min(...costs) > 6) || (u.width < 520 && astray(best))) continue;
      const { x, y } = best;
      placed.push({ x, y, width });
      ctx.strokeStyle = core.colour("raised");
      ctx.lineWidth = 4 * ratio;
      ctx.strokeText(curve.name, x, y);
      ctx.fillStyle = curve.codec == null ? core.colour("soft") : core.colour(`t${curve.codec}`);
      ctx.fillText(curve.name, x, y);
    }
    ctx.restore();
  }

  resize() {
    if (this.plot && Math.abs(this.plot.width - (this.box.clientWidth - 14)) < 2) return;
    this.input.forget();
    this.draw();
  }

  look(view) {
    this.view = view;
    this.input.forget();
    this.plot?.batch(() => {
      this.plot.setScale("x", { min: view.x[0], max: view.x[1] });
      this.plot.setScale("y", { min: view.y[0], max: view.y[1] });
    });
  }

  reset() {
    this.look(this.whole());
  }

  /** Zoom by `factor` around shares (fx, fy) of the plot, from its left and bottom. */
  zoom(factor, fx = 0.5, fy = 0.5) {
    const around = (a, b, f) => [a + f * (b - a) * (1 - 1 / factor), b - (1 - f) * (b - a) * (1 - 1 / factor)];
    this.look({ x: this.mapX((a, b) => around(a, b, fx)), y: around(...this.view.y, fy) });
  }

  /** Move by shares of the plot. */
  move(dx, dy) {
    const shift = (a, b, f) => [a + f * (b - a), b + f * (b - a)];
    this.look({ x: this.mapX((a, b) => shift(a, b, dx)), y: shift(...this.view.y, dy) });
  }

  mapX(change) {
    if (!this.log) return change(...this.view.x);
    return change(...this.view.x.map(Math.log)).map(Math.exp);
  }

  /** The value at a share of the rate axis. */
  atX(f) {
    return this.mapX((a, b) => [a + f * (b - a), 0])[0];
  }
}

/** Points along a polyline, `step` apart at most. */
function traced(line, step) {
  const found = line.slice(0, 1);
  for (let i = 1; i < line.length; i++) {
    const [[ax, ay], [bx, by]] = [line[i - 1], line[i]];
    const parts = Math.ceil(Math.hypot(bx - ax, by - ay) / step);
    for (let k = 1; k <= parts; k++) found.push([ax + ((bx - ax) * k) / parts, ay + ((by - ay) * k) / parts]);
  }
  return found;
}

const inside = (p, view) => p.x >= view.x[0] && p.x <= view.x[1] && p.y >= view.y[0] && p.y <= view.y[1];

function mark(ctx, x, y, radius, marker, stroke, fill, outline, ratio) {
  ctx.save();
  ctx.translate(x, y);
  const path = new Path2D();
  (SHAPES[marker] || SHAPES.o)(path, radius);
  ctx.fillStyle = fill || stroke;
  ctx.fill(path);
  ctx.strokeStyle = outline || (fill ? stroke : core.colour("raised"));
  ctx.lineWidth = (outline ? 2 : 1.1) * ratio;
  ctx.stroke(path);
  ctx.restore();
}

/** Where to put ticks of the rate axis. */
function ticks(low, high, log) {
  if (!log) {
    const raw = (high - low) / 7;
    const power = 10 ** Math.floor(Math.log10(raw));
    const step = power * ([1, 2, 5, 10].find((m) => m * power >= raw) || 10);
    const found = [];
    for (let v = Math.ceil(low / step) * step; v <= high + 1e-9; v += step) found.push(Number(v.toPrecision(10)));
    return found;
  }
  const within = (digits) => {
    const found = [];
    for (let e = Math.floor(Math.log10(low)); e <= Math.ceil(Math.log10(high)); e++)
      for (const d of digits) if (d * 10 ** e >= low && d * 10 ** e <= high) found.push(Number((d * 10 ** e).toPrecision(4)));
    return found;
  };
  for (const digits of [[1, 2, 5], [1, 1.5, 2, 3, 4, 5, 7], [1, 1.2, 1.4, 1.6, 1.8, 2, 2.5, 3, 3.5, 4, 4.5, 5, 6, 7, 8, 9]]) {
    const found = within(digits);
    if (found.length >= 4) return found;
  }
  return ticks(low, high, false);
}

const shortNumber = (v) => (v == null ? "" : String(Number(v.toPrecision(5))).replace("-", "−"));
