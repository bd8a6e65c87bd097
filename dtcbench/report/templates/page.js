"use strict";

// Sorting: the value decides, not the text; what is missing stays last in both directions.
for (const table of document.querySelectorAll("table.sortable")) {
  const headers = [...table.tHead.rows[0].cells];
  headers.forEach((header, column) => header.addEventListener("click", () => sort(table, headers, column)));
}

function sort(table, headers, column) {
  const descending = headers[column].getAttribute("aria-sort") === "ascending";
  headers.forEach((header) => header.removeAttribute("aria-sort"));
  headers[column].setAttribute("aria-sort", descending ? "descending" : "ascending");
  const isNumber = headers[column].classList.contains("number");
  const value = (row) => row.cells[column].dataset.value;
  const rows = [...table.tBodies[0].rows].sort((a, b) => {
    const [x, y] = [value(a), value(b)];
    if (x === "" || y === "") return (x === "") - (y === "");
    const order = isNumber ? Number(x) - Number(y) : Number(x > y) - Number(x < y);
    return descending ? -order : order;
  });
  table.tBodies[0].append(...rows);
}

// Filters: what differs in any chosen facet is hidden.
const filters = [...document.querySelectorAll("select[data-filter]")];
filters.forEach((filter) => filter.addEventListener("change", choose));

function choose() {
  const chosen = filters.filter((filter) => filter.value !== "");
  const items = [...document.querySelectorAll("[data-filtered]")];
  for (const item of items) {
    item.hidden = chosen.some((filter) => item.dataset[filter.dataset.filter] !== filter.value);
  }
  const shown = items.filter((item) => !item.hidden).length;
  document.querySelector(".filters output").textContent = chosen.length ? `${shown} of ${items.length} shown` : "";
  draw();  // what was hidden had no width to be drawn in
}

// Figures: drawn from the descriptions in the page, in the colours of the page's theme.
const dark = matchMedia("(prefers-color-scheme: dark)");

function themed(layout) {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const axes = Object.keys(layout).filter((key) => /^[xy]axis\d*$/.test(key));
  const axis = { gridcolor: colour("--line"), linecolor: colour("--line"), zeroline: false, automargin: true };
  return {
    ...layout,
    ...Object.fromEntries(axes.map((key) => [key, { ...layout[key], ...axis }])),
    font: { family: "system-ui, sans-serif", size: 13, color: colour("--text") },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
  };
}

function draw() {
  for (const script of document.querySelectorAll("script[data-plot]")) {
    const { data, layout } = JSON.parse(script.textContent);
    // Not react: what it has drawn again loses its height when the window changes, and keeps its width where it was hidden.
    Plotly.newPlot(script.dataset.plot, data, themed(layout), { displayModeBar: false, responsive: true });
  }
}

draw();
dark.addEventListener("change", draw);
