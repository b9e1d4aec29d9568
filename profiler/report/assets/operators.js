"use strict";
// The operators' grid: filter, sort and turn pages; only one page of rows exists at a time.
const data = JSON.parse(document.getElementById("data").textContent);
const PAGE = 40;

const operators = (() => {
  const { keys, words, flops, rows } = data.operators;
  const columns = rows.map((table) => {
    const byKey = new Int32Array(keys.length).fill(-1);
    table.at.forEach((key, row) => { byKey[key] = row; });
    return byKey;
  });
  const text = keys.map((key, n) => `${words[n]} ${key.replaceAll("_", " ")}`.toLowerCase());
  const value = (table, key, what) => {
    const row = columns[table][key];
    return row < 0 ? null : rows[table][what][row];
  };
  return { keys, words, flops, text, value, count: keys.length };
})();

const view = { order: [], shown: [], page: 0, sort: { column: 1, down: true }, filter: "", status: "", shared: false };
// Operators that every table holds; where there are none, all are shown at once.
const shared = operators.keys.map((_, key) => data.tables.every((_, t) => operators.value(t, key, "status") !== null));
const sharedCount = shared.filter(Boolean).length;
view.shared = sharedCount > 0 && data.tables.length > 1;

function element(tag, content, attributes = {}) {
  const made = document.createElement(tag);
  if (content !== null && content !== undefined) made.textContent = content;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

function digits(value) {
  if (value === null) return "–";
  return value >= 1000 ? value.toFixed(0) : value >= 100 ? value.toFixed(1) : value.toPrecision(3);
}

function sortValue(column, key) {
  if (column === 0) return operators.words[key];
  const table = column - 1;
  return table < data.tables.length ? operators.value(table, key, "us") : operators.flops[key];
}

// Words and status narrow what is shown; typing on narrows what the shorter text left.
function applyFilter(narrow = false) {
  const wanted = view.filter.toLowerCase().split(/\s+/).filter(Boolean);
  const tables = data.tables.map((_, n) => n);
  const { text } = operators;
  view.shown = (narrow ? view.shown : view.order).filter((key) => {
    if (view.shared && !shared[key]) return false;
    for (const word of wanted) if (!text[key].includes(word)) return false;
    return !view.status || tables.some((t) => operators.value(t, key, "status") === view.status);
  });
  view.page = 0;
  drawRows();
}

// All keys are sorted once, so that a filter only has to walk them.
function applySort() {
  const { column, down } = view.sort;
  const values = operators.keys.map((_, key) => sortValue(column, key));
  view.order = operators.keys.map((_, key) => key).sort((a, b) => {
    const x = values[a], y = values[b];
    if (x === null || y === null) return (x === null) - (y === null); // unknown comes last
    const order = typeof x === "string" ? x.localeCompare(y, "en", { numeric: true }) : x - y;
    return down ? -order : order;
  });
  applyFilter();
}

function drawHead() {
  const row = element("tr");
  const names = ["operator", ...data.tables.map((t) => `${t.name}: ${t.setting}`), "MFLOPs"];
  names.forEach((name, column) => {
    const sorted = view.sort.column === column ? (view.sort.down ? "descending" : "ascending") : "none";
    const cell = element("th", null, { scope: "col", "aria-sort": sorted });
    const button = element("button", column ? name.split(": ")[0] : name, { type: "button", title: `Sort by ${name}` });
    button.addEventListener("click", () => {
      const again = view.sort.column === column;
      view.sort = { column, down: again ? !view.sort.down : column > 0 };
      drawHead();
      applySort();
      document.querySelectorAll("#grid th button")[column].focus();
    });
    cell.append(button);
    if (column && column <= data.tables.length) {
      const table = data.tables[column - 1];
      cell.append(element("span", `${table.setting}, µs`, { class: "kind" }));
    }
    row.append(cell);
  });
  document.querySelector("#grid thead").replaceChildren(row);
}

function timeCell(table, key) {
  const us = operators.value(table, key, "us");
  const status = operators.value(table, key, "status");
  if (status === null) return element("td", "");
  if (status === "failed") return element("td", "failed", { class: "failed" });
  const cell = element("td", `${status === "predicted" ? "≈ " : ""}${digits(us)}`, { class: status });
  const half = operators.value(table, key, "half");
  const note = `${half === null ? "± ?" : `± ${half < 10 ? half.toFixed(1) : half.toFixed(0)} %`}${status === "unstable" ? " unstable" : ""}`;
  cell.append(element("span", note, { class: "half" }));
  return cell;
}

function drawRows() {
  const from = view.whole ? 0 : view.page * PAGE;
  const rows = view.shown.slice(from, view.whole ? undefined : from + PAGE).map((key) => {
    const row = element("tr");
    const name = element("td", operators.words[key]);
    name.append(element("span", operators.keys[key], { class: "keytext" }));
    row.append(name, ...data.tables.map((_, table) => timeCell(table, key)));
    row.append(element("td", (operators.flops[key] / 1e6).toPrecision(3)));
    return row;
  });
  if (!rows.length) {
    const row = element("tr");
    row.append(element("td", whyEmpty(), { colspan: data.tables.length + 2 }));
    rows.push(row);
  }
  document.querySelector("#grid tbody").replaceChildren(...rows);
  const pages = Math.max(1, Math.ceil(view.shown.length / PAGE));
  document.getElementById("page").textContent = `page ${view.page + 1} of ${pages}`;
  document.getElementById("previous").disabled = view.page === 0;
  document.getElementById("next").disabled = view.page + 1 >= pages;
  document.getElementById("count").textContent =
    `${view.shown.length.toLocaleString("en")} of ${operators.count.toLocaleString("en")} operators`;
}

function whyEmpty() {
  if (!operators.count) return "The tables hold no operators.";
  const asked = [view.filter && `all the words of “${view.filter}”`, view.status && `the status ${view.status}`]
    .filter(Boolean).join(" and ");
  const hidden = view.shared && sharedCount < operators.count ? ` ${operators.count - sharedCount} operators that not every table holds are hidden.` : "";
  return `No operator has ${asked || "what is asked"}.${hidden}`;
}

function turn(step) {
  view.page += step;
  drawRows();
}

document.getElementById("filter").addEventListener("input", (event) => {
  const narrow = view.filter !== "" && event.target.value.startsWith(view.filter);
  view.filter = event.target.value;
  applyFilter(narrow);
});
document.getElementById("status").addEventListener("change", (event) => {
  view.status = event.target.value;
  applyFilter();
});
document.getElementById("scope")?.addEventListener("change", (event) => {
  view.shared = event.target.value === "shared";
  applyFilter();
});
document.getElementById("previous").addEventListener("click", () => turn(-1));
document.getElementById("next").addEventListener("click", () => turn(1));
if (document.getElementById("scope")) document.getElementById("scope").value = view.shared ? "shared" : "all";
drawHead();
applySort();
