/* Mouse, touch and keys on a plot: hover, pick, zoom by a box, wheel or pinch, move. */
class ChartInput {
  constructor(chart) {
    this.chart = chart;
    this.dragTo = "zoom";
    this.pointers = new Map();
    this.ring = core.el("span", { class: "ring", hidden: true });
    this.tip = core.el("div", { class: "card-tip", hidden: true });
    this.rubber = core.el("span", { class: "rubber", hidden: true });
    chart.box.append(this.ring, this.tip, this.rubber);
    chart.box.addEventListener("keydown", (event) => this.key(event));
    chart.box.addEventListener("focus", () => !this.hot && chart.box.matches(":focus-visible") && this.step(0, 0));
    chart.box.addEventListener("blur", () => this.forget());
  }

  /** A new plot was drawn: listen to its surface. */
  attach(plot) {
    const over = plot.over;
    const listen = (name, call) => over.addEventListener(name, (event) => call.call(this, event));
    listen("pointermove", this.moved);
    listen("pointerdown", this.pressed);
    listen("pointerup", this.released);
    listen("pointercancel", this.cancelled);
    listen("pointerleave", (event) => event.pointerType === "mouse" && !this.start && this.forget());
    listen("dblclick", () => this.chart.reset());
    over.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.metaKey) return; // else the page scrolls
      event.preventDefault();
      const [fx, fy] = this.share(event);
      this.chart.zoom(Math.exp(-event.deltaY / 300), fx, fy);
    }, { passive: false });
  }

  local(event) {
    const box = this.chart.plot.over.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  /** Position as shares of the plot, from left and bottom. */
  share(event) {
    const box = this.chart.plot.over.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, 1 - (event.clientY - box.top) / box.height];
  }

  position(point) {
    const { plot } = this.chart;
    return [plot.valToPos(point.x, "x"), plot.valToPos(point.y, "y")];
  }

  nearest(event) {
    const [x, y] = this.local(event);
    let best = null;
    let least = event.pointerType === "mouse" ? 26 : 38;
    for (const curve of this.chart.curves)
      curve.points.forEach((point, index) => {
        if (!inside(point, this.chart.view)) return;
        const [px, py] = this.position(point);
        const distance = Math.hypot(px - x, py - y);
        if (distance < least) [best, least] = [{ curve, index }, distance];
      });
    return best;
  }

  moved(event) {
    if (this.pointers.has(event.pointerId)) this.pointers.set(event.pointerId, event);
    if (this.pinch && this.pointers.size === 2) return this.pinched();
    if (!this.start) return event.pointerType === "mouse" && this.heat(this.nearest(event));
    const dx = event.clientX - this.start.clientX;
    const dy = event.clientY - this.start.clientY;
    if (!this.dragged && Math.hypot(dx, dy) < 5) return;
    this.dragged = true;
    this.forget();
    if (this.panning) {
      const { width, height } = this.chart.plot.over.getBoundingClientRect();
      this.chart.move(-(event.clientX - this.last.clientX) / width, (event.clientY - this.last.clientY) / height);
      this.last = event;
    } else this.stretch(event);
  }

  stretch(event) {
    const [x0, y0] = this.local(this.start);
    const [x1, y1] = this.local(event);
    const over = this.chart.plot.over;
    Object.assign(this.rubber.style, {
      left: `${over.offsetLeft + Math.min(x0, x1) + this.offset()[0]}px`,
      top: `${over.offsetTop + Math.min(y0, y1) + this.offset()[1]}px`,
      width: `${Math.abs(x1 - x0)}px`,
      height: `${Math.abs(y1 - y0)}px`,
    });
    this.rubber.hidden = false;
  }

  /** From the box that ring and tip are placed in to uPlot's own. */
  offset() {
    const wrap = core.$(".u-wrap", this.chart.plot.root).getBoundingClientRect();
    const box = this.chart.box.getBoundingClientRect();
    return [wrap.left - box.left - this.chart.box.clientLeft, wrap.top - box.top - this.chart.box.clientTop];
  }

  pressed(event) {
    if (event.button > 0) return;
    event.target.setPointerCapture?.(event.pointerId);
    this.pointers.set(event.pointerId, event);
    if (this.pointers.size === 2) {
      this.pinch = this.spread();
      this.start = null;
      return;
    }
    this.start = this.last = event;
    this.dragged = false;
    this.panning = this.dragTo === "pan" || event.shiftKey || event.pointerType !== "mouse";
  }

  spread() {
    const [a, b] = [...this.pointers.values()];
    return { distance: Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY), clientX: (a.clientX + b.clientX) / 2, clientY: (a.clientY + b.clientY) / 2 };
  }

  pinched() {
    const now = this.spread();
    const [fx, fy] = this.share(now);
    this.chart.zoom(now.distance / this.pinch.distance, fx, fy);
    this.pinch = now;
  }

  released(event) {
    this.pointers.delete(event.pointerId);
    this.pinch = null;
    const { start } = this;
    this.start = null;
    if (!start) return;
    if (!this.dragged) {
      const hit = this.nearest(event);
      this.heat(hit);
      if (hit) this.chart.pick?.(hit.curve.points[hit.index], hit.curve);
    } else if (!this.panning) this.zoomTo(start, event);
    this.rubber.hidden = true;
  }

  zoomTo(start, event) {
    const clamp = (f) => Math.min(1, Math.max(0, f));
    const [[x0, y0], [x1, y1]] = [this.share(start).map(clamp), this.share(event).map(clamp)];
    const [low, high] = this.chart.view.y;
    if (Math.abs(x1 - x0) < 0.02 || Math.abs(y1 - y0) < 0.02) return; // a slip of the hand
    const y = [Math.min(y0, y1), Math.max(y0, y1)].map((f) => low + f * (high - low));
    this.chart.look({ x: [this.chart.atX(Math.min(x0, x1)), this.chart.atX(Math.max(x0, x1))], y });
  }

  cancelled(event) {
    this.pointers.delete(event.pointerId);
    this.start = this.pinch = null;
    this.rubber.hidden = true;
  }

  /** Show what is under the pointer or the keyboard's place. */
  heat(hit) {
    this.hot = hit;
    this.ring.hidden = this.tip.hidden = !hit;
    if (!hit) return;
    const point = hit.curve.points[hit.index];
    const over = this.chart.plot.over;
    const [ox, oy] = this.offset();
    const [px, py] = this.position(point);
    const [x, y] = [px + over.offsetLeft + ox, py + over.offsetTop + oy];
    Object.assign(this.ring.style, { left: `${x}px`, top: `${y}px` });
    this.tip.replaceChildren(...this.describe(hit.curve, point));
    const width = this.chart.box.clientWidth;
    const flip = x + 20 + this.tip.offsetWidth > width;
    this.tip.style.left = `${Math.max(4, flip ? x - this.tip.offsetWidth - 14 : x + 14)}px`;
    this.tip.style.top = `${Math.max(4, Math.min(y - 20, this.chart.box.clientHeight - this.tip.offsetHeight - 4))}px`;
  }

  describe(curve, point) {
    const name = curve.codec == null ? core.el("i", { text: curve.name }) : core.tag(curve.codec);
    const lines = core.el("dl");
    const line = (title, text) => lines.append(core.el("dt", { text: title }), core.el("dd", { text }));
    line("bpp", core.number(point.x, 3));
    for (const [metric, raw] of Object.entries(point.values || { [this.chart.metric]: point.y }))
      line(core.metric(metric).title, core.show(metric, raw));
    const parts = [name, ` ${point.setting || ""}`, lines];
    if (curve.dash) parts.push(core.el("span", { class: "more", text: "reported, not measured" }));
    else if (this.chart.pick) parts.push(core.el("span", { class: "more", text: "click for every image" }));
    return parts;
  }

  forget() {
    this.hot = null;
    this.ring.hidden = this.tip.hidden = true;
  }

  /** Move the keyboard's place along a curve, or to the point of another nearest in rate. */
  step(along, across) {
    const { curves } = this.chart;
    if (!curves.length) return;
    const { curve, index } = this.hot || { curve: curves[0], index: 0 };
    if (!curves.includes(curve)) return this.forget();
    const other = curves[(curves.indexOf(curve) + across + curves.length) % curves.length];
    const from = curve.points[index].x;
    const near = other.points.reduce((best, p, i) => (Math.abs(p.x - from) < Math.abs(other.points[best].x - from) ? i : best), 0);
    const next = across ? near : Math.min(curve.points.length - 1, Math.max(0, index + along));
    const point = other.points[next];
    if (!inside(point, this.chart.view)) this.chart.reset();
    this.heat({ curve: other, index: next });
    core.say(`${other.name} ${point.setting || ""}: ${core.number(point.x, 3)} bpp, ${core.show(this.chart.metric, point.y)} ${core.metric(this.chart.metric).words}`);
  }

  key(event) {
    if (help.typing(event)) return;
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    const [dx, dy] = moves[event.key] || [];
    if (dx != null && event.shiftKey) this.chart.move(dx * 0.1, dy * 0.1);
    else if (dx != null) this.step(dx, -dy);
    else if (event.key === "Enter" && this.hot) this.chart.pick?.(this.hot.curve.points[this.hot.index], this.hot.curve);
    else if (event.key === "+" || event.key === "=") this.chart.zoom(1.4);
    else if (event.key === "-") this.chart.zoom(1 / 1.4);
    else if (event.key === "0") this.chart.reset();
    else return;
    event.preventDefault();
  }
}
