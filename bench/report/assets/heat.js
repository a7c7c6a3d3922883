/* Error maps, computed here from the original and the decoded samples. */
const heat = (() => {
  // viridis at 0, 1/8, ... 1 (Smith and van der Walt, 2015): even steps look even, also in grey
  const STOPS = [[68, 1, 84], [71, 44, 122], [59, 81, 139], [44, 113, 142], [33, 144, 141], [39, 173, 129], [92, 200, 99], [170, 220, 50], [253, 231, 37]];
  const TABLE = Array.from({ length: 256 }, (_, i) => {
    const f = (i / 255) * (STOPS.length - 1);
    const k = Math.min(STOPS.length - 2, Math.floor(f));
    return STOPS[k].map((v, c) => Math.round(v + (f - k) * (STOPS[k + 1][c] - v)));
  });
  const A_CLOSER = [0, 114, 178];
  const B_CLOSER = [230, 159, 0];
  const RADIUS = 4;

  const css = (stops) => `linear-gradient(90deg, ${stops.map((c) => `rgb(${c.join(" ")})`).join(", ")})`;

  function painted(width, height, fill) {
    const canvas = document.createElement("canvas");
    Object.assign(canvas, { width, height });
    const context = canvas.getContext("2d");
    const image = context.createImageData(width, height);
    fill(image.data);
    context.putImageData(image, 0, 0);
    return canvas;
  }

  /** PSNR over RGB in dB between two pictures' samples; Infinity if equal. */
  function psnr(a, b) {
    let sum = 0;
    for (let i = 0; i < a.data.length; i += 4)
      for (let c = 0; c < 3; c++) sum += (a.data[i + c] - b.data[i + c]) ** 2;
    const mse = sum / ((a.data.length / 4) * 3);
    return 10 * Math.log10(255 ** 2 / mse);
  }

  /** Largest difference of the three samples of each pixel; `full` levels are the brightest. */
  function error(original, decoded, full) {
    const [a, b] = [original.data, decoded.data];
    return painted(original.width, original.height, (out) => {
      for (let i = 0; i < a.length; i += 4) {
        const d = Math.max(Math.abs(a[i] - b[i]), Math.abs(a[i + 1] - b[i + 1]), Math.abs(a[i + 2] - b[i + 2]));
        const [r, g, bl] = TABLE[Math.min(255, Math.round((d / full) * 255))];
        out[i] = r; out[i + 1] = g; out[i + 2] = bl; out[i + 3] = 255;
      }
    });
  }

  /** Squared error of each pixel, averaged over a box of 9 x 9 by running sums. */
  function smooth(original, decoded) {
    const { width, height } = original;
    const [a, b] = [original.data, decoded.data];
    const raw = new Float32Array(width * height);
    for (let p = 0, i = 0; p < raw.length; p++, i += 4)
      raw[p] = (a[i] - b[i]) ** 2 + (a[i + 1] - b[i + 1]) ** 2 + (a[i + 2] - b[i + 2]) ** 2;
    return boxed(boxed(raw, width, height, 1, width), height, width, width, 1);
  }

  function boxed(source, length, lines, step, stride) {
    const out = new Float32Array(source.length);
    for (let line = 0; line < lines; line++) {
      const base = line * stride;
      let sum = 0;
      let count = 0;
      for (let i = -RADIUS; i < length; i++) {
        if (i + RADIUS < length) { sum += source[base + (i + RADIUS) * step]; count++; }
        if (i - RADIUS > 0) { sum -= source[base + (i - RADIUS - 1) * step]; count--; }
        if (i >= 0) out[base + i * step] = sum / count;
      }
    }
    return out;
  }

  /** Where which of two is closer to the original, and on which share of the area A is. */
  function closer(original, a, b) {
    const [ea, eb] = [smooth(original, a), smooth(original, b)];
    let won = 0;
    let tied = 0;
    const canvas = painted(original.width, original.height, (out) => {
      for (let p = 0, i = 0; p < ea.length; p++, i += 4) {
        const ratio = Math.log2((ea[p] + 3) / (eb[p] + 3)); // 3: what rounding alone would do
        if (ratio < 0) won++;
        else if (ratio === 0) tied++;
        const strength = Math.min(1, Math.abs(ratio) / 2);
        const grey = 0.22 * original.data[i] + 0.7 * original.data[i + 1] + 0.08 * original.data[i + 2];
        const base = 40 + 0.62 * grey;
        const target = ratio < 0 ? A_CLOSER : B_CLOSER;
        for (let c = 0; c < 3; c++) out[i + c] = base + strength * 0.85 * (target[c] - base);
        out[i + 3] = 255;
      }
    });
    return { canvas, share: (won + tied / 2) / ea.length };
  }

  return { psnr, error, closer, errorScale: css(STOPS), closerScale: css([A_CLOSER, [120, 120, 120], B_CLOSER]) };
})();
