/* The pictures of the page: base64 in inert script elements, decoded when they are wanted. */
const pictures = (() => {
  const { data } = core;
  const KEPT = 14; // decoded pictures; 768 x 512 takes 1.6 MB
  const decoded = new Map();
  const canvas = document.createElement("canvas");

  function blob(shot) {
    const text = document.getElementById(`picture-${shot}`).textContent;
    const raw = atob(text);
    const bytes = new Uint8Array(raw.length);
    for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
    return new Blob([bytes], { type: "image/webp" });
  }

  /** The picture with its exact samples: {bitmap, pixels}; no colour management touches them. */
  function get(shot) {
    if (decoded.has(shot)) {
      const found = decoded.get(shot);
      decoded.delete(shot); // to the end: the latest used
      decoded.set(shot, found);
      return found;
    }
    const promise = createImageBitmap(blob(shot), { colorSpaceConversion: "none", premultiplyAlpha: "none" }).then((bitmap) => ({ bitmap, shot, pixels: null }));
    decoded.set(shot, promise);
    if (decoded.size > KEPT) decoded.delete(decoded.keys().next().value);
    return promise;
  }

  /** RGBA samples of a decoded picture. */
  function pixels(picture) {
    if (!picture.pixels) {
      const { width, height } = picture.bitmap;
      Object.assign(canvas, { width, height });
      const context = canvas.getContext("2d", { willReadFrequently: true });
      context.drawImage(picture.bitmap, 0, 0);
      picture.pixels = context.getImageData(0, 0, width, height);
    }
    return picture.pixels;
  }

  const url = (shot) => URL.createObjectURL(blob(shot));

  const scenes = () => data.scenes.filter((scene) => scene.dataset === core.state.dataset);
  const scene = (dataset, image) => data.scenes.find((s) => s.dataset === dataset && s.image === image);

  return { get, pixels, url, scenes, scene };
})();
