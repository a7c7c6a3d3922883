/* Tables sort by a click on their heads, filter by a column, and save as CSV. */
const tables = (() => {
  const { $, $$, el } = core;

  const parse = (cell) => {
    const raw = cell.dataset.v ?? cell.textContent;
    if (raw === "") return null;
    if (raw === "inf") return Infinity;
    const v = Number(raw);
    return Number.isNaN(v) ? raw : v;
  };
  const natural = new Intl.Collator("en", { numeric: true });

  /** Compare two cells; what is missing comes last whichever way. */
  function compare(a, b, down) {
    if (a === null || b === null) return (a === null) - (b === null);
    const order = typeof a === "number" && typeof b === "number" ? a - b : natural.compare(a, b);
    return down ? -order : order;
  }

  function sort(table, column) {
    const heads = $$("thead th", table);
    const head = heads[column];
    const numeric = head.classList.contains("n");
    const before = head.getAttribute("aria-sort");
    // numbers first by the best way to read them: small to large, then the other way
    const down = before === "ascending";
    for (const other of heads) {
      other.removeAttribute("aria-sort");
      const button = $(".sort", other);
      if (button) button.textContent = "↕";
    }
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    $(".sort", head).textContent = down ? "↓" : "↑";
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row) => [parse(row.cells[column]), row]);
    rows.sort((a, b) => compare(a[0], b[0], down));
    body.append(...rows.map(([, row]) => row));
    core.say(`Sorted by ${plain(head)}, ${down ? "descending" : "ascending"}${numeric ? "" : ""}`);
  }

  const plain = (head) => [...head.childNodes].filter((n) => !n.classList?.contains("sort")).map((n) => n.textContent).join("").trim();

  function filter(table, column, wanted) {
    for (const row of table.tBodies[0].rows)
      row.hidden = wanted !== "" && row.cells[column].dataset.v !== wanted;
  }

  function toCsv(table) {
    const lines = [core.csv($$("thead th", table).map(plain))];
    for (const row of table.tBodies[0].rows)
      if (!row.hidden) lines.push(core.csv([...row.cells].map((c) => (c.matches(".n, .note") && c.dataset.v) || c.textContent)));
    return lines.join("\n") + "\n";
  }

  /** Give a table its controls; sorting needs at least two rows. */
  function equip(table) {
    const many = table.tBodies[0].rows.length > 1;
    if (many)
      $$("thead th", table).forEach((head, column) => {
        const button = el("button", { type: "button", class: "sort", text: "↕", "aria-label": `Sort by ${plain(head)}` });
        head.append(button);
        // the whole head is a target, but not the words in it that explain themselves
        head.addEventListener("click", (event) => event.target.closest(".term") || sort(table, column));
        head.style.cursor = "pointer";
      });
    const tools = el("div", { class: "tabletools" }, el("span", { class: "name", text: table.caption.textContent }));
    if (table.dataset.filter && many) {
      const column = Number(table.dataset.filter);
      const names = [...new Set([...table.tBodies[0].rows].map((row) => row.cells[column].dataset.v))];
      const select = el("select", { onchange: () => filter(table, column, select.value) },
        el("option", { value: "", text: "all" }), ...names.map((name) => el("option", { value: name, text: name })));
      tools.append(el("label", { class: "choice" }, plain($$("thead th", table)[column]), " ", select));
      if (table.dataset.chosen) {
        select.value = table.dataset.chosen;
        filter(table, column, select.value);
      }
    }
    tools.append(el("button", { type: "button", class: "csv", text: "CSV", "aria-label": `Save as CSV: ${table.caption.textContent}`,
      onclick: () => core.save(`${table.dataset.name}.csv`, toCsv(table)) }));
    table.closest(".tablebox").before(tools);
  }

  $$("table.grid").forEach(equip);

  /** Every measured row of every dataset, as rows.csv has them. */
  function everything() {
    const names = [...new Set(core.data.datasets.flatMap((d) => d.points.flatMap((p) => Object.keys(p.each))))];
    const lines = [core.csv(["dataset", "image", "codec", "label", "setting", ...names, "error"])];
    for (const dataset of core.data.datasets)
      for (const point of dataset.points)
        dataset.images.forEach((image, i) => {
          const codec = core.data.codecs[point.codec];
          lines.push(core.csv([dataset.name, image, codec.name, codec.label, point.full, ...names.map((n) => point.each[n]?.[i]), point.errors[i]]));
        });
    return lines.join("\n") + "\n";
  }
  $("#rows-csv").addEventListener("click", () => core.save("rows.csv", everything()));

  return { equip };
})();
