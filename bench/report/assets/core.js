"use strict";
/* What every part of the page shares: the numbers, small DOM helpers, events, the chosen dataset. */
const core = (() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const events = new EventTarget();
  const INFINITE = { inf: Infinity, "-inf": -Infinity };

  const $ = (selector, root = document) => root.querySelector(selector);
  const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

  /** Make an element; `text` sets text content, `on*` listeners, other properties attributes. */
  function el(tag, properties = {}, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(properties)) {
      if (name === "text") node.textContent = value;
      else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else if (value !== false && value != null) node.setAttribute(name, value === true ? "" : value);
    }
    node.append(...children);
    return node;
  }

  /** A value of the data: null where it is not defined, else a number, perhaps infinite. */
  const value = (raw) => (typeof raw === "string" ? INFINITE[raw] : raw);

  /** A number as text: a real minus, a dash where there is none. */
  function number(raw, digits, sign = false) {
    const v = value(raw);
    if (v == null || Number.isNaN(v)) return "–";
    if (!Number.isFinite(v)) return v > 0 ? "∞" : "−∞";
    const text = Math.abs(v).toFixed(digits);
    const zero = Number(text) === 0;
    return (v < 0 && !zero ? "−" : sign && !zero ? "+" : "") + text;
  }

  const bytes = (n) => n.toLocaleString("en-US");
  const metric = (name) => data.metrics[name];
  const show = (name, raw) => number(raw, metric(name).digits);
  const unit = (name) => (metric(name).unit ? ` ${metric(name).unit}` : "");

  const emit = (name, detail) => events.dispatchEvent(new CustomEvent(name, { detail }));
  const on = (name, call) => events.addEventListener(name, (event) => call(event.detail));

  const style = () => getComputedStyle(document.documentElement);
  const colour = (name) => style().getPropertyValue(`--${name}`).trim();

  /** A codec's name with its marker, as in the text of the page. */
  const tag = (codec) => el("span", { class: `codec k${codec}`, text: data.codecs[codec].name });

  let pending = 0;
  /** Tell a screen reader. */
  function say(text) {
    clearTimeout(pending);
    pending = setTimeout(() => ($("#say").textContent = text), 60);
  }

  /** Let the reader save text as a file. */
  function save(name, text, type = "text/csv") {
    const url = URL.createObjectURL(new Blob([text], { type: `${type};charset=utf-8` }));
    const link = el("a", { href: url, download: name.replace(/[^\w.-]+/g, "_") });
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(url), 1000);
  }

  /** One line of CSV; what a spreadsheet would take for a formula stays text. */
  const csv = (cells) =>
    cells
      .map((cell) => {
        const text = String(cell ?? "");
        const safe = /^[=+@\t]/.test(text) && Number.isNaN(Number(text)) ? `'${text}` : text;
        return /[",\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
      })
      .join(",");

  /** Fill a fieldset with radio buttons; returns a function that reads the choice. */
  function radios(fieldset, name, choices, chosen, change) {
    $$("label", fieldset).forEach((node) => node.remove());
    for (const [key, text] of choices) {
      const input = el("input", { type: "radio", name, value: key, checked: key === chosen });
      input.addEventListener("change", () => change(key));
      fieldset.append(el("label", {}, input, el("span", { text })));
    }
  }

  const state = { dataset: 0 };
  const dataset = () => data.datasets[state.dataset];

  function chooseDataset(index) {
    state.dataset = index;
    for (const node of $$(".dataset")) node.hidden = Number(node.dataset.dataset) !== index;
    emit("dataset", index);
  }

  return {
    data, $, $$, el, value, number, bytes, metric, show, unit, emit, on, colour, tag, say, save,
    csv, radios, state, dataset, chooseDataset,
  };
})();
