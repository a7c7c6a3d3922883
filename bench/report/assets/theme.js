/* Light, dark, or as the system says; remembered where the browser allows it. */
const theme = (() => {
  const { $, emit } = core;
  const WORDS = { auto: "as the system", light: "light", dark: "dark" };
  const ORDER = ["auto", "light", "dark"];
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  let chosen = "auto";

  function remember(value) {
    try {
      if (value === undefined) return localStorage.getItem("bench-theme");
      localStorage.setItem("bench-theme", value);
    } catch {
      /* private windows and some file:// pages have no storage */
    }
    return null;
  }

  function set(value) {
    chosen = ORDER.includes(value) ? value : "auto";
    if (chosen === "auto") delete root.dataset.theme;
    else root.dataset.theme = chosen;
    $("#theme").setAttribute("aria-label", `Theme: ${WORDS[chosen]}`);
    $("#theme").title = `Theme: ${WORDS[chosen]} (t)`;
    emit("theme");
  }

  function next() {
    // the first press must be seen: from "auto" it goes to the other of the two
    const other = system.matches ? "light" : "dark";
    const cycle = ["auto", other, other === "dark" ? "light" : "dark"];
    set(cycle[(cycle.indexOf(chosen) + 1) % 3]);
    remember(chosen);
    core.say(`Theme ${WORDS[chosen]}`);
  }

  $("#theme").addEventListener("click", next);
  system.addEventListener("change", () => emit("theme"));
  set(remember());
  return { next, set };
})();
