/* Mouse, touch and keys of the viewer. */
(() => {
  const { $, $$ } = core;
  const { state, stage } = viewer;
  const box = $("#stage");
  const divider = $("#divider");
  const pointers = new Map();
  let pinch = null;
  let dividing = false;

  const local = (event) => {
    const area = box.getBoundingClientRect();
    return [event.clientX - area.left, event.clientY - area.top];
  };

  box.addEventListener("pointerdown", (event) => {
    if (event.button > 0) return;
    pointers.set(event.pointerId, local(event));
    box.setPointerCapture(event.pointerId);
    dividing = state.mode === "slider" && pointers.size === 1 && (event.target.closest("#divider") || stage.whole);
    pinch = pointers.size === 2 ? spread() : null;
    if (dividing) viewer.divide(local(event)[0] / box.clientWidth);
    else box.classList.add("panning");
    box.focus({ preventScroll: true, focusVisible: false });
  });
  box.addEventListener("pointermove", (event) => {
    if (!pointers.has(event.pointerId)) return;
    const [x, y] = local(event);
    const [px, py] = pointers.get(event.pointerId);
    pointers.set(event.pointerId, [x, y]);
    if (pinch && pointers.size === 2) {
      const now = spread();
      stage.move(now.x - pinch.x, now.y - pinch.y);
      stage.zoom(now.distance / pinch.distance, now.x, now.y);
      pinch = now;
    } else if (dividing) viewer.divide(x / box.clientWidth);
    else if (!stage.whole) stage.move(x - px, y - py);
    else if (event.pointerType === "touch") scrollBy(0, py - y); // nothing to move: let the page go
  });
  const ended = (event) => {
    pointers.delete(event.pointerId);
    pinch = null;
    dividing = false;
    box.classList.remove("panning");
  };
  box.addEventListener("pointerup", ended);
  box.addEventListener("pointercancel", ended);

  function spread() {
    const [[ax, ay], [bx, by]] = [...pointers.values()];
    return { distance: Math.hypot(ax - bx, ay - by) || 1, x: (ax + bx) / 2, y: (ay + by) / 2 };
  }

  box.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return; // else the page scrolls
    event.preventDefault();
    stage.zoom(Math.exp(-event.deltaY / 250), ...local(event));
  }, { passive: false });
  const real = () => 1 / (devicePixelRatio || 1);
  box.addEventListener("dblclick", (event) => {
    if (event.target.closest("#divider")) return;
    if (Math.abs(stage.scale - real()) < 1e-3) stage.fit();
    else stage.zoom(real() / stage.scale, ...local(event));
  });

  $("#zoom-in").addEventListener("click", () => stage.zoom(1.5));
  $("#zoom-out").addEventListener("click", () => stage.zoom(1 / 1.5));
  $("#zoom-fit").addEventListener("click", () => stage.fit());
  $("#zoom-real").addEventListener("click", () => stage.zoom(real() / stage.scale));
  $("#full").hidden = !document.fullscreenEnabled;
  $("#full").addEventListener("click", () => {
    box.requestFullscreen?.().then(() => box.focus(), () => core.say("This browser refuses full screen here"));
  });
  for (const input of $$("#mode input")) input.addEventListener("change", () => viewer.setMode(input.value));
  for (const key of ["a", "b"]) {
    const select = $(`#codec-${key}`);
    select.addEventListener("change", () => {
      state[key] = select.value === "original" ? "original" : Number(select.value);
      viewer.controls();
    });
  }
  $("#swap").addEventListener("click", viewer.swap);
  $("#gain").addEventListener("change", () => {
    state.gain = Number($("#gain").value);
    viewer.update();
  });
  $("#flicker-play").addEventListener("click", () => {
    state.playing = !state.playing;
    viewer.update();
  });
  $("#between").addEventListener("click", () => viewer.setBetween(!state.between));
  $("#flicker-swap").addEventListener("click", viewer.other);

  const MODES = ["slider", "side", "flicker", "error", "closer"];

  /** Keys that work wherever the reader is, as long as there are pictures. */
  function anywhere(key) {
    if (MODES[Number(key) - 1]) viewer.setMode(MODES[Number(key) - 1]);
    else if (key === "f") viewer.setMode(state.mode === "flicker" ? "slider" : "flicker");
    else if (key === "x") viewer.swap();
    else if (key === "o") viewer.setBetween(!state.between);
    else if (key === "[" || key === "]") viewer.step(key === "]" ? 1 : -1, 0);
    else if (key === "," || key === ".") viewer.step(0, key === "." ? 1 : -1);
    else return false;
    return true;
  }

  /** Keys that scroll or do something else outside the stage. */
  function focused(event) {
    const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] || [];
    const sliding = dx && state.mode === "slider" && (event.target === divider || stage.whole);
    if (sliding) viewer.divide(state.split + dx * (event.shiftKey ? 0.1 : 0.02));
    else if (dx != null && !stage.whole) stage.move(-60 * dx, -60 * dy);
    else if (event.target === divider && event.key === "Home") viewer.divide(0);
    else if (event.target === divider && event.key === "End") viewer.divide(1);
    else if (event.key === "+" || event.key === "=") stage.zoom(1.4);
    else if (event.key === "-") stage.zoom(1 / 1.4);
    else if (event.key === "0") stage.fit();
    else if (event.key === " " && state.mode === "flicker") viewer.other();
    else return false;
    return true;
  }

  document.addEventListener("keydown", (event) => {
    if (help.typing(event) || !state.scene) return;
    const used = (box.contains(event.target) && focused(event)) || anywhere(event.key);
    if (used) event.preventDefault();
  });
})();
