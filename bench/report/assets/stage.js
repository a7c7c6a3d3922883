/* The canvas of the viewer: one or two panes that show the same part of the same image. */
class Stage {
  constructor(box, canvas) {
    Object.assign(this, { box, canvas, size: [768, 512], panes: [], split: null });
    this.scale = 1; // CSS pixels a picture pixel
    this.centre = [0, 0];
    this.fitted = true;
    this.changed = () => {};
    new ResizeObserver(() => this.resize()).observe(box);
    document.addEventListener("fullscreenchange", () => this.resize());
  }

  /**
   * Show sources (bitmaps or canvases) side by side, or one; `split`: the share of the width
   * from which on the second of two lies over the first.
   */
  show(sources, { size, split = null }) {
    if (size[0] !== this.size[0] || size[1] !== this.size[1]) this.fitted = true;
    const layout = `${split === null ? sources.length : 1}`;
    const again = layout !== this.layout;
    Object.assign(this, { panes: sources, size, split, layout });
    if (again || this.fitted) this.resize();
    else this.draw();
  }

  get double() {
    return this.panes.length === 2 && this.split === null;
  }

  get stacked() {
    return this.double && this.box.clientWidth < 640;
  }

  /** Width and height of a pane in CSS pixels. */
  pane() {
    const [w, h] = [this.box.clientWidth, this.height];
    if (!this.double) return [w, h];
    return this.stacked ? [w, h / 2] : [w / 2, h];
  }

  resize() {
    const width = this.box.clientWidth;
    if (!width) return;
    const ratio = this.size[1] / this.size[0];
    const full = document.fullscreenElement === this.box;
    const one = this.double && !this.stacked ? (width / 2) * ratio : width * ratio;
    const wanted = this.stacked ? 2 * one : Math.max(one, Math.min(360, width));
    const most = this.stacked ? 0.92 * innerHeight : 0.8 * innerHeight;
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
    return this.double ? [this.stacked ? x : x % w, this.stacked ? y % h : y] : [x, y];
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
    if (this.double) {
      this.paint(context, this.panes[0], 0, 0, w, h);
      this.paint(context, this.panes[1], this.stacked ? 0 : w, this.stacked ? h : 0, w, h);
      context.fillStyle = "#fff";
      context.fillRect(this.stacked ? 0 : w - 1, this.stacked ? h - 1 : 0, this.stacked ? w : 2, this.stacked ? 2 : h);
      return;
    }
    this.paint(context, this.panes[0], 0, 0, w, h);
    if (this.panes[1]) this.paint(context, this.panes[1], 0, 0, w, h, this.split * w);
  }

  paint(context, source, left, top, width, height, from = 0) {
    context.save();
    context.beginPath();
    context.rect(left + from, top, width - from, height);
    context.clip();
    const x = left + width / 2 - this.centre[0] * this.scale;
    const y = top + height / 2 - this.centre[1] * this.scale;
    context.drawImage(source, x, y, this.size[0] * this.scale, this.size[1] * this.scale);
    context.restore();
  }
}
