"use strict";
// Plots, drawn when they come into view, in the colours of the moment; and the matrix.
let printing = false;

function colours() {
  const style = getComputedStyle(document.documentElement);
  const of = (name) => style.getPropertyValue(name).trim();
  if (printing) {
    return { paper: "#ffffff", ink: "#000000", faint: "#444444", line: "#bbbbbb",
      series: ["#1f6fb4", "#c65d00", "#2b8a57", "#8a4fb0", "#b02a5b", "#60707f"],
      kernel: { 0: "#9aa2ad", 3: "#2f7fc9", 5: "#e08a1e", 7: "#2f9a67" } };
  }
  return { kernel: { 0: of("--k0"), 3: of("--k3"), 5: of("--k5"), 7: of("--k7") }, paper: of("--paper"), ink: of("--ink"), faint: of("--faint"), line: of("--line"),
    series: [0, 1, 2, 3, 4, 5].map((n) => of(`--s${n}`)) };
}

function axis(title, more = {}) {
  const { line, faint } = colours();
  return { title: { text: title, standoff: 6 }, gridcolor: line, zerolinecolor: line, linecolor: line,
    tickfont: { color: faint }, automargin: true, ...more };
}

function layout(x, y, more = {}) {
  const { paper, ink } = colours();
  return { paper_bgcolor: paper, plot_bgcolor: paper, font: { color: ink, size: 12 }, xaxis: x, yaxis: y,
    margin: { l: 50, r: 12, t: 8, b: 42 }, showlegend: false, hovermode: "closest", ...more };
}

// A legend above the plot, however many lines it takes: it hides no point.
const ABOVE = { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" };
const PAPER_PX = 640;
const SETTINGS = { displayModeBar: false, responsive: true };

function tableNamed(name) {
  return data.tables.findIndex((table) => table.name === name);
}

// A logarithmic axis whose ticks carry whole numbers: 200, not the 2 of 2e2.
function logAxis(title, values) {
  const known = values.filter((value) => value > 0);
  const [low, high] = known.length ? [Math.min(...known), Math.max(...known)] : [1, 10];
  const decades = Math.log10(high / low);
  const steps = decades > 4 ? [1] : decades > 1.5 ? [1, 3] : [1, 2, 5];
  const ticks = [];
  for (let power = Math.floor(Math.log10(low)) - 1; power <= Math.ceil(Math.log10(high)); power += 1) {
    for (const step of steps) ticks.push(Number((step * 10 ** power).toPrecision(2)));
  }
  const text = (value) => value.toLocaleString("en", { maximumSignificantDigits: 3 });
  return axis(title, { type: "log", tickvals: ticks, ticktext: ticks.map(text) });
}

// A time with its interval, as every tooltip says it.
function withInterval(value, half, unit) {
  return `${digits(value)} ${unit}${half === null || half === undefined ? "" : ` ± ${half.toPrecision(2)} %`}`;
}

function halfOf(value, low, high) {
  return low === null || high === null ? null : (50 * (high - low)) / value;
}

function band(share, limits, colour) {
  const [low, high] = limits;
  return { x: [low, high, high, low], y: [low * (1 + share), high * (1 + share), high * (1 - share), low * (1 - share)],
    fill: "toself", mode: "lines", line: { width: 0 }, fillcolor: colour, hoverinfo: "skip", type: "scatter" };
}

function drawExam(box) {
  const number = tableNamed(box.dataset.name);
  const { exam } = data.tables[number];
  const colour = colours().series[number % 6];
  const at = (n) => exam.points.map((point) => point[n]);
  const [predicted, low, high, measured] = [at(0), at(1), at(2), at(3)];
  const every = [...predicted, ...measured];
  const limits = [0.94 * Math.min(...every), 1.06 * Math.max(...every)];
  const said = exam.networks.map((name, n) =>
    `${name}, table ${box.dataset.name}<br>predicted ${withInterval(predicted[n], halfOf(predicted[n], low[n], high[n]), "ms")}<br>measured ${digits(measured[n])} ms`);
  const points = { x: measured, y: predicted, mode: "markers", type: "scatter", text: said, name: `table ${box.dataset.name}`,
    marker: { color: colour, size: 6, opacity: 0.85 },
    error_y: { type: "data", symmetric: false, array: high.map((v, n) => v - predicted[n]),
      arrayminus: low.map((v, n) => predicted[n] - v), color: colour, thickness: 0.6, width: 0 },
    hovertemplate: "%{text}<extra></extra>" };
  const line = { x: limits, y: limits, mode: "lines", type: "scatter", hoverinfo: "skip",
    line: { color: colours().faint, width: 1 } };
  const traces = [band(0.1, limits, "rgba(128,140,155,.16)"), band(0.05, limits, "rgba(128,140,155,.25)"), line, points];
  return [traces, layout(axis("measured, ms", { range: limits }), axis("predicted, ms", { range: limits }))];
}

function chosenPair() {
  return ["first", "second"].map((id) => Number(document.getElementById(id).value));
}

function pairPoints() {
  const [first, second] = chosenPair();
  const points = [];
  for (let key = 0; key < operators.count; key += 1) {
    const x = operators.value(first, key, "us"), y = operators.value(second, key, "us");
    if (x && y) points.push({ key, x, y, ratio: y / x,
      said: [[first, x], [second, y]].map(([t, us]) => `${data.tables[t].name} ${withInterval(us, operators.value(t, key, "half"), "µs")}`).join("<br>") });
  }
  const ratios = points.map((point) => point.ratio).sort((a, b) => a - b);
  return { points, usual: ratios.length ? ratios[ratios.length >> 1] : 1, first, second };
}

const MOST_POINTS = 2500;

function drawPair() {
  const { points, usual, first, second } = pairPoints();
  const [a, b] = [data.tables[first], data.tables[second]];
  const step = printing ? 1 : Math.ceil(points.length / MOST_POINTS);
  const drawn = points.filter((_, n) => n % step === 0);
  document.getElementById("pair-caption").textContent = points.length
    ? `${points.length} shared operators${step > 1 ? ` (every ${step}th is drawn)` : ""}; ${b.name} usually takes ${usual.toPrecision(3)} times as long as ${a.name}`
    : `${a.name} and ${b.name} share no operator: ${first === second ? "they are the same table" : `${a.name} is ${a.setting}, ${b.name} is ${b.setting}`}`;
  const kernel = (key) => Number((/_k(\d+)_/.exec(operators.keys[key]) ?? [0, 0])[1]);
  const { 0: _, ...shade } = colours().kernel;
  const traces = [3, 5, 7, 0].map((size) => {
    const mine = drawn.filter(({ key }) => (shade[kernel(key)] ? kernel(key) : 0) === size);
    return { x: mine.map((p) => p.x), y: mine.map((p) => p.y), text: mine.map((p) => `${operators.words[p.key]}<br>${p.said}`),
      name: size ? `kernel ${size}` : "other", mode: "markers", type: "scatter",
      marker: { color: shade[size] ?? colours().faint, size: 6, opacity: 0.8 },
      hovertemplate: "%{text}<extra></extra>" };
  }).filter((trace) => trace.x.length);
  if (points.length) {
    const xs = points.map((p) => p.x), ends = [Math.min(...xs), Math.max(...xs)];
    traces.push({ x: ends, y: ends.map((x) => x * usual), mode: "lines", type: "scatter", showlegend: false,
      hoverinfo: "skip", line: { color: colours().faint, width: 1, dash: "dot" } });
  }
  return [traces, layout(logAxis(`${a.name}: ${a.setting}, µs`, points.map((p) => p.x)), logAxis(`${b.name}: ${b.setting}, µs`, points.map((p) => p.y)),
    { showlegend: true, legend: ABOVE })];
}

function drawShift() {
  const { points, usual, second, first } = pairPoints();
  const ranked = points.map((p) => ({ ...p, relative: Math.log2(p.ratio / usual) }))
    .sort((a, b) => a.relative - b.relative);
  const far = ranked.length > 14 ? [...ranked.slice(0, 7), ...ranked.slice(-7)] : ranked;
  const trace = { type: "bar", orientation: "h", x: far.map((p) => p.relative), y: far.map((p) => operators.words[p.key]),
    marker: { color: far.map((p) => colours().series[(p.relative > 0 ? second : first) % 6]) },
    text: far.map((p) => p.said),
    hovertemplate: "%{y}<br>%{text}<extra></extra>", textposition: "none" };
  const ticks = [-3, -2, -1, -0.5, 0, 0.5, 1, 2, 3];
  return [[trace], layout(axis(`relative cost on ${data.tables[second].name} (1 = usual)`,
    { tickvals: ticks, ticktext: ticks.map((t) => String(Number((2 ** t).toPrecision(2)))) }),
  axis("", { tickfont: { size: 10, color: colours().ink }, type: "category" }))];
}

function drawFront(box) {
  const front = data.fronts[Number(box.dataset.table)];
  const points = [...front.points].sort((a, b) => a.predicted_ms - b.predicted_ms);
  const trace = { x: points.map((p) => p.predicted_ms), y: points.map((p) => p.value), type: "scatter",
    mode: front.line ? "lines+markers" : "markers", text: points.map((p) => `${p.name} ${withInterval(p.predicted_ms, halfOf(p.predicted_ms, p.low_ms, p.high_ms), "ms")}`),
    line: { color: colours().series[0], shape: "hv", width: 1.5 }, marker: { color: colours().series[0], size: 7 },
    error_x: { type: "data", symmetric: false, thickness: 0.7, width: 0, color: colours().faint,
      array: points.map((p) => (p.high_ms === null ? 0 : p.high_ms - p.predicted_ms)),
      arrayminus: points.map((p) => (p.low_ms === null ? 0 : p.predicted_ms - p.low_ms)) },
    hovertemplate: `%{text}<br>%{x:.4g} ms, ${front.value_name} %{y:.4g}<extra></extra>` };
  return [[trace], layout(axis("predicted latency, ms"), axis(front.value_name))];
}

function drawDrift(box) {
  const number = tableNamed(box.dataset.name);
  const { drift } = data.tables[number];
  const parts = [["speed", "time / median"], ["state", "state of the machine"], ["clock_ghz", "clock, GHz"], ["temperature_c", "°C"]]
    .filter(([name]) => drift[name].length);
  const colour = colours().series[number % 6];
  const traces = [], more = { grid: { rows: parts.length, columns: 1, pattern: "coupled" } };
  parts.forEach(([name, title], row) => {
    const at = (n) => drift[name].map((bin) => bin[n]);
    const yaxis = row ? `y${row + 1}` : "y";
    const common = { x: drift.minutes, type: "scatter", mode: "lines", yaxis };
    traces.push({ ...common, y: at(0), line: { width: 0 }, hoverinfo: "skip" });
    traces.push({ ...common, y: at(2), line: { width: 0 }, fill: "tonexty", fillcolor: "rgba(128,140,155,.28)", hoverinfo: "skip" });
    traces.push({ ...common, y: at(1), line: { color: colour, width: 1.6 }, hovertemplate: `%{x:.1f} min: %{y:.4g}<extra>${title}</extra>` });
    more[row ? `yaxis${row + 1}` : "yaxis"] = axis(title, { nticks: 5 });
  });
  return [traces, { ...layout(axis("minutes since the start"), more.yaxis), ...more }];
}

// Exam and rows against the number of measured operators; the table's own number is the last.
function drawCurve(box) {
  const { curve } = data.tables[tableNamed(box.dataset.name)];
  const percent = (values) => values.map((v) => (v === null ? null : 100 * v));
  const trace = (name, values, colour, more = {}) => ({ x: curve.operators, y: percent(values), name,
    type: "scatter", mode: "lines+markers", line: { color: colour, width: 1.8, ...more }, marker: { size: 6 },
    text: curve.share.map((v) => `${(100 * v).toPrecision(2)} % of all`),
    hovertemplate: `%{x} operators (%{text}): %{y:.3g} %<extra>${name}</extra>` });
  const own = colours().series[tableNamed(box.dataset.name) % 6];
  const traces = [trace("whole networks", curve.exam_mape, own),
    trace("single rows", curve.row_mape, own, { dash: "dot" })];
  const shown = curve.operators.filter((n, i, all) => !i || i + 1 === all.length || n >= 1.5 * all[i - 1]);
  const x = axis("operators measured", { type: "log", tickvals: shown, ticktext: shown.map(String) });
  const ticks = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100];
  const y = axis("mean error, %", { type: "log", tickvals: ticks, ticktext: ticks.map(String) });
  return [traces, layout(x, y,
    { showlegend: true, legend: ABOVE })];
}

const DRAW = { exam: drawExam, curve: drawCurve, pair: drawPair, shift: drawShift, front: drawFront, drift: drawDrift,
  flops: drawFlops, layers: drawLayers, accuracy: drawAccuracy };
const boxes = [...document.querySelectorAll("[data-plot]")];

// The library takes seconds to compile on a slow machine: rows and matrix come first.
function plotly() {
  if (!window.Plotly) {
    const script = element("script", document.getElementById("plotly").textContent);
    document.head.append(script);
  }
  return window.Plotly;
}

function draw(box) {
  const [traces, shape] = DRAW[box.dataset.plot](box);
  box.dataset.drawn = "yes";
  // On paper a plot is as wide as its column there, so that no point or bar lies beyond the edge.
  const size = printing ? { width: PAPER_PX, height: Math.min(box.clientHeight || 320, 420), autosize: false } : {};
  return plotly().react(box, traces, { ...shape, ...size }, SETTINGS);
}

function redraw(which = (box) => box.dataset.drawn) {
  boxes.filter(which).forEach(draw);
}

// A network's own peak memory, in megabytes of a million bytes.
function memoryWords(cell) {
  const megabytes = (kilobytes) => (kilobytes * 1024) / 1e6;
  const half = cell.memory_low_kb === null ? "" : ` ± ${((50 * (cell.memory_high_kb - cell.memory_low_kb)) / cell.memory_kb).toFixed(1)} %`;
  return `${megabytes(cell.memory_kb).toFixed(2)} MB${half}`;
}

function drawMatrix() {
  const { networks, columns, cells } = data.matrix;
  const head = element("tr");
  head.append(element("th", "network", { scope: "col" }));
  columns.forEach((column) => {
    const cell = element("th", `${column.name ? `${column.name}: ` : ""}${column.label}`, { scope: "col", title: column.detail });
    cell.append(element("span", column.kind, { class: "kind" }));
    head.append(cell);
  });
  const best = columns.map((_, n) => Math.min(...cells.filter((c) => c.column === n && c.latency_us).map((c) => c.latency_us)));
  const rows = networks.map((network) => {
    const row = element("tr");
    row.append(element("th", network, { scope: "row" }));
    columns.forEach((_, n) => {
      const found = cells.find((c) => c.column === n && c.network === network);
      if (!found || !found.latency_us) {
        row.append(element("td", "–", found ? { title: found.note } : {}));
        return;
      }
      const cell = element("td", digits(found.latency_us / 1e3), { class: found.latency_us === best[n] ? "best" : "", title: found.note });
      const half = found.low_us === null ? null : (50 * (found.high_us - found.low_us)) / found.latency_us;
      if (half !== null) cell.append(element("span", `± ${half.toFixed(1)} %`, { class: "half" }));
      if (found.memory_kb) cell.append(element("span", memoryWords(found), { class: "half" }));
      row.append(cell);
    });
    return row;
  });
  const thead = element("thead"), tbody = element("tbody");
  thead.append(head);
  tbody.append(...rows);
  document.getElementById("matrix").replaceChildren(thead, tbody);
}

drawMatrix();
const seen = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (entry.isIntersecting) {
      seen.unobserve(entry.target);
      draw(entry.target);
    }
  }
}, { rootMargin: "300px" });
addEventListener("load", () => setTimeout(() => boxes.forEach((box) => seen.observe(box)), 30));
for (const id of ["first", "second"]) {
  document.getElementById(id)?.addEventListener("change", () => redraw((box) => ["pair", "shift"].includes(box.dataset.plot)));
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => redraw());
document.getElementById("network-table")?.addEventListener("change", () => redraw((box) => box.dataset.plot === "layers"));
for (const id of ["above", "below"]) {
  document.getElementById(id)?.addEventListener("change", () => redraw((box) => box.dataset.plot === "layers"));
}
addButtons();
listReasons();
addEventListener("beforeprint", () => { printing = true; view.whole = true; drawRows(); redraw(() => true); });
addEventListener("afterprint", () => {
  printing = false;
  view.whole = false;
  drawRows();
  redraw();
});
