(function () {
  const element = document.getElementById("training-plot");
  const data = element ? JSON.parse(document.getElementById("plot-data").textContent).training : null;
  if (!data || typeof Plotly === "undefined") return;
  const form = document.getElementById("training-controls");
  const select = document.getElementById("training-kernel");
  const titles = ["largest eigenvalue λ<sub>max</sub>", "smallest eigenvalue λ<sub>min</sub>", "effective rank",
    "kernel distance from the first snapshot"];
  const kernelNames = { total: "total", no_grid: "without the grid's gradients (no_grid)", grid: "grid alone" };
  const unescaped = (name) => name.replace(/&lt;/g, "<").replace(/&gt;/g, ">").replace(/&quot;/g, '"')
    .replace(/&#x27;/g, "'").replace(/&amp;/g, "&");
  for (const kernel of data.kernels) {
    const option = document.createElement("option");
    option.value = kernel;
    option.textContent = unescaped(Object.hasOwn(kernelNames, kernel) ? kernelNames[kernel] : kernel);
    select.append(option);
  }
  const hidden = new Set();
  const axisName = (letter, panel) => letter + (panel ? panel + 1 : "");
  const logarithmic = (panel) => panel < 3;

  // A log axis has no zero: what is exactly zero stands at the lower edge, below all that is drawn.
  function edges(kernel) {
    return titles.map((_, panel) => {
      const all = data.runs.flatMap((run) => {
        const series = run.series[kernel];
        if (!series) return [];
        const { number, most } = series.values[panel];
        return [...number, ...most, ...(panel === 1 ? series.floor : [])];
      }).filter((value) => value > 0);
      return all.length ? { least: Math.min(...all), most: Math.max(...all) } : null;
    });
  }

  function traces(kernel, ends) {
    return data.runs.flatMap((run, r) => {
      const series = run.series[kernel];
      if (!series) return [];
      const group = "run" + r;
      const size = series.at.length <= 30 ? 7 : 4;
      const common = { legendgroup: group, name: run.name, showlegend: false, visible: hidden.has(group) ? "legendonly" : true };
      return titles.flatMap((title, panel) => {
        const { number, most, zero, said } = series.values[panel];
        const place = { ...common, x: series.at, xaxis: axisName("x", panel), yaxis: axisName("y", panel) };
        const text = series.head.map((head, i) => [`<b>${run.name}</b><br>${head}<br>${title}: ${said[i]}`]);
        const hover = { customdata: text, hovertemplate: "%{customdata[0]}<extra></extra>" };
        const drawn = [{
          ...place, ...hover, y: number, mode: "lines+markers", connectgaps: false, showlegend: panel === 0,
          line: { color: run.colour, width: 1.6 }, marker: { color: run.colour, size },
        }];
        if (most.some((value) => value !== null)) {
          drawn.push({
            ...place, ...hover, y: most, mode: "markers",
            marker: { symbol: "triangle-down-open", color: run.colour, size: size + 2, line: { width: 1.5 } },
          });
        }
        if (zero.some(Boolean)) {
          const low = ends[panel] && logarithmic(panel) ? ends[panel].least / 10 : 0.1;
          drawn.push({
            ...place, ...hover, y: zero.map((is) => (is ? low : null)), mode: "markers",
            marker: { symbol: "x-thin", color: run.colour, size: size + 2, line: { color: run.colour, width: 2 } },
          });
        }
        if (panel === 1) {
          drawn.push({
            ...place, y: series.floor, mode: series.at.length === 1 ? "markers" : "lines", opacity: 0.45,
            line: { color: run.colour, width: 1 }, marker: { symbol: "line-ew-open", color: run.colour, size: 9 },
            customdata: series.head.map((head) => [`<b>${run.name}</b><br>${head}`]),
            hovertemplate: "%{customdata[0]}<br>floor %{y:.1e}<extra></extra>",
          });
        }
        return drawn;
      });
    });
  }

  // A log axis, unless all numbers are so near that it would have too few ticks.
  function scale(kernel, panel, end) {
    const zeros = data.runs.some((run) => run.series[kernel] && run.series[kernel].values[panel].zero.some(Boolean));
    if (end.most < 5 * end.least && !zeros) return { type: "linear" };
    if (end.most > 1e3 * end.least) return { type: "log", exponentformat: "power", nticks: 7 };
    const ticks = [];
    for (let power = Math.floor(Math.log10(end.least)) - 2; power <= Math.log10(end.most) + 1; power += 1) {
      ticks.push(...[1, 2, 5].map((first) => Number(`${first}e${power}`)));
    }
    return { type: "log", tickvals: ticks, ticktext: ticks.map(String) };
  }

  function layout(kernel, ends) {
    const narrow = element.clientWidth < 700;
    const columns = narrow ? 1 : 2;
    const rows = 4 / columns;
    const gap = narrow ? 0.07 : 0.13;
    const height = (1 - gap * (rows - 1)) / rows;
    const width = narrow ? 1 : 0.44;
    const all = data.runs.flatMap((run) => (run.series[kernel] ? run.series[kernel].at : []));
    const room = 0.04 * ((Math.max(...all) - Math.min(...all)) || 1);
    const made = {
      height: narrow ? 980 : 640, margin: { l: 64, r: 10, t: 30, b: narrow ? 90 : 60 },
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      modebar: { bgcolor: "rgba(0,0,0,0)", color: "#9a9a98", activecolor: "#1d1d1f" },
      font: { family: getComputedStyle(document.body).fontFamily, size: narrow ? 11 : 12, color: "#1d1d1f" },
      legend: { orientation: "h", y: narrow ? -0.06 : -0.1, groupclick: "togglegroup" },
      showlegend: data.runs.length > 1,
      hovermode: "closest", hoverlabel: { align: "left" }, annotations: [],
    };
    titles.forEach((title, panel) => {
      const row = Math.floor(panel / columns), column = panel % columns;
      const top = 1 - row * (height + gap), left = column * (1 - width);
      const line = { gridcolor: "#e8e8e6", linecolor: "#999", ticks: "outside", zeroline: false };
      made[axisName("xaxis", panel)] = {
        ...line, domain: [left, left + width], anchor: axisName("y", panel), matches: panel ? "x" : undefined,
        range: [Math.min(...all) - room, Math.max(...all) + room],
        title: row === rows - 1 ? { text: "step of training", standoff: 8 } : undefined,
        ...(data.ticks.length ? { tickvals: data.ticks.map(([at]) => at), ticktext: data.ticks.map(([, text]) => text) } : {}),
      };
      const end = ends[panel];
      made[axisName("yaxis", panel)] = {
        ...line, domain: [top - height, top], anchor: axisName("x", panel),
        ...(logarithmic(panel) && end ? scale(kernel, panel, end) : { rangemode: "tozero" }),
      };
      made.annotations.push({
        text: title, x: left, y: top, xref: "paper", yref: "paper", xanchor: "left", yanchor: "bottom",
        yshift: 4, showarrow: false, font: { size: 13 },
      });
    });
    return made;
  }

  const config = {
    responsive: true, displaylogo: false, showSendToCloud: false, plotlyServerURL: "",
    modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]],
  };
  function draw() {
    const ends = edges(select.value);
    Plotly.react(element, traces(select.value, ends), layout(select.value, ends), config);
  }
  element.replaceChildren();
  form.hidden = data.kernels.length < 2;
  draw();
  element.on("plotly_restyle", () => {
    for (const trace of element.data) {
      if (trace.visible === "legendonly") hidden.add(trace.legendgroup);
      else hidden.delete(trace.legendgroup);
    }
  });
  form.addEventListener("change", draw);
  form.addEventListener("submit", (event) => event.preventDefault());
  let wide = element.clientWidth >= 700;
  window.addEventListener("resize", () => {
    if (element.clientWidth >= 700 !== wide) {
      wide = !wide;
      draw();
    }
  });
})();
