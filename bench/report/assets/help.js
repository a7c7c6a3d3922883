/* Words that explain themselves, the overlay of keys, the section that is being read. */
const help = (() => {
  const { $, $$, el, data } = core;
  const tip = $("#tip");
  let shownFor = null;
  let pinned = false;

  function place(button) {
    const box = button.getBoundingClientRect();
    tip.hidden = false;
    const left = Math.min(box.left, document.documentElement.clientWidth - tip.offsetWidth - 12);
    const below = box.bottom + tip.offsetHeight + 12 < innerHeight;
    const top = below ? box.bottom + 6 : box.top - tip.offsetHeight - 6;
    tip.style.left = `${Math.max(12, left) + scrollX}px`;
    tip.style.top = `${Math.max(4, top) + scrollY}px`;
  }

  function open(button) {
    const entry = data.glossary[button.dataset.term];
    if (!entry) return;
    tip.replaceChildren(el("b", { text: entry.title }), entry.text);
    button.setAttribute("aria-describedby", "tip");
    shownFor = button;
    place(button);
  }

  function close() {
    shownFor?.removeAttribute("aria-describedby");
    shownFor = null;
    pinned = false;
    tip.hidden = true;
  }

  const termOf = (event) => event.target.closest?.(".term");
  document.addEventListener("pointerover", (event) => {
    const button = termOf(event);
    if (button && !pinned && event.pointerType === "mouse") open(button);
  });
  document.addEventListener("pointerout", (event) => {
    if (termOf(event) && !pinned && event.pointerType === "mouse") close();
  });
  document.addEventListener("click", (event) => {
    const button = termOf(event);
    if (!button) return close();
    const again = pinned && shownFor === button;
    close();
    if (!again) {
      open(button);
      pinned = true;
    }
  });
  document.addEventListener("focusin", (event) => {
    if (termOf(event)?.matches(":focus-visible")) open(termOf(event));
    else if (!pinned) close();
  });

  const KEYS = [
    ["Anywhere", [["?", "this help"], ["t", "light, dark, as the system"], ["Esc", "close"], ["Tab", "next control"]]],
    ["On the plot", [["← →", "along a curve"], ["↑ ↓", "next curve"], ["Enter", "images of the point"], ["+ − 0", "zoom in, out, whole plot"], ["Shift + arrows", "move"], ["Ctrl + wheel", "zoom"]]],
    ["Pictures, anywhere", [["1 … 5", "slider, side by side, flicker, error map, who is closer"], ["f", "flicker on and off"], ["x", "swap left and right"], ["o", "original between both, or not"], ["[ ]", "previous, next image"], [", .", "lower, higher rate"]]],
    ["Pictures, when focused", [["← →", "divider (Shift: faster), or move"], ["arrows", "move, when zoomed in"], ["+ − 0", "zoom in, out, fit"], ["Space", "next picture, in flicker"], ["Ctrl + wheel, pinch", "zoom"]]],
  ];
  const box = $("#help-box");
  function build() {
    const columns = KEYS.map(([title, keys]) =>
      el("div", {}, el("h3", { text: title }),
        el("dl", {}, ...keys.flatMap(([key, text]) => [el("dt", {}, el("kbd", { text: key })), el("dd", { text })]))));
    box.replaceChildren(
      el("h2", { id: "help-title", text: "How to read and use this page" }),
      el("p", { text: "A codec turns a picture into a small file and back. Each was run at several settings on every image; each file's size was taken whole, and what it decodes to was compared with the original. Underlined words explain themselves." }),
      el("div", { class: "keys" }, ...columns),
      el("p", {}, el("button", { type: "button", id: "help-close", text: "Close", onclick: () => box.close() })),
    );
  }
  function toggle() {
    if (box.open) return box.close();
    if (!box.firstChild) build();
    box.showModal();
  }
  $("#help").addEventListener("click", toggle);
  box.addEventListener("click", (event) => event.target === box && box.close());

  /** Whether a key press belongs to a field that is being typed in or chosen from. */
  const typing = (event) =>
    event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.("input:not([type=radio]), select, textarea, dialog");
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") close();
    if (typing(event)) return;
    if (event.key === "?") toggle();
    else if (event.key === "t") theme.next();
    else return;
    event.preventDefault();
  });

  const links = new Map($$(".top nav a").map((link) => [link.hash.slice(1), link]));
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      for (const link of links.values()) link.removeAttribute("aria-current");
      const link = links.get(entry.target.id);
      link?.setAttribute("aria-current", "true");
      const nav = link?.parentElement;
      if (nav) nav.scrollLeft = link.offsetLeft - nav.clientWidth / 2; // on a phone it is too wide
    }
  }, { rootMargin: "-20% 0px -70% 0px" });
  for (const id of links.keys()) seen.observe(document.getElementById(id));

  return { typing };
})();
