// Charts by uPlot, of the numbers in #series; drawn again when they, the theme or the width change.
/* global uPlot */

const COLOURS = { submitted: "--series-1", completed: "--series-2", failed: "--series-bad", retried: "--series-warn",
  wait_median: "--series-1", wait_p95: "--series-warn", depth: "--series-1",
  replayed: "--series-1", well: "--series-2" };
const SECONDS = new Set(["wait_median", "wait_p95"]);
const drawn = new Map();

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  return seconds < 60 ? `${seconds.toFixed(1)} s` : `${(seconds / 60).toFixed(1)} min`;
}

function count(value) {
  return value === null || value === undefined ? "–" : value.toLocaleString("en");
}

function clock(times) {
  const pad = (number) => String(number).padStart(2, "0");
  const fine = times.length > 1 && times[1] - times[0] < 60;
  return times.map((time) => {
    const at = new Date(time * 1000);
    return `${pad(at.getHours())}:${pad(at.getMinutes())}${fine ? `:${pad(at.getSeconds())}` : ""}`;
  });
}

function options(place, columns, names, times) {
  const muted = colour("--muted");
  const line = colour("--line");
  const told = SECONDS.has(columns[0]) ? duration : count;
  const axis = { stroke: muted, grid: { stroke: line, width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
  return {
    width: place.clientWidth,
    height: 150,
    padding: [8, 4, 0, 0],
    cursor: { points: { size: 6 }, drag: { x: false, y: false }, sync: { key: "overview" } },
    scales: { y: { range: (_, low, high) => [0, Math.max(high * 1.1, SECONDS.has(columns[0]) ? 0.1 : 4)] } },
    axes: [
      { ...axis, space: 70, size: 26, values: (_, splits) => clock(splits) },
      { ...axis, size: 54, space: 34, values: (_, splits) => splits.map((each) => (Number.isInteger(each) || SECONDS.has(columns[0]) ? told(each) : "")) },
    ],
    series: [
      { value: (_, time) => (time === null ? "" : clock([time, times[1] ?? time])[0]), label: "At" },
      ...columns.map((column, position) => ({
        label: names[position],
        stroke: colour(COLOURS[column]),
        fill: position === 0 ? `${colour(COLOURS[column])}1f` : undefined,
        width: 1.75,
        spanGaps: true,
        points: { show: false },
        value: (_, value) => told(value),
      })),
    ],
  };
}

function draw() {
  const source = document.getElementById("series");
  if (!source || typeof uPlot === "undefined") return;
  const series = JSON.parse(source.dataset.series);
  for (const place of document.querySelectorAll("[data-chart]")) {
    const columns = place.dataset.columns.split(",");
    const data = [series.times, ...columns.map((column) => series[column])];
    const key = `${place.clientWidth} ${document.documentElement.dataset.theme} ${series.width_seconds}`;
    const before = drawn.get(place);
    if (before?.key === key) {
      before.plot.setData(data);
      continue;
    }
    before?.plot.destroy();
    drawn.set(place, { key, plot: new uPlot(options(place, columns, place.dataset.names.split(","), series.times), data, place) });
  }
}

export function startCharts() {
  if (!document.getElementById("series")) return;
  const redraw = () => {
    for (const { plot } of drawn.values()) plot.destroy();
    drawn.clear();
    draw();
  };
  addEventListener("load", draw);
  if (document.readyState === "complete") draw();
  document.addEventListener("dashboard:refreshed", draw);
  document.addEventListener("dashboard:theme", redraw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  let waiting;
  addEventListener("resize", () => { clearTimeout(waiting); waiting = setTimeout(draw, 150); });
}
