// What the first modes leave of the target, and what gradient flow would leave of the residual.
window.views = window.views || {};
(function () {
  const percent = { 1e-6: "0.0001%", 1e-5: "0.001%", 1e-4: "0.01%", 1e-3: "0.1%", 1e-2: "1%", 0.1: "10%", 1: "100%" };

  // Both views draw a share, from all to almost nothing, against modes or steps on a log axis.
  function view(data, look, it) {
    const all = data.runs.flatMap((run) => run.alignments.flatMap((curve) => curve[it.y])).filter((share) => share > 0);
    const least = Math.max(all.reduce((one, other) => Math.min(one, other), 0.1), 1e-6); // too many to be arguments
    function traces(run, curve, options) {
      if (!curve[it.y].length) return [];
      const colour = look.colour(curve);
      const head = `<b>${run.name}</b><br>${curve.snapshot}, ${data.kernels[curve.kernel]}`;
      const line = { color: colour, dash: options.behind ? "dot" : curve.dash, width: options.behind ? 1.2 : curve.width };
      const x = curve[it.x], y = curve[it.y];
      const places = options.last && data.runs.length > 1 ? look.marked(x) : [];
      const drawn = [{
        x, y, mode: x.length === 1 ? "markers" : "lines", line, opacity: options.behind ? 0.55 : 1,
        customdata: y.map((share, k) => [head, it.said(curve, share, k)]),
        hovertemplate: "%{customdata[0]}<br>%{customdata[1]}<extra></extra>",
      }, {
        x: places.map((k) => x[k]), y: places.map((k) => y[k]), mode: "markers", hoverinfo: "skip",
        marker: { symbol: run.marker, color: colour, size: 8 },
      }];
      if (it.low && !options.behind) {
        drawn.push({ x, y: curve[it.low], mode: "lines", line: { color: colour, width: 1 }, opacity: 0.5, hoverinfo: "skip" });
      }
      return drawn;
    }
    return {
      traces: (chosen) => look.chosen(chosen, "alignments", traces),
      layout: (narrow) => ({
        height: narrow ? 430 : 520, margin: { l: narrow ? 58 : 74, r: 24, t: 30, b: 50 },
        xaxis: { ...look.axis(), type: "log", dtick: 1, title: { text: it.xTitle } },
        yaxis: { ...look.axis(), type: "log", title: { text: it.yTitle }, range: [Math.log10(least) - 0.1, 0.1],
          tickvals: Object.keys(percent).map(Number), ticktext: Object.values(percent) },
      }),
    };
  }
  const shown = (share) => `${(100 * share).toPrecision(3)}%`;

  window.views.alignment = (data, look) => view(data, look, {
    x: "index", y: "left", xTitle: "the k fastest modes", yTitle: "target outside of them",
    said: (curve, share, k) => `beyond ${Math.floor(curve.index[k])} modes: ${shown(share)} of the target`,
  });
  window.views.residual = (data, look) => view(data, look, {
    x: "steps", y: "most", low: "least", xTitle: "steps at learning rate 1 / λ<sub>max</sub>", yTitle: "error left to learn",
    said: (curve, share, k) => `after ${Math.round(curve.steps[k]).toLocaleString("en")} steps: `
      + `${shown(curve.least[k])} to ${shown(share)} of the error`,
  });
})();
