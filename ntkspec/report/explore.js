// The figure: inflates plotly, reads the controls, and draws the view that is chosen.
(async function () {
  const element = document.getElementById("plot");
  const packed = document.getElementById("plotly");
  if (!element || !packed) return;
  const data = JSON.parse(document.getElementById("plot-data").textContent);
  const form = document.getElementById("controls");

  // The policy knows the digest of what comes out, so that this script alone may be added.
  async function inflate() {
    const bytes = Uint8Array.from(atob(packed.textContent), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.textContent = await new Response(stream).text();
    document.head.append(script);
  }
  try {
    await inflate();
  } catch {
    element.textContent = "This browser is too old for the interactive figure; the figures under “Details” show the same.";
    return;
  }

  const css = (name) => getComputedStyle(document.querySelector(`#probes .${name}`)).color;
  // What all views share.
  const look = {
    colour: (item) => (window.pageTheme() === "dark" ? item.dark : item.colour),
    axis: () => ({ gridcolor: css("grid"), linecolor: css("soft"), tickcolor: css("soft"), ticks: "outside", zeroline: false }),
    // Few marks on a curve, evenly on a log axis: enough to tell it from the others without its colour.
    marked(x) {
      const [first, last] = [Math.log(x[0]), Math.log(x[x.length - 1])];
      const wanted = [0, 1, 2, 3, 4, 5, 6].map((k) => Math.exp(first + ((last - first) * (k + 0.5)) / 7));
      return [...new Set(wanted.map((value) => x.findIndex((found) => found >= value)))].filter((k) => k >= 0);
    },
    // The curves of the chosen kernel; faint behind them the whole one. Who has no such part is drawn as it is.
    chosen(chosen, curves, traces) {
      return chosen.runs.flatMap((run) => {
        const shown = run[curves].filter((curve) => chosen.stages.has(curve.group));
        const of = (kernel) => shown.filter((curve) => curve.kernel === kernel);
        const own = of(chosen.kernel).length ? chosen.kernel : 0;
        const behind = own ? of(0).flatMap((curve) => traces(run, curve, { behind: true })) : [];
        const { floors } = chosen;
        return [...behind, ...of(own).flatMap((curve, k, all) => traces(run, curve, { last: k === all.length - 1, floors }))];
      });
    },
  };
  const views = Object.fromEntries(data.views.map((name) => [name, window.views[name](data, look)]));
  const checked = (name) => [...form.querySelectorAll(`input[name=${name}]:checked`)].map((box) => box.value);
  const boxes = () => [...form.querySelectorAll("input[name=stage]")];
  const config = {
    responsive: true, displaylogo: false, showSendToCloud: false, plotlyServerURL: "",
    modeBarButtons: [["toImage", "zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d"]],
  };
  const isNarrow = () => element.clientWidth < 620;

  let drawn = ""; // the view that is drawn
  function draw() {
    const view = checked("view")[0] || "spectrum";
    if (drawn && drawn !== view) Plotly.purge(element); // or a double click would go back to the other's ranges
    drawn = view;
    const runs = checked("run");
    const kernel = data.whole.includes(view) ? 0 : Number(document.getElementById("kernel")?.value || 0);
    const chosen = {
      kernel, floors: document.getElementById("floors").checked,
      stages: new Set(boxes().length ? checked("stage") : data.groups.map((group) => group.key)),
      runs: data.runs.filter((_, r) => data.runs.length === 1 || runs.includes(String(r))),
    };
    for (const part of form.querySelectorAll("[data-only], [data-not]")) {
      part.hidden = part.dataset.only ? part.dataset.only !== view : part.dataset.not.split(" ").includes(view);
    }
    for (const note of document.querySelectorAll("[data-view]")) note.hidden = note.dataset.view !== view;
    document.getElementById("beside").hidden = kernel === 0;
    const narrow = isNarrow();
    const ink = getComputedStyle(document.body).color;
    Plotly.react(element, views[view].traces(chosen), {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", showlegend: false, hovermode: "closest",
      width: window.pagePrinting ? 680 : undefined, // of a sheet, which no resize announces
      hoverlabel: { align: "left", bgcolor: css("paper"), font: { color: ink } },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: css("soft"), activecolor: ink },
      font: { family: getComputedStyle(document.body).fontFamily, size: narrow ? 11 : 13, color: ink },
      uirevision: `${view} ${kernel}`, ...views[view].layout(narrow, chosen),
    }, config);
    const name = form.querySelector("input[name=view]:checked + span")?.textContent || "speed of each mode";
    element.setAttribute("aria-label", `Figure: ${name}, of ${chosen.runs.length} of ${data.runs.length} runs`);
  }

  // Which snapshots are shown, of many: "one by one" walks through training.
  function choose(choice) {
    const all = boxes();
    const last = all.findLastIndex((box) => box.checked);
    const alone = all.filter((box) => box.checked).length === 1;
    const next = alone ? (last + 1) % all.length : 0;
    const wanted = {
      all: () => true, none: () => false, "first and last": (i) => i === 0 || i === all.length - 1,
      "one by one": (i) => i === next,
    }[choice];
    all.forEach((box, i) => { box.checked = wanted(i); });
    draw();
  }

  element.replaceChildren();
  element.setAttribute("role", "figure");
  form.hidden = false;
  draw();
  form.addEventListener("change", draw);
  form.addEventListener("submit", (event) => event.preventDefault());
  for (const button of form.querySelectorAll("[data-choice]")) {
    button.addEventListener("click", () => choose(button.dataset.choice));
  }
  document.addEventListener("theme", draw);
  let before = isNarrow();
  window.addEventListener("resize", () => {
    if (isNarrow() !== before) {
      before = !before;
      draw();
    }
  });
})();
