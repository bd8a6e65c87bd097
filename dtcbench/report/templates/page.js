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
  const value = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent;
  const rows = [...table.tBodies[0].rows].sort((a, b) => {
    const [x, y] = [value(a), value(b)];
    if (x === "" || y === "") return (x === "") - (y === "");
    const order = isNumber ? Number(x) - Number(y) : Number(x > y) - Number(x < y);
    return descending ? -order : order;
  });
  table.tBodies[0].append(...rows);
}

// Filters: what differs in any chosen facet, or lacks the words sought, is hidden. The address keeps what was chosen.
const filters = [...document.querySelectorAll("select[data-filter]")];
const search = document.querySelector("input[data-search]");
filters.forEach((filter) => filter.addEventListener("change", keep));
search?.addEventListener("input", keep);
addEventListener("hashchange", restore);
restore();

function keep() {
  const chosen = filters.filter((filter) => filter.value).map((filter) => [filter.dataset.filter, filter.value]);
  const asked = new URLSearchParams([...chosen, ...(search.value ? [["search", search.value]] : [])]);
  history.replaceState(null, "", `#${asked}`);
  choose();
}

function restore() {
  const asked = new URLSearchParams(location.hash.slice(1));
  for (const filter of filters) {
    const value = asked.get(filter.dataset.filter) ?? "";
    filter.value = [...filter.options].some((option) => option.value === value) ? value : "";
  }
  if (search) search.value = asked.get("search") ?? "";
  if (search) choose();
}

function choose() {
  const chosen = filters.filter((filter) => filter.value !== "");
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  const items = [...document.querySelectorAll("[data-filtered]")];
  for (const item of items) {
    const text = words.length ? item.textContent.toLowerCase() : "";
    item.hidden = chosen.some((filter) => item.dataset[filter.dataset.filter] !== filter.value)
      || words.some((word) => !text.includes(word));
  }
  const shown = items.filter((item) => !item.hidden).length;
  const isAll = !chosen.length && !words.length;
  document.querySelector(".filters output").textContent = isAll ? "" : `${shown} of ${items.length} shown`;
}

// Tables: all columns or the first ones, and what is shown as a file.
for (const box of document.querySelectorAll("input[data-columns]")) {
  const table = box.closest(".tools").nextElementSibling;
  box.addEventListener("change", () => table.classList.toggle("all", box.checked));
}
for (const button of document.querySelectorAll("button[data-csv]")) {
  button.addEventListener("click", () => {
    const lines = [...button.closest(".tools").nextElementSibling.querySelectorAll("tr")].filter((row) => row.checkVisibility());
    const quoted = (cell) => `"${cell.innerText.replaceAll('"', '""')}"`;
    const text = lines.map((row) => [...row.cells].filter((cell) => cell.checkVisibility()).map(quoted).join(",")).join("\n");
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([`${text}\n`], { type: "text/csv" }));
    link.download = `${button.dataset.csv.toLowerCase().replaceAll(/[^a-z0-9]+/g, "-")}.csv`;
    link.click();
    URL.revokeObjectURL(link.href);
  });
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
