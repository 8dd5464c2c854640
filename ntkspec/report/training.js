// Numbers of a kernel, and metrics, against the step of training: a panel for each.
window.views = window.views || {};
window.views.training = function (data, look) {
  const { panels, ticks } = data.training;
  const EDGE = 0.05; // share of a panel without numbers from an edge to the marks there
  const axisName = (letter, panel) => letter + (panel ? panel + 1 : "");
  // Of any number of numbers: those of many runs are too many to be arguments of Math.min.
  const least = (numbers) => numbers.reduce((one, other) => Math.min(one, other), Infinity);
  const largest = (numbers) => numbers.reduce((one, other) => Math.max(one, other), -Infinity);

  // For each run a line in each panel in which it has numbers. A run that lacks the chosen part of the kernel is
  // drawn with all of its kernel; behind the other runs all of theirs is faint.
  function linesOf(chosen) {
    return chosen.runs.flatMap((run) => {
      const r = data.runs.indexOf(run), all = data.training.runs[r];
      const own = all[chosen.kernel] || all[0];
      if (!own) return [];
      const of = (series, first, behind) => series.values.map((values, i) => ({
        run, values, behind, panel: first + i, at: series.at, head: series.head, floor: first + i === 1 ? series.floor : [],
      }));
      const whole = own !== all[0] && all[0] ? of(all[0], 0, true) : [];
      const metrics = data.training.metrics[r].flatMap((series, i) => of(series, own.values.length + i, false));
      return [...whole, ...of(own, 0, false), ...metrics].filter((line) => line.at.length);
    });
  }

  // For each panel the least and the largest number, and whether an exact zero is among them.
  function ends(lines) {
    return panels.map((_, panel) => {
      const own = lines.filter((line) => line.panel === panel);
      const all = own.flatMap(({ values, floor }) => [...values.number, ...values.most, ...floor]);
      const known = all.filter((value) => value !== null);
      return {
        least: least(known), most: largest(known), any: known.length > 0,
        zero: own.some(({ values }) => values.zero.some(Boolean)),
      };
    });
  }

  // A log axis, unless all numbers are so near that it would have too few ticks.
  function isLog(panel, end) {
    const beyond = panels[panel].log_beyond;
    return beyond !== null && end.any && end.least > 0 && (end.zero || end.most >= beyond * end.least);
  }

  function traces(lines) {
    const edges = ends(lines);
    return lines.flatMap(({ run, panel, behind, at, head, values, floor }) => {
      const { number, most, zero, infinite, said } = values;
      const size = at.length <= 30 ? 8 : 5, colour = look.colour(run), end = edges[panel];
      const place = { opacity: behind ? 0.45 : 1, x: at, xaxis: axisName("x", panel), yaxis: axisName("y", panel) };
      const text = head.map((where, i) => [`<b>${run.name}</b><br>${where}<br>${panels[panel].title}: ${said[i]}`]);
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
        // A log axis has no zero: it stands at the lower edge, below all that is drawn.
        const low = isLog(panel, end) ? end.least / 10 : EDGE;
        drawn.push({
          ...place, ...hover, y: zero.map((is) => (is ? low : null)), mode: "markers",
          marker: { symbol: "x-thin", color: colour, size: size + 2, line: { color: colour, width: 2 } },
        });
      }
      if (!behind && infinite.some(Boolean)) {
        // Only metrics on a linear axis are infinite: above all that is drawn.
        const high = end.any ? end.most + 0.1 * (end.most - end.least || 1) : 1 - EDGE;
        drawn.push({
          ...place, ...hover, y: infinite.map((is) => (is ? high : null)), mode: "markers",
          marker: { symbol: "triangle-up", color: colour, size: size + 2 },
        });
      }
      if (!behind && floor.length) {
        drawn.push({
          ...place, y: floor, mode: at.length === 1 ? "markers" : "lines", opacity: 0.45,
          line: { color: colour, width: 1 }, marker: { symbol: "line-ew-open", color: colour, size: 9 },
          customdata: head.map((where) => [`<b>${run.name}</b><br>${where}`]),
          hovertemplate: "%{customdata[0]}<br>floor %{y:.1e}<extra></extra>",
        });
      }
      return drawn;
    });
  }

  function scale(panel, end) {
    // Marks at the edges alone stand at no number.
    if (!end.any) return { type: "linear", range: [0, 1], showticklabels: false, ticks: "" };
    if (!isLog(panel, end)) return panels[panel].from_zero ? { rangemode: "tozero" } : { type: "linear" };
    const decades = Math.log10(end.most / end.least);
    if (decades > 3) return { type: "log", exponentformat: "power", dtick: Math.ceil(decades / 6) };
    const places = [];
    for (let power = Math.floor(Math.log10(end.least)) - 2; power <= Math.log10(end.most) + 1; power += 1) {
      places.push(...[1, 2, 5].map((first) => Number(`${first}e${power}`)));
    }
    return { type: "log", tickvals: places, ticktext: places.map(String) };
  }

  function layout(narrow, lines) {
    const columns = narrow ? 1 : 2;
    const rows = Math.ceil(panels.length / columns);
    const gap = (narrow ? 0.28 : 0.26) / rows;
    const height = (1 - gap * (rows - 1)) / rows;
    const width = narrow ? 1 : 0.44;
    const all = lines.flatMap(({ at }) => at);
    const [first, last] = [least(all), largest(all)];
    const room = 0.04 * (last - first || 1);
    const edges = ends(lines);
    const made = {
      height: 80 + rows * (narrow ? 225 : 280), margin: { l: 64, r: 10, t: 30, b: 50 }, annotations: [],
    };
    panels.forEach(({ title }, panel) => {
      const row = Math.floor(panel / columns), column = panel % columns;
      const top = 1 - row * (height + gap), left = column * (1 - width);
      const line = look.axis();
      made[axisName("xaxis", panel)] = {
        ...line, domain: [left, left + width], anchor: axisName("y", panel), matches: panel ? "x" : undefined,
        range: [first - room, last + room],
        title: panel + columns >= panels.length ? { text: "step of training", standoff: 8 } : undefined,
        ...(ticks.length ? { tickvals: ticks.map(([at]) => at), ticktext: ticks.map(([, text]) => text) } : {}),
      };
      made[axisName("yaxis", panel)] = {
        ...line, domain: [top - height, top], anchor: axisName("x", panel), ...scale(panel, edges[panel]),
      };
      made.annotations.push({
        text: title, x: left, y: top, xref: "paper", yref: "paper", xanchor: "left", yanchor: "bottom",
        yshift: 4, showarrow: false, font: { size: 13 },
      });
    });
    return made;
  }
  return {
    traces: (chosen) => traces(linesOf(chosen)),
    layout: (narrow, chosen) => layout(narrow, linesOf(chosen)),
  };
};
