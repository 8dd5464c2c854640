(function () {
  const data = JSON.parse(document.getElementById("plot-data").textContent);
  const element = document.getElementById("plot");
  const kernelSelect = document.getElementById("kernel");
  const stageBox = document.getElementById("stages");
  const floorBox = document.getElementById("floors");
  const largest = Math.max(...data.runs.flatMap((run) => run.curves.map((curve) => curve.size)), 10);
  const keyDashes = { dot: "2 3", dash: "8 4", solid: "" };
  const kernelNames = { total: "total", no_grid: "without the grid's gradients (no_grid)", grid: "grid alone" };
  const curves = data.runs.flatMap((run) => run.curves);
  if (!curves.length || typeof Plotly === "undefined") return;

  // Names come escaped for plotly; a form control wants them as they were.
  const unescaped = (name) => name.replace(/&lt;/g, "<").replace(/&gt;/g, ">").replace(/&quot;/g, '"')
    .replace(/&#x27;/g, "'").replace(/&amp;/g, "&");
  const kernels = [...new Set(curves.map((curve) => curve.kernel))];
  const groups = data.groups.filter((group) => curves.some((curve) => curve.group === group.key));
  const hidden = new Set();

  // A piece of line as the plot draws this stage, or this snapshot.
  function key(group) {
    const space = "http" + "://www.w3.org/2000/svg";
    const picture = document.createElementNS(space, "svg");
    const line = document.createElementNS(space, "line");
    const set = (node, values) => Object.entries(values).forEach(([name, value]) => node.setAttribute(name, value));
    set(picture, { viewBox: "0 0 34 8", class: "key", "aria-hidden": "true" });
    set(line, { x1: 0, y1: 4, x2: 34, y2: 4, stroke: group.colour, "stroke-width": group.width });
    if (keyDashes[group.dash]) line.setAttribute("stroke-dasharray", keyDashes[group.dash]);
    picture.append(line);
    return picture;
  }

  for (const kernel of kernels) {
    const option = document.createElement("option");
    option.value = kernel;
    option.textContent = unescaped(Object.hasOwn(kernelNames, kernel) ? kernelNames[kernel] : kernel);
    kernelSelect.append(option);
  }
  for (const group of groups) {
    const label = document.createElement("label");
    const box = document.createElement("input");
    box.type = "checkbox";
    box.value = group.key;
    box.checked = group.shown;
    label.append(box, key(group), group.name);
    stageBox.append(label);
  }

  const boxes = () => [...stageBox.querySelectorAll("input")];
  function check(wanted) {
    boxes().forEach((box, i, all) => { box.checked = wanted(i, all.length); });
    draw();
  }
  if (data.stepwise) {
    const choices = document.getElementById("choices");
    for (const [text, wanted] of [
      ["all", () => true],
      ["none", () => false],
      ["first and last", (i, count) => i === 0 || i === count - 1],
      ["one by one", null],
    ]) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = text;
      button.addEventListener("click", () => {
        if (wanted) return check(wanted);
        // One snapshot after another: a walk through training.
        const last = boxes().findLastIndex((box) => box.checked);
        const alone = boxes().filter((box) => box.checked).length === 1;
        const next = alone ? (last + 1) % boxes().length : 0;
        return check((i) => i === next);
      });
      choices.append(button);
    }
  }

  const chosen = () => new Set(boxes().filter((box) => box.checked).map((box) => box.value));

  function curveTraces(run, group, curve, legend) {
    const head = `<b>${run.name}</b><br>${curve.snapshot}, step ${curve.step}, ${curve.kernel}`;
    const common = { legendgroup: group, name: run.name, visible: hidden.has(group) ? "legendonly" : true };
    const traces = [];
    traces.push({
      ...common, x: curve.index, y: curve.value, mode: curve.index.length === 1 ? "markers" : "lines",
      line: { color: curve.colour, dash: curve.dash, width: curve.width },
      marker: { color: curve.colour }, showlegend: legend,
      customdata: curve.index.map((i, k) => [head, curve.error[k] === null ? "" : curve.error[k].toExponential(0)]),
      hovertemplate: "%{customdata[0]}<br>λ<sub>%{x}</sub> = %{y:.3e} ± %{customdata[1]}<extra></extra>",
    });
    if (curve.index.length && curve.resolved < curve.known) {
      const last = curve.index.length - 1;
      traces.push({
        ...common, x: [curve.index[last]], y: [curve.value[last]], mode: "markers", showlegend: false,
        marker: { symbol: "x-thin", size: 8, line: { color: curve.colour, width: 2 } },
        customdata: [[head]],
        hovertemplate: `%{customdata[0]}<br>last resolved: ${curve.resolved} of ${curve.known}<extra></extra>`,
      });
    }
    if (floorBox.checked && curve.floor > 0) {
      traces.push({
        ...common, x: [1, Math.max(curve.size, 2)], y: [curve.floor, curve.floor], mode: "lines", showlegend: legend && !curve.index.length,
        line: { color: curve.colour, width: 1 }, opacity: 0.5, customdata: [[head], [head]],
        hovertemplate: "%{customdata[0]}<br>floor %{y:.1e}: below it nothing is resolved<extra></extra>",
      });
    }
    return traces;
  }

  function traces() {
    const wanted = chosen();
    return data.runs.flatMap((run, r) => {
      const shown = run.curves.filter((curve) => curve.kernel === kernelSelect.value && wanted.has(curve.group));
      // The last snapshot that is shown stands for the run in the legend; floors are drawn for it alone.
      return shown.flatMap((curve, k) => {
        const last = k === shown.length - 1;
        const drawn = curveTraces(run, "run" + r, curve, last);
        return last ? drawn : drawn.filter((trace) => trace.opacity === undefined);
      });
    });
  }

  function layout() {
    const narrow = element.clientWidth < 560;
    return {
      height: narrow ? 480 : 540,
      margin: { l: narrow ? 64 : 74, r: 10, t: 34, b: 50 },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: "#9a9a98", activecolor: "#1d1d1f" },
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: getComputedStyle(document.body).fontFamily, size: narrow ? 11 : 13, color: "#1d1d1f" },
      xaxis: { type: "log", title: { text: "index i" }, gridcolor: "#e8e8e6", linecolor: "#999", ticks: "outside", dtick: 1,
        range: [Math.log10(0.85), Math.log10(largest * 1.2)] },
      yaxis: { type: "log", title: { text: "eigenvalue λ<sub>i</sub> of J Jᵀ" }, gridcolor: "#e8e8e6", linecolor: "#999",
        ticks: "outside", exponentformat: "power", nticks: narrow ? 8 : 12 },
      legend: narrow ? { orientation: "h", y: -0.18, groupclick: "togglegroup" }
        : { x: 1.01, y: 1, groupclick: "togglegroup" },
      uirevision: kernelSelect.value, hovermode: "closest", hoverlabel: { align: "left" },
    };
  }

  // plotly's own bar of buttons offers to send the data to a server: this page stays where it is.
  const config = {
    responsive: true, displaylogo: false, showSendToCloud: false, plotlyServerURL: "",
    modeBarButtons: [["toImage", "zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d"]],
  };
  const draw = () => Plotly.react(element, traces(), layout(), config);

  element.replaceChildren();
  document.getElementById("controls").hidden = false;
  draw();
  element.on("plotly_restyle", () => {
    for (const trace of element.data) {
      if (trace.visible === "legendonly") hidden.add(trace.legendgroup);
      else hidden.delete(trace.legendgroup);
    }
  });
  document.getElementById("controls").addEventListener("change", draw);
  document.getElementById("controls").addEventListener("submit", (event) => event.preventDefault());
  let wide = element.clientWidth >= 560;
  window.addEventListener("resize", () => {
    if (element.clientWidth >= 560 !== wide) {
      wide = !wide;
      draw();
    }
  });
})();
