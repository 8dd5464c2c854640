// Every eigenvalue against its index. A view gives plotly's traces and layout for what is chosen.
window.views = window.views || {};
window.views.spectrum = function (data, look) {
  const curves = data.runs.flatMap((run) => run.curves);
  const largest = curves.reduce((most, curve) => Math.max(most, curve.size), 10); // too many to be arguments

  function traces(run, curve, options) {
    const colour = look.colour(curve);
    const name = data.kernels[curve.kernel];
    const head = `<b>${run.name}</b><br>${curve.snapshot}, ${name}`;
    const line = { color: colour, dash: options.behind ? "dot" : curve.dash, width: options.behind ? 1.2 : curve.width };
    const opacity = options.behind ? 0.55 : 1;
    const drawn = [{
      x: curve.index, y: curve.value, mode: curve.index.length === 1 ? "markers" : "lines", line, opacity,
      marker: { color: colour, symbol: run.marker },
      customdata: curve.index.map((_, k) => [head, curve.error[k] === null ? "" : curve.error[k].toExponential(0)]),
      hovertemplate: "%{customdata[0]}<br>λ<sub>%{x}</sub> = %{y:.3e} ± %{customdata[1]}<extra></extra>",
    }];
    // Floors are drawn for the last snapshot that is shown.
    if (options.last && options.floors && curve.floor > 0) drawn.push(floor(curve, colour, head));
    if (options.behind || !curve.index.length) return drawn;
    if (data.runs.length > 1 && options.last) {
      const places = look.marked(curve.index);
      drawn.push({
        x: places.map((k) => curve.index[k]), y: places.map((k) => curve.value[k]), mode: "markers", hoverinfo: "skip",
        marker: { symbol: run.marker, color: colour, size: 8 },
      });
    }
    if (curve.resolved < curve.known) {
      const last = curve.index.length - 1;
      drawn.push({
        x: [curve.index[last]], y: [curve.value[last]], mode: "markers", customdata: [[head]],
        marker: { symbol: "x-thin", size: 9, line: { color: colour, width: 2 } },
        hovertemplate: `%{customdata[0]}<br>last resolved: ${curve.resolved} of ${curve.known}<extra></extra>`,
      });
    }
    return drawn;
  }

  function floor(curve, colour, head) {
    return {
      x: [1, Math.max(curve.size, 2)], y: [curve.floor, curve.floor], mode: "lines", line: { color: colour, width: 1 },
      opacity: 0.5, customdata: [[head], [head]],
      hovertemplate: "%{customdata[0]}<br>floor %{y:.1e}: below it nothing is resolved<extra></extra>",
    };
  }

  return {
    traces: (chosen) => look.chosen(chosen, "curves", traces),
    layout(narrow) {
      return {
        height: narrow ? 430 : 520, margin: { l: narrow ? 58 : 74, r: 10, t: 30, b: 50 },
        xaxis: { ...look.axis(), type: "log", title: { text: "mode i, the fastest first" }, dtick: 1,
          range: [Math.log10(0.85), Math.log10(largest * 1.2)] },
        yaxis: { ...look.axis(), type: "log", title: { text: "its speed: eigenvalue λ<sub>i</sub>" },
          exponentformat: "power", nticks: narrow ? 8 : 12 },
      };
    },
  };
};
