// Four quantities of a kernel against the step of training.
window.views = window.views || {};
window.views.training = function (data, look) {
  const titles = ["largest eigenvalue λ<sub>max</sub>", "smallest eigenvalue λ<sub>min</sub>", "effective rank",
    "kernel distance from the first snapshot"];
  const axisName = (letter, panel) => letter + (panel ? panel + 1 : "");
  const logarithmic = (panel) => panel < 3;

  // A log axis has no zero: what is exactly zero stands at the lower edge, below all that is drawn.
  function edges(shown) {
    return titles.map((_, panel) => {
      const all = shown.flatMap(({ series }) => {
        const { number, most } = series.values[panel];
        return [...number, ...most, ...(panel === 1 ? series.floor : [])];
      }).filter((value) => value > 0);
      return all.length ? { least: Math.min(...all), most: Math.max(...all) } : null;
    });
  }

  function traces(shown, ends) {
    return shown.flatMap(({ run, series, behind }) => {
      const size = series.at.length <= 30 ? 8 : 5;
      const colour = look.colour(run);
      return titles.flatMap((title, panel) => {
        const { number, most, zero, said } = series.values[panel];
        const place = { opacity: behind ? 0.45 : 1, x: series.at, xaxis: axisName("x", panel), yaxis: axisName("y", panel) };
        const text = series.head.map((head, i) => [`<b>${run.name}</b><br>${head}<br>${title}: ${said[i]}`]);
        const hover = { customdata: text, hovertemplate: "%{customdata[0]}<extra></extra>" };
        const drawn = [{
          ...place, ...hover, y: number, mode: behind ? "lines" : "lines+markers", connectgaps: false,
          line: { color: colour, width: behind ? 1.2 : 1.6, dash: behind ? "dot" : "solid" },
          marker: { color: colour, size, symbol: run.marker },
        }];
        if (!behind && most.some((value) => value !== null)) {
          drawn.push({
            ...place, ...hover, y: most, mode: "markers",
            marker: { symbol: "triangle-down-open", color: colour, size: size + 2, line: { width: 1.5 } },
          });
        }
        if (!behind && zero.some(Boolean)) {
          const low = ends[panel] && logarithmic(panel) ? ends[panel].least / 10 : 0.1;
          drawn.push({
            ...place, ...hover, y: zero.map((is) => (is ? low : null)), mode: "markers",
            marker: { symbol: "x-thin", color: colour, size: size + 2, line: { color: colour, width: 2 } },
          });
        }
        if (panel === 1 && !behind) {
          drawn.push({
            ...place, y: series.floor, mode: series.at.length === 1 ? "markers" : "lines", opacity: 0.45,
            line: { color: colour, width: 1 }, marker: { symbol: "line-ew-open", color: colour, size: 9 },
            customdata: series.head.map((head) => [`<b>${run.name}</b><br>${head}`]),
            hovertemplate: "%{customdata[0]}<br>floor %{y:.1e}<extra></extra>",
          });
        }
        return drawn;
      });
    });
  }

  // A log axis, unless all numbers are so near that it would have too few ticks.
  function scale(shown, panel, end) {
    const zeros = shown.some(({ series }) => series.values[panel].zero.some(Boolean));
    if (end.most < 5 * end.least && !zeros) return { type: "linear" };
    if (end.most > 1e3 * end.least) return { type: "log", exponentformat: "power", nticks: 7 };
    const ticks = [];
    for (let power = Math.floor(Math.log10(end.least)) - 2; power <= Math.log10(end.most) + 1; power += 1) {
      ticks.push(...[1, 2, 5].map((first) => Number(`${first}e${power}`)));
    }
    return { type: "log", tickvals: ticks, ticktext: ticks.map(String) };
  }

  function layout(narrow, shown, ends) {
    const columns = narrow ? 1 : 2;
    const rows = 4 / columns;
    const gap = narrow ? 0.07 : 0.13;
    const height = (1 - gap * (rows - 1)) / rows;
    const width = narrow ? 1 : 0.44;
    const all = shown.flatMap(({ series }) => series.at);
    const room = 0.04 * ((Math.max(...all) - Math.min(...all)) || 1);
    const made = {
      height: narrow ? 980 : 640, margin: { l: 64, r: 10, t: 30, b: 50 }, annotations: [],
    };
    titles.forEach((title, panel) => {
      const row = Math.floor(panel / columns), column = panel % columns;
      const top = 1 - row * (height + gap), left = column * (1 - width);
      const line = look.axis();
      made[axisName("xaxis", panel)] = {
        ...line, domain: [left, left + width], anchor: axisName("y", panel), matches: panel ? "x" : undefined,
        range: [Math.min(...all) - room, Math.max(...all) + room],
        title: row === rows - 1 ? { text: "step of training", standoff: 8 } : undefined,
        ...(data.training.ticks.length ? { tickvals: data.training.ticks.map(([at]) => at), ticktext: data.training.ticks.map(([, text]) => text) } : {}),
      };
      const end = ends[panel];
      made[axisName("yaxis", panel)] = {
        ...line, domain: [top - height, top], anchor: axisName("x", panel),
        ...(logarithmic(panel) && end ? scale(shown, panel, end) : { rangemode: "tozero" }),
      };
      made.annotations.push({
        text: title, x: left, y: top, xref: "paper", yref: "paper", xanchor: "left", yanchor: "bottom",
        yshift: 4, showarrow: false, font: { size: 13 },
      });
    });
    return made;
  }

  // Who has no such part is drawn as it is; behind the others stands the whole.
  function shownOf(chosen) {
    return chosen.runs.flatMap((run) => {
      const all = data.training.runs[data.runs.indexOf(run)];
      const own = all[chosen.kernel] || all[0];
      if (!own) return [];
      const whole = own !== all[0] && all[0] ? [{ run, series: all[0], behind: true }] : [];
      return [...whole, { run, series: own, behind: false }];
    });
  }
  return {
    traces: (chosen) => traces(shownOf(chosen), edges(shownOf(chosen))),
    layout: (narrow, chosen) => layout(narrow, shownOf(chosen), edges(shownOf(chosen))),
  };
};
