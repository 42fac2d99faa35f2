"use strict";
(() => {
  const EMPTY = { metric: null, arms: [], seeds: [], groups: [], metrics: {}, axes: {}, trend: [], pairing: null };
  const read = () => JSON.parse(document.getElementById("data").textContent) || EMPTY;
  const LEGIBLE = 6; // with more arms, individual runs are hidden initially
  let data = read();
  const root = document.documentElement;
  const byId = (id) => document.getElementById(id);
  // The reader's choices; null: none yet, the default follows the data.
  const state = { metric: null, axis: null, arms: new Set(), seeds: new Set(), met: new Set(), checked: { difference: false, bands: true, runs: data.arms.length <= LEGIBLE } };
  const metricName = () => (state.metric in data.metrics ? state.metric : data.metric);
  const axisName = () => (state.axis in data.axes ? state.axis : data.axes.epoch ? "epoch" : "step");
  const CONFIG = { displayModeBar: false, responsive: true };

  // plotly.js interprets some HTML in labels: escape names.
  const plain = (text) => String(text).replace(/[&<>]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;" })[c]);
  const short = (text) => plain(text.length > 16 ? text.slice(0, 15) + "…" : text);
  const shown = (value) => (value === null || value === undefined ? "–" : String(Number(value.toPrecision(4))).replace("-", "−"));
  const doseWords = (dose) => `${data.dose_name}${data.dose_name === "α" ? " =" : ""} ${dose}`;
  const dark = () => root.dataset.theme === "dark";
  const color = (thing) => (dark() ? thing.dark : thing.color);
  const css = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  const faint = (hex, opacity) => {
    const part = (k) => parseInt(hex.slice(k, k + 2), 16);
    return `rgba(${part(1)},${part(3)},${part(5)},${opacity})`;
  };
  const narrow = () => window.innerWidth < 640;

  function layout(xTitle, yTitle, extra = {}) {
    const axis = { gridcolor: css("--grid"), linecolor: css("--line"), zeroline: false, tickfont: { color: css("--muted") }, automargin: true };
    return {
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif", size: 13, color: css("--ink") },
      margin: { l: 56, r: narrow() ? 12 : 118, t: 12, b: 48 },
      showlegend: false,
      hovermode: "closest",
      dragmode: narrow() ? false : "zoom",
      hoverlabel: { bgcolor: css("--raised"), bordercolor: css("--line"), font: { color: css("--ink") } },
      xaxis: { ...axis, showgrid: false, ticks: "outside", tickcolor: css("--line"), title: { text: xTitle, font: { color: css("--muted") } } },
      yaxis: { ...axis, title: { text: yTitle, font: { color: css("--muted") } } },
      ...extra,
    };
  }

  function limits(values, pad) {
    let low = Infinity, high = -Infinity;
    for (const value of values) if (value !== null && value !== undefined) { low = Math.min(low, value); high = Math.max(high, value); }
    if (!(low <= high)) return [-1, 1];
    const room = (high - low) * pad || Math.abs(high) * 0.1 || 1;
    return [low - room, high + room];
  }

  // Labels at the ends of lines, moved apart so that they do not overlap.
  function endLabels(ends, range, height) {
    if (narrow() || !ends.length) return [];
    const pixel = (y) => ((y - range[0]) / (range[1] - range[0])) * height;
    const gap = Math.min(17, height / ends.length);
    const placed = ends.map((end) => ({ ...end, at: Math.max(0, Math.min(height, pixel(end.y))) })).sort((a, b) => a.at - b.at);
    for (let k = 1; k < placed.length; k++) placed[k].at = Math.max(placed[k].at, placed[k - 1].at + gap);
    for (let k = placed.length - 1, top = height; k >= 0; k--, top -= gap) placed[k].at = Math.min(placed[k].at, top);
    return placed.map((end) => ({
      text: end.text.split("\n").map(short).join("<br>"), align: "left", font: { color: end.color, size: 12 }, showarrow: false,
      xref: "paper", x: 1, xanchor: "left", xshift: 6, yref: "paper", y: end.at / height, yanchor: "middle",
    }));
  }

  const HEIGHT = (id) => byId(id).clientHeight - 62;

  function xOfRun(axis, arm, seed) {
    return axis.shared ? data.kept.map((k) => axis.shared[k]) : axis.runs[arm][seed];
  }

  function runLine(metric, axis, arm, seed, difference) {
    const x = xOfRun(axis, arm, seed);
    const own = metric.runs[arm][seed], base = metric.runs[0][seed];
    const y = own.map((value, k) => (value === null || (difference && base[k] === null) ? null : difference ? value - base[k] : value));
    return [x, y];
  }

  function drawCurves() {
    const metric = data.metrics[metricName()], axis = data.axes[axisName()];
    const { difference, runs: withRuns, bands: withBands } = state.checked;
    const found = difference ? metric.difference : metric.level;
    const thin = [], thick = [], areas = [], ends = [], heights = [];
    data.arms.forEach((arm, index) => {
      if (!state.arms.has(arm.name) || (difference && index === 0)) return;
      const band = found[arm.name], hue = color(arm);
      const xs = axis.shared || axis.mean[index];
      if (withRuns) {
        const x = [], y = [];
        data.seeds.forEach((seed, k) => {
          if (!state.seeds.has(seed)) return;
          const [runX, runY] = runLine(metric, axis, index, k, difference);
          x.push(...runX, null);
          y.push(...runY, null);
        });
        thin.push({ x, y, mode: "lines", line: { color: faint(hue, 0.35), width: 1 }, hoverinfo: "skip", connectgaps: false });
      }
      if (!band.n) return;
      const at = data.places[band.at], places = data.places[band.declared];
      const x = at.map((k) => xs[k]);
      const declared = places.map((k) => xs[k]);
      const usable = band.low.map((low, k) => low !== null && band.high[k] !== null);
      const pick = (values) => values.filter((_, k) => usable[k]);
      if (withBands && usable.some(Boolean)) {
        const low = pick(band.low), high = pick(band.high), where = pick(declared);
        heights.push(...low, ...high);
        if (band.kind === "ribbon") {
          areas.push({ x: [...where, ...where.slice().reverse()], y: [...high, ...low.slice().reverse()], mode: "lines", fill: "toself", fillcolor: faint(hue, 0.2), line: { width: 0 }, hoverinfo: "skip" });
        } else {
          const middle = low.map((v, k) => (v + high[k]) / 2);
          thick.push({ x: where, y: middle, mode: "markers", marker: { size: 1, color: hue }, hoverinfo: "skip", error_y: { type: "data", symmetric: false, array: high.map((v, k) => v - middle[k]), arrayminus: middle.map((v, k) => v - low[k]), color: hue, thickness: 1.3, width: 0 } });
        }
      }
      heights.push(...band.mean);
      const bandAt = new Map(places.map((k, position) => [k, position]));
      const text = at.map((k) => {
        const position = bandAt.get(k);
        const has = position !== undefined && usable[position];
        return has ? `<br>[${shown(band.low[position])}, ${shown(band.high[position])}]` : "";
      });
      thick.push({
        x, y: band.mean, text, name: plain(arm.name), mode: "lines",
        line: { color: hue, width: index === 0 ? 3 : 2.4, dash: arm.dashed ? "7px,4px" : "solid" },
        hovertemplate: `${plain(arm.name)}<br>${plain(axis.label)} %{x:.6~g}<br>mean %{y:.4~g}%{text}<br>${band.n} ${difference ? "pairs" : "runs"}<extra></extra>`,
      });
      if (x.length) ends.push({ text: arm.name, y: band.mean[x.length - 1], color: hue });
    });
    const inside = heights.slice();
    if (difference) inside.push(0);
    const range = limits(inside, 0.08);
    const shapes = difference ? [{ type: "line", xref: "paper", x0: 0, x1: 1, y0: 0, y1: 0, line: { color: css("--ink"), width: 1.5 } }] : [];
    const annotations = endLabels(ends, range, HEIGHT("curves"));
    if (difference && metricName() === data.metric) annotations.push(...sides());
    const label = difference ? `${metric.label}: arm − baseline` : metric.label;
    const view = layout(plain(axis.label), plain(label), { shapes, annotations });
    view.yaxis.range = range;
    Plotly.react("curves", [...areas, ...thin, ...thick], view, CONFIG);
    note(found, withBands);
  }

  function sides() {
    const [above, below] = data.direction === "lower" ? ["↑ worse", "↓ better"] : ["↑ better", "↓ worse"];
    const look = { xref: "paper", yref: "paper", x: 0.005, xanchor: "left", showarrow: false, font: { color: css("--muted"), size: 12 } };
    return [{ ...look, text: above, y: 1, yanchor: "top" }, { ...look, text: below, y: 0, yanchor: "bottom" }];
  }

  function note(found, withBands) {
    const labels = [...new Set(Object.values(found).map((band) => data.labels[band.label]))];
    const parts = ["Thin lines: individual runs. Thick lines: mean of each arm's complete runs."];
    if (withBands && labels.length) parts.push(labels[0][0].toUpperCase() + labels[0].slice(1) + (labels.length > 1 ? "; fewer in arms with failed runs." : "."));
    if (data.thinned) parts.push(`Individual runs are shown at ${data.kept.length} evaluations.`);
    byId("curves-note").textContent = parts.join(" ");
  }

  function drawTrend() {
    data.trend.forEach((panel, index) => (panel.dosed ? drawDoses : drawForest)(panel, `trend-${index}`));
  }

  const bars = (line) => ({
    type: "data", symmetric: false, color: color(line), thickness: 2.2, width: 0,
    array: line.mean.map((mean, k) => (line.high[k] === null ? 0 : line.high[k] - mean)),
    arrayminus: line.mean.map((mean, k) => (line.low[k] === null ? 0 : mean - line.low[k])),
  });

  const hoverText = (line) => line.mean.map((_, k) => `[${shown(line.low[k])}, ${shown(line.high[k])}]<br>${line.n[k]} pairs, ${line.verdict[k]}`);

  function drawDoses(panel, id) {
    const traces = [], ends = [], values = [0, data.margin || 0, -(data.margin || 0)];
    const doses = panel.lines.flatMap((line) => line.alpha);
    const span = Math.max(...doses, 0) - Math.min(...doses, 0) || 1;
    panel.lines.forEach((line, order) => {
      const hue = color(line), shift = (order - (panel.lines.length - 1) / 2) * 0.015 * span;
      const places = [0, ...line.alpha].map((_, k) => k).sort((a, b) => (a ? line.alpha[a - 1] : 0) - (b ? line.alpha[b - 1] : 0));
      const inOrder = (list, zero) => places.map((k) => (k ? list[k - 1] : zero));
      line.seeds.forEach((seed) => {
        traces.push({ x: inOrder(line.alpha, 0), y: inOrder(seed, 0), mode: "lines", line: { color: faint(hue, 0.3), width: 1 }, hoverinfo: "skip" });
        values.push(...seed);
      });
      traces.push({ x: inOrder(line.alpha, 0), y: inOrder(line.mean, 0), mode: "lines", line: { color: hue, width: 2, dash: line.dashed ? "7px,4px" : "solid" }, hoverinfo: "skip" });
      traces.push({
        x: line.alpha.map((alpha) => alpha + shift), y: line.mean, customdata: line.alpha, text: hoverText(line), mode: "markers", name: plain(line.name),
        marker: { color: line.dashed ? css("--page") : hue, size: 9, line: { color: hue, width: 2 }, symbol: line.dashed ? "x" : "circle" }, error_y: bars(line),
        hovertemplate: `${plain(line.name)}, ${doseWords("%{customdata}")}<br>%{y:.4~g} %{text}<extra></extra>`,
      });
      values.push(...line.low, ...line.high, ...line.mean);
      const last = line.mean[line.mean.length - 1];
      if (last !== null) ends.push({ text: line.label, y: last, color: hue });
    });
    const range = limits(values, 0.14);
    const view = layout(data.dose_name, "", { shapes: zero("y"), annotations: [...endLabels(ends, range, HEIGHT(id)), ...sides()] });
    view.yaxis.range = range;
    const ticks = [...new Set([0, ...doses])].sort((a, b) => a - b);
    if (ticks.length <= 9) Object.assign(view.xaxis, { tickvals: ticks, ticktext: ticks.map(shown) });
    Plotly.react(id, traces, view, CONFIG);
  }

  function drawForest(panel, id) {
    const traces = [], values = [0, data.margin || 0, -(data.margin || 0)];
    panel.lines.forEach((line, index) => {
      const hue = color(line), seeds = line.seeds.map((seed) => seed[0]);
      traces.push({ x: seeds, y: seeds.map(() => -index), mode: "markers", marker: { symbol: "line-ns-open", size: 9, color: faint(hue, 0.5) }, hoverinfo: "skip" });
      traces.push({
        x: line.mean, y: [-index], text: hoverText(line), mode: "markers", marker: { color: hue, size: 9 }, error_x: bars(line), name: plain(line.name),
        hovertemplate: `${plain(line.name)}<br>%{x:.4~g} %{text}<extra></extra>`,
      });
      values.push(...seeds, ...line.low, ...line.high, ...line.mean);
    });
    const words = data.direction === "lower" ? "← better · worse →" : "← worse · better →";
    const view = layout(words, "", { shapes: zero("x") });
    byId(id).style.height = `${Math.max(11, 5 + 1.7 * panel.lines.length)}rem`;
    Object.assign(view.xaxis, { range: limits(values, 0.08), showgrid: true });
    Object.assign(view.yaxis, { range: [-panel.lines.length + 0.3, 0.7], tickvals: panel.lines.map((_, k) => -k), ticktext: panel.lines.map((line) => short(line.name)), showgrid: false });
    view.margin.r = 16;
    Plotly.react(id, traces, view, CONFIG);
  }

  function zero(axis) {
    const across = axis === "y" ? { xref: "paper", x0: 0, x1: 1 } : { yref: "paper", y0: 0, y1: 1 };
    const at = (low, high) => (axis === "y" ? { y0: low, y1: high } : { x0: low, x1: high });
    const line = { type: "line", ...across, ...at(0, 0), line: { color: css("--ink"), width: 1.5 }, layer: "below" };
    if (!data.margin) return [line];
    return [{ type: "rect", ...across, ...at(-data.margin, data.margin), fillcolor: css("--shade"), line: { width: 0 }, layer: "below" }, line];
  }

  function drawPairing() {
    const axis = data.axes.epoch && data.axes.epoch.shared ? data.axes.epoch : data.axes.step;
    const x = data.pairing.at.map((k) => axis.shared[k]), ends = [], values = [0, 1];
    const traces = data.arms.slice(1).flatMap((arm, index) => {
      if (!state.arms.has(arm.name)) return [];
      const y = data.pairing.ratio[index], last = y.filter((value) => value !== null).pop();
      values.push(...y);
      if (last !== undefined) ends.push({ text: arm.name, y: last, color: color(arm) });
      return [{
        x, y, name: plain(arm.name), mode: "lines", line: { color: color(arm), width: 2, dash: arm.dashed ? "7px,4px" : "solid" },
        hovertemplate: `${plain(arm.name)}<br>${plain(axis.label)} %{x:.6~g}<br>variance ratio %{y:.3~g}<extra></extra>`,
      }];
    });
    const range = limits(values, 0.06);
    const shapes = [{ type: "line", xref: "paper", x0: 0, x1: 1, y0: 1, y1: 1, line: { color: css("--ink"), width: 1.5 } }];
    const view = layout(plain(axis.label), "variance ratio", { shapes, annotations: endLabels(ends, range, HEIGHT("pairing")) });
    view.yaxis.range = range;
    Plotly.react("pairing", traces, view, CONFIG);
  }

  function draw() {
    if (data.metric) drawCurves();
    drawTrend();
    if (data.pairing && byId("pairing")) drawPairing();
    describe();
  }

  function describe() {
    data.trend.forEach((panel, index) => {
      const text = panel.lines.map((line) => line.mean.map((mean, k) => `${line.name}${panel.dosed ? ` at ${doseWords(shown(line.alpha[k]))}` : ""}: ${shown(mean)}, ${line.verdict[k]}`).join("; "));
      byId(`trend-${index}`).setAttribute("aria-label", `${panel.title}. ${text.join(". ")}. The tables of arms and contrasts contain the same numbers.`);
    });
    if (!data.metric) return;
    const visible = data.arms.filter((arm) => state.arms.has(arm.name)).map((arm) => arm.name);
    const what = `${data.metrics[metricName()].label} over ${data.axes[axisName()].label}`;
    byId("curves").setAttribute("aria-label", `Learning curves, ${what}. Shown: ${visible.join(", ") || "no arm"}. The table below contains the values.`);
  }

  // Add new arms and seeds to the shown ones, as the page says. Hidden ones stay hidden.
  function meet() {
    for (const arm of data.arms) if (!state.met.has(arm.name)) { state.met.add(arm.name); if (arm.shown) state.arms.add(arm.name); }
    for (const seed of data.seeds) if (!state.met.has(seed)) { state.met.add(seed); state.seeds.add(seed); }
  }

  // Rebuild a control only if its options have changed, so that an open list stays open.
  function renewed(box, offered) {
    const signature = JSON.stringify(offered);
    if (box.dataset.offered === signature) return false;
    box.dataset.offered = signature;
    box.replaceChildren();
    return true;
  }

  function options(select, entries, chosen, change) {
    if (!renewed(select, entries)) return;
    for (const [value, label] of entries) select.append(new Option(label, value, false, value === chosen));
    select.onchange = () => { change(select.value); draw(); };
  }

  function choices(box, entries, chosen) {
    if (!renewed(box, entries)) return;
    for (const { value, label, arm } of entries) {
      const row = document.createElement("label"), input = document.createElement("input");
      input.type = "checkbox";
      input.checked = chosen.has(value);
      input.addEventListener("change", () => { input.checked ? chosen.add(value) : chosen.delete(value); draw(); });
      row.append(input);
      if (arm) {
        const swatch = document.createElement("span");
        swatch.className = `swatch${arm.dashed ? " dashed" : ""}`;
        swatch.dataset.light = arm.color;
        swatch.dataset.dark = arm.dark;
        swatch.setAttribute("aria-hidden", "true");
        row.append(swatch);
      }
      row.append(label);
      box.append(row);
    }
  }

  // One button per group of arms: all, the baseline with one variant or control, none.
  function groupButtons() {
    const names = data.arms.map((arm) => arm.name);
    const each = data.groups.length > 1 ? data.groups : [];
    const groups = [["all", names], ...each.map((group) => [`only ${group.title}`, [names[0], ...group.arms]]), ["none", []]];
    if (!renewed(byId("groups"), groups)) return;
    for (const [title, arms] of groups) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = title;
      button.addEventListener("click", () => {
        state.arms.clear();
        for (const arm of arms) state.arms.add(arm);
        delete byId("arms").dataset.offered;
        armChoices();
        paint();
        draw();
      });
      byId("groups").append(button, " ");
    }
  }

  const armChoices = () => choices(byId("arms"), data.arms.map((arm) => ({ value: arm.name, label: arm.name, arm })), state.arms);

  function paint() {
    for (const swatch of document.querySelectorAll(".swatch")) swatch.style.borderTopColor = dark() ? swatch.dataset.dark : swatch.dataset.light;
    const button = byId("theme");
    button.textContent = dark() ? "Light" : "Dark";
    button.setAttribute("aria-label", dark() ? "Switch to light colors" : "Switch to dark colors");
    button.removeAttribute("aria-pressed");
  }

  function sortable(table) {
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      if (head.querySelector("button")) return;
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const falling = head.getAttribute("aria-sort") === "ascending";
        for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", falling ? "descending" : "ascending");
        sort(table);
      });
    });
    sort(table);
  }

  // Sort rows by the column that the reader chose, if any.
  function sort(table) {
    const heads = [...table.tHead.rows[0].cells], column = heads.findIndex((head) => head.hasAttribute("aria-sort"));
    if (column < 0) return;
    const falling = heads[column].getAttribute("aria-sort") === "descending", body = table.tBodies[0];
    const key = (row) => row.cells[column].dataset.value;
    body.append(...[...body.rows].sort((a, b) => order(key(a), key(b), falling)));
  }

  // Compare numerically; missing values are last in both directions.
  function order(a, b, falling) {
    if (a === "" || b === "") return (a === "") - (b === "");
    const numeric = !Number.isNaN(Number(a)) && !Number.isNaN(Number(b));
    const sign = numeric ? Number(a) - Number(b) : a.localeCompare(b, "en", { numeric: true });
    return falling ? -sign : sign;
  }

  function trendCharts() {
    if (!byId("trend") || !renewed(byId("trend"), data.trend.map((panel) => panel.title))) return;
    data.trend.forEach((panel, index) => {
      const figure = document.createElement("figure"), title = document.createElement("h3"), chart = document.createElement("div");
      title.textContent = panel.title;
      chart.className = "chart";
      chart.id = `trend-${index}`;
      chart.setAttribute("role", "img");
      figure.append(title, chart);
      byId("trend").append(figure);
    });
  }

  // Everything that depends on the data or on <main>; called again after either has changed.
  function build() {
    meet();
    trendCharts();
    if (data.metric) {
      options(byId("metric"), Object.entries(data.metrics).map(([key, metric]) => [key, metric.label]), metricName(), (value) => { state.metric = value; });
      options(byId("axis"), Object.entries(data.axes).map(([key, axis]) => [key, axis.label]), axisName(), (value) => { state.axis = value; });
      armChoices();
      choices(byId("seeds"), data.seeds.map((seed) => ({ value: seed, label: `seed ${seed}` })), state.seeds);
      for (const id of Object.keys(state.checked)) {
        byId(id).checked = state.checked[id];
        byId(id).onchange = () => { state.checked[id] = byId(id).checked; draw(); };
      }
      groupButtons();
    }
    document.querySelectorAll("table.sortable").forEach(sortable);
    for (const button of document.querySelectorAll(".copy")) {
      button.onclick = async () => {
        await navigator.clipboard.writeText(byId(button.dataset.copy).textContent);
        button.textContent = "Copied";
        setTimeout(() => { button.textContent = "Copy"; }, 1500);
      };
    }
    paint();
    draw();
  }

  function start() {
    byId("theme").addEventListener("click", () => { root.dataset.theme = dark() ? "light" : "dark"; paint(); draw(); });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", (event) => { root.dataset.theme = event.matches ? "dark" : "light"; paint(); draw(); });
    let width = window.innerWidth;
    window.addEventListener("resize", () => { if (window.innerWidth !== width) { width = window.innerWidth; draw(); } });
    build();
  }

  start();
  window.crossnorm = { refresh() { data = read(); build(); } };
})();
