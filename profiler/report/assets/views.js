"use strict";
// Views of networks: latency against FLOPs, the time of each layer, accuracy; and CSV of every figure.

function drawFlops(box) {
  const number = tableNamed(box.dataset.name);
  const found = data.flops[number];
  const at = (n) => found.points.map((point) => point[n]);
  const [mflops, ms, low, high] = [at(0), at(1), at(2), at(3)];
  const trace = { x: mflops, y: ms, mode: "markers", type: "scatter", name: `table ${box.dataset.name}`,
    marker: { color: colours().series[number % 6], size: 5, opacity: 0.75 },
    text: mflops.map((f, n) => `${box.dataset.name}: ${digits(f)} million FLOPs<br>${withInterval(ms[n], halfOf(ms[n], low[n], high[n]), "ms")}`),
    hovertemplate: "%{text}<extra></extra>" };
  return [[trace], layout(axis("FLOPs (multiply-adds), millions"), axis("predicted latency, ms"))];
}

function chosenNetworks() {
  return ["above", "below"].map((id) => Number(document.getElementById(id).value));
}

// Two networks, one above the other, on one scale: what each layer adds to the whole.
function drawLayers() {
  const table = Number(document.getElementById("network-table").value);
  const { kernel, faint, ink } = colours();
  const traces = [], said = [], shape = {};
  const chosen = chosenNetworks();
  const found = chosen.map((network) => data.layers[table][network]);
  const top = 1.08 * Math.max(1, ...found.flatMap((one) => (one.problem ? [] : one.layers.map((layer) => layer[1]))));
  found.forEach((one, row) => {
    const name = data.matrix.networks[chosen[row]];
    const suffix = row ? "2" : "";
    shape[`yaxis${suffix}`] = axis(`${name}, µs`, { domain: row ? [0, 0.46] : [0.54, 1], range: [0, top] });
    shape[`xaxis${suffix}`] = axis(row ? "layer, from the image to the classes" : "", { anchor: `y${suffix}`, dtick: 5 });
    if (one.problem) {
      said.push(`${name}: ${one.problem}`);
      return;
    }
    said.push(`${name}: ${digits(one.total_us / 1e3)} ms`);
    traces.push({ type: "bar", xaxis: `x${suffix}`, yaxis: `y${suffix}`, name,
      x: one.layers.map((_, n) => n + 1), y: one.layers.map((layer) => layer[1]),
      marker: { color: one.layers.map((layer) => kernel[layer[2]] ?? faint), line: { width: 0.3, color: ink } },
      text: one.layers.map((layer, n) => `${n + 1}: ${layer[0]}<br>${withInterval(layer[1], layer[3], "µs")}`),
      textposition: "none", hovertemplate: "%{text}<extra></extra>" });
  });
  document.getElementById("layers-caption").textContent = `by ${data.tables[table].name}: ${said.join("; ")}`;
  return [traces, { ...layout(shape.xaxis, shape.yaxis), ...shape }];
}

function drawAccuracy() {
  const traces = data.accuracy.map((points, number) => ({ type: "scatter", mode: "markers+text",
    name: `${data.tables[number].name}: ${data.tables[number].setting}`,
    x: points.map((p) => p[1]), y: points.map((p) => p[4]), hovertext: points.map((p) =>
      `${p[0]} by ${data.tables[number].name}<br>${withInterval(p[1], halfOf(p[1], p[2], p[3]), "ms")}<br>top-1 ${p[4]} %, as printed by its authors`),
    // FBNet-A keeps its whole name, since a letter alone is a table.
    text: points.map((p) => p[0].replace(/^FBNet(-(?=..)|(?=V))/, "")), cliponaxis: false, textposition: "top center", textfont: { size: 9 },
    marker: { color: colours().series[number % 6], size: 7 }, hovertemplate: "%{hovertext}<extra></extra>" }))
    .filter((trace) => trace.x.length);
  return [traces, layout(axis("predicted latency, ms"), axis("top-1 printed, %"),
    { showlegend: traces.length > 1, legend: ABOVE })];
}

// Reasons of the matrix's empty cells, each once, with the columns that it holds for.
function listReasons() {
  const reasons = new Map();
  for (const cell of data.matrix.cells.filter((one) => !one.latency_us && one.note)) {
    const column = data.matrix.columns[cell.column];
    const said = cell.note;
    reasons.set(said, [...(reasons.get(said) ?? []), `${cell.network} by ${column.name || column.label}`]);
  }
  if (!reasons.size) return;
  const details = element("details"), list = element("ul", null, { class: "small" });
  details.append(element("summary", "Why cells are empty"), list);
  for (const [said, cells] of reasons) list.append(element("li", `${cells.join(", ")}: ${said}`));
  document.getElementById("matrix").parentElement.after(details);
}

// --- CSV

function csvCell(value) {
  const text = value === null || value === undefined ? "" : String(value).replaceAll("<br>", "; ");
  // A text that a spreadsheet would take for a formula stays a text.
  const safe = /^[=+@\t\r]/.test(text) || (/^-/.test(text) && Number.isNaN(Number(text))) ? `'${text}` : text;
  return /[",\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

function toCsv(rows) {
  return rows.map((row) => row.map(csvCell).join(",")).join("\n") + "\n";
}

// What a plot shows, one row a point.
function csvOfPlot(box) {
  const [traces, shape] = DRAW[box.dataset.plot](box);
  const title = (name, spare) => shape[name]?.title?.text || spare;
  const rows = [["series", title("xaxis", "x"), title("yaxis", "y"), "what"]];
  for (const trace of traces.filter((one) => one.hoverinfo !== "skip")) {
    const texts = trace.hovertext ?? trace.text ?? [];
    const series = trace.name ?? title(`yaxis${(trace.yaxis ?? "y").slice(1)}`, "");
    trace.x.forEach((x, n) => rows.push([series, x, trace.y[n], texts[n]]));
  }
  return toCsv(rows);
}

function csvOfGrid() {
  const names = data.tables.flatMap((table) => [`${table.name} us`, `${table.name} half %`, `${table.name} status`]);
  const rows = view.shown.map((key) => [operators.keys[key], operators.words[key], operators.flops[key],
    ...data.tables.flatMap((_, t) => ["us", "half", "status"].map((what) => operators.value(t, key, what)))]);
  return toCsv([["key", "operator", "flops", ...names], ...rows]);
}

function csvOfMatrix() {
  const { networks, columns, cells } = data.matrix;
  const head = ["network", "table", "kind", "latency_us", "low_us", "high_us", "note", "memory_kb", "memory_low_kb", "memory_high_kb"];
  return toCsv([head, ...cells.map((cell) => [cell.network ?? networks[cell.row], columns[cell.column].label,
    columns[cell.column].kind, cell.latency_us, cell.low_us, cell.high_us, cell.note,
    cell.memory_kb, cell.memory_low_kb, cell.memory_high_kb])]);
}

function csvButton(name, content) {
  const button = element("button", "CSV", { type: "button", class: "csv", title: `Save ${name} as CSV` });
  button.addEventListener("click", () => {
    const link = element("a", "", { download: `${name.replaceAll(/\W+/g, "-")}.csv` });
    link.href = URL.createObjectURL(new Blob([content()], { type: "text/csv" }));
    link.click();
    URL.revokeObjectURL(link.href);
  });
  return button;
}

function addButtons() {
  for (const box of boxes) {
    const name = [box.dataset.plot, box.dataset.name ?? box.dataset.table].filter(Boolean).join("-");
    box.parentElement.append(csvButton(name, () => csvOfPlot(box)));
  }
  document.querySelector("#operators .pager").append(csvButton("operators", csvOfGrid));
  document.getElementById("matrix").parentElement.after(csvButton("networks", csvOfMatrix));
}
