/* The canvas of the viewer: up to three panes that show the same part of the same image. */
const BAND = 0.24; // share of the picture's width that the original takes between the two others

class Stage {
  constructor(box, canvas) {
    Object.assign(this, { box, canvas, size: [768, 512], panes: [], split: null });
    this.scale = 1; // CSS pixels a picture pixel
    this.centre = [0, 0];
    this.fitted = true;
    this.changed = () => {};
    this.room = () => 0.8 * innerHeight; // most height that it may take
    new ResizeObserver(() => this.resize()).observe(box);
    document.addEventListener("fullscreenchange", () => this.resize());
    addEventListener("resize", () => this.resize()); // the height alone may change
  }

  /**
   * Show sources (bitmaps or canvases) side by side, or one; `split`: where on the width the last
   * of them, lying over the first, begins; a middle one lies between them.
   */
  show(sources, { size, split = null }) {
    if (size[0] !== this.size[0] || size[1] !== this.size[1]) this.fitted = true;
    const layout = `${split === null ? sources.length : 1}`;
    const again = layout !== this.layout;
    Object.assign(this, { panes: sources, size, split, layout });
    if (again || this.fitted) this.resize();
    else this.draw();
  }

  /** How many panes lie side by side. */
  get count() {
    return this.split === null ? Math.max(1, this.panes.length) : 1;
  }

  get stacked() {
    return this.count > 1 && this.box.clientWidth < 640;
  }

  /** Where the sources after the first begin, as shares of the width. */
  get edges() {
    const half = (BAND / 2) * Math.min(1, (this.size[0] * this.scale) / this.box.clientWidth);
    return this.panes.length < 3 ? [this.split] : [this.split - half, this.split + half];
  }

  /** Width and height of a pane in CSS pixels. */
  pane() {
    const [w, h] = [this.box.clientWidth, this.height];
    return this.stacked ? [w, h / this.count] : [w / this.count, h];
  }

  resize() {
    const width = this.box.clientWidth;
    if (!width) return;
    const ratio = this.size[1] / this.size[0];
    const full = document.fullscreenElement === this.box;
    const one = this.stacked ? width * ratio : (width / this.count) * ratio;
    const wanted = this.stacked ? this.count * one : Math.max(one, Math.min(360, width));
    const most = this.stacked ? 0.92 * innerHeight : this.room();
    this.height = full ? innerHeight : Math.round(Math.min(wanted, Math.max(300, most)));
    const dpr = devicePixelRatio || 1;
    this.canvas.style.height = `${this.height}px`;
    Object.assign(this.canvas, { width: Math.round(width * dpr), height: Math.round(this.height * dpr) });
    this.box.classList.toggle("stacked", this.stacked);
    if (this.fitted) this.fit();
    else this.look(this.scale, this.centre);
  }

  fit() {
    const [w, h] = this.pane();
    this.look(Math.min(w / this.size[0], h / this.size[1]), [this.size[0] / 2, this.size[1] / 2]);
    this.fitted = true;
    this.changed();
  }

  get least() {
    const [w, h] = this.pane();
    return Math.min(w / this.size[0], h / this.size[1], 1);
  }

  look(scale, centre) {
    this.scale = Math.min(32, Math.max(this.least, scale));
    this.fitted = false;
    const pane = this.pane();
    this.centre = [0, 1].map((i) => {
      const half = Math.min(this.size[i] / 2, pane[i] / 2 / this.scale);
      return Math.min(this.size[i] - half, Math.max(half, centre[i]));
    });
    this.draw();
    this.changed();
  }

  /** Zoom by a factor, what is under (x, y) of the stage staying there. */
  zoom(factor, x = null, y = null) {
    const [px, py] = x === null ? this.pane().map((v) => v / 2) : this.inPane(x, y);
    const [w, h] = this.pane();
    const scale = Math.min(32, Math.max(this.least, this.scale * factor));
    const keep = (1 / this.scale - 1 / scale);
    this.look(scale, [this.centre[0] + (px - w / 2) * keep, this.centre[1] + (py - h / 2) * keep]);
  }

  /** Move what is shown by CSS pixels. */
  move(dx, dy) {
    this.look(this.scale, [this.centre[0] - dx / this.scale, this.centre[1] - dy / this.scale]);
  }

  /** Position inside the pane that (x, y) of the stage lies in. */
  inPane(x, y) {
    const [w, h] = this.pane();
    return [this.stacked ? x : x % w, this.stacked ? y % h : y];
  }

  /** Whether all of the picture is in sight. */
  get whole() {
    const [w, h] = this.pane();
    return this.size[0] * this.scale <= w + 1 && this.size[1] * this.scale <= h + 1;
  }

  draw() {
    if (!this.panes.length || !this.height) return;
    const dpr = this.canvas.width / this.box.clientWidth;
    const context = this.canvas.getContext("2d");
    context.setTransform(dpr, 0, 0, dpr, 0, 0);
    context.fillStyle = "#2a2a2a";
    context.fillRect(0, 0, this.box.clientWidth, this.height);
    context.imageSmoothingEnabled = this.scale * dpr < 2; // beyond, pixels are what one looks at
    context.imageSmoothingQuality = "high";
    const [w, h] = this.pane();
    const line = (along) => {
      context.fillStyle = "#fff";
      if (this.stacked) context.fillRect(0, along * h - 1, w, 2);
      else context.fillRect(along * w - 1, 0, 2, this.height);
    };
    if (this.split === null) {
      this.panes.forEach((pane, i) => this.paint(context, pane, this.stacked ? 0 : i * w, this.stacked ? i * h : 0, w, h));
      for (let i = 1; i < this.count; i++) line(i);
      return;
    }
    this.paint(context, this.panes[0], 0, 0, w, h);
    this.panes.slice(1).forEach((pane, i) => this.paint(context, pane, 0, 0, w, h, this.edges[i] * w));
    if (this.panes.length > 2) this.edges.forEach(line);
  }

  paint(context, source, left, top, width, height, from = 0) {
    context.save();
    context.beginPath();
    context.rect(left + Math.max(0, from), top, width - Math.max(0, from), height);
    context.clip();
    const dpr = this.canvas.width / this.box.clientWidth;
    const snap = (v) => Math.round(v * dpr) / dpr; // or 1:1 would be blurred in panes of odd width
    const x = snap(left + width / 2 - this.centre[0] * this.scale);
    const y = snap(top + height / 2 - this.centre[1] * this.scale);
    context.drawImage(source, x, y, this.size[0] * this.scale, this.size[1] * this.scale);
    context.restore();
  }
}
