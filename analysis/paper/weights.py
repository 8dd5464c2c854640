"""Kernels of a multigrid under different learning rates: K_MLP + r K_grid, for r from 0.01 to 100.

    python -m analysis.paper.weights paper/sweeps -o weights.json

Gradient flow with a rate for the grid r times that of the network has this kernel; nothing is trained anew.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import ntkspec
from analysis.paper import command
from analysis.paper.packed import no_runs
from ntkspec.errors import UsageError
from ntkspec.population.json_files import OTHER_SHAPE, read_json, write_json
from ntkspec.population.made_by import made_by

RATES = (0.01, 0.1, 1.0, 10.0, 100.0)
RUN = "mpe-width64.h5"


def weighted(run_file: Path) -> dict[str, Any]:
    """Return lambda_min and what else a spectrum tells, for each rate, at the end of training."""
    with ntkspec.open_run(run_file) as run:
        jacobian = run.snapshot(-1).jacobian.load()
    rows = []
    for rate in RATES:
        found = ntkspec.spectrum(jacobian.scaled({"grid": rate}), backend="cpu")
        middle = float(found.eigenvalues[found.size // 2])
        ends = {"lambda_min": found.lambda_min, "lambda_max": found.lambda_max}
        rows.append({"rate": rate, **ends, "median": middle, "floor": found.floor})
    return {"item": run_file.parent.name, "rows": rows}


def load_weights(path: Path) -> list[dict[str, Any]]:
    """Return the items that this command wrote.

    Raises:
        UsageError: it wrote no such file.
    """
    try:
        items: list[dict[str, Any]] = read_json(path)["items"]
        rows = [row for item in items for row in item["rows"]]
        numbers = [row[key] for row in rows for key in ("lambda_min", "lambda_max", "median", "floor")]
        if not all(value is None or (math.isfinite(value) and value >= 0) for value in numbers):
            got = "numbers that are none, or negative"
        elif any([row["rate"] for row in item["rows"]] != list(RATES) for item in items):
            got = "other rates"
        elif all(isinstance(item["item"], str) for item in items) and all(row["floor"] for row in rows):
            return items
        else:
            got = "something else"
    except (OSError, *OTHER_SHAPE) as error:
        got = getattr(error, "strerror", None) or "something else"
    remedy = "make it with python -m analysis.paper.weights"
    raise UsageError(str(path), expected="what weights.py writes", got=got, remedy=remedy)


def main() -> None:
    """Weigh all items of the sweeps."""
    parser = command.parser(__doc__)
    parser.add_argument("study", type=Path, help="folder of the sweeps")
    parser.add_argument("-o", "--output", type=Path, default=Path("weights.json"))
    options = parser.parse_args()
    files = sorted(options.study.glob(f"*/{RUN}"))
    if not files:
        raise no_runs(options.study)
    write_json(options.output, {"environment": made_by(), "items": [weighted(path) for path in files]})


if __name__ == "__main__":
    command.run(main)
