"""The scripts of the page's figure, without a browser: what they make of very many numbers."""

from __future__ import annotations

import subprocess

import needs
import pytest

from ntkspec.report.html import resource

# Ten panels through training, and the spectra, of 60 runs with as many snapshots as the argument says.
MANY = """
const at = [...Array(Number(process.argv[2])).keys()], none = at.map(() => null), no = at.map(() => false);
const values = { number: at.map((i) => i + 1), most: none, zero: no, infinite: no, said: none };
const series = (count) => ({ at, head: none, floor: none, values: Array(count).fill(values) });
const runs = Array(60).fill({ name: "x", curves: at.map(() => ({ size: 64 })) });
const training = {
  panels: Array(10).fill({ title: "x", log_beyond: null, from_zero: false }), ticks: [],
  runs: runs.map(() => ({ 0: series(4) })), metrics: runs.map(() => Array(6).fill(series(1))),
};
const look = { colour: () => "#000", axis: () => ({}) };
const layoutOf = (name) => window.views[name]({ training, runs }, look).layout(false, { runs, kernel: 0 });
const ends = ["training", "spectrum"].flatMap((name) => layoutOf(name).xaxis.range);
console.log(ends.map((end) => end.toFixed(2)).join(" "));
"""


@needs.node
@pytest.mark.parametrize(
    ("snapshots", "ends"), [(101, "-4.00 104.00 -0.07 1.89"), (3001, "-120.00 3120.00 -0.07 1.89")]
)
def test_very_many_snapshots_have_axes(snapshots: int, ends: str) -> None:
    """Numbers of all runs are more than a function of JavaScript has arguments."""
    source = "const window = {};" + resource("spectrum.js") + resource("training.js") + MANY
    words = ["node", "-", str(snapshots)]
    done = subprocess.run(words, input=source, capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == (ends, "")
