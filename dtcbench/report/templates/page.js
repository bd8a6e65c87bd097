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
}

// Figures: drawn when they come near the window, and anew when their width or the page's theme changes.
const dark = matchMedia("(prefers-color-scheme: dark)");

function config(width, longest) {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const [text, line] = [colour("--text"), colour("--line")];
  return {
    background: "transparent",
    font: "system-ui, sans-serif",
    axis: { labelOverlap: "greedy", labelColor: text, titleColor: text, labelFontSize: 12, titleFontSize: 13, gridColor: line, domainColor: line, tickColor: line },
    legend: {
      labelColor: text, labelFontSize: 13, labelLimit: width - 40,
      columns: Math.max(1, Math.floor(width / (7 * longest + 40))),
    },
    style: { band: { color: line }, note: { fontSize: 12, color: text }, heading: { color: colour("--quiet") } },
  };
}

function draw(plot) {
  const spec = JSON.parse(document.querySelector(`script[data-plot="${plot.id}"]`).textContent);
  const width = plot.clientWidth;
  const { beside_px: beside, longest_name: longest } = spec.usermeta;
  for (const panel of spec.vconcat) panel.width = Math.max(width - beside, beside);
  // Expressions are interpreted (ast): the page's policy forbids to evaluate them.
  vegaEmbed(plot, spec, { config: config(width, longest), actions: false, ast: true, renderer: "svg" })
    .then(() => plot.querySelector("svg").setAttribute("aria-hidden", "true"));  // the figure's own label says what it is
}

const seen = new Map();  // by figure, the width that it was drawn in
const near = new IntersectionObserver((entries) => entries.forEach(({ target, isIntersecting }) => {
  if (isIntersecting && seen.get(target) !== target.clientWidth) {
    seen.set(target, target.clientWidth);
    draw(target);
  }
}), { rootMargin: "300px" });
const resized = new ResizeObserver((entries) => entries.forEach(({ target }) => {
  near.unobserve(target);
  near.observe(target);  // tells anew whether it is near
}));
for (const plot of document.querySelectorAll(".plot")) resized.observe(plot);
dark.addEventListener("change", () => [...seen.keys()].forEach(draw));
