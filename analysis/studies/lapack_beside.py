"""Put LAPACK's errors beside a device's, on the same matrices, where the device's run had no time for them.

    python analysis/studies/lapack_beside.py [gpu.json]     # minutes a matrix of 8,192 rows on two cores

LAPACK's one-stage solver, as SciPy has it. The numbers go into the JSON, and the tables are made anew.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import gpu_tables
import numpy as np
import scipy.linalg

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))
import gpu_checks


def lapack_error(name: str, n: int) -> float:
    """Return LAPACK's largest error over the largest eigenvalue, in eps, for a prescribed spectrum."""
    truth, matrix = gpu_checks.exact(np, gpu_checks.spectra(n)[name])
    found = scipy.linalg.eigh(matrix, eigvals_only=True, overwrite_a=True, check_finite=False, driver="evd")
    return gpu_checks.off(found, truth)


def main() -> None:
    """Fill what is missing."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("result", type=Path, nargs="?", default=gpu_tables.RESULT)
    target = parser.parse_args().result
    result = json.loads(target.read_text(encoding="utf-8"))
    for row in result["checks"]:
        if row["what"] == "eigenvalues" and row["of"] in gpu_checks.spectra(2) and row["lapack"] is None:
            row["lapack"] = lapack_error(row["of"], row["n"])
            print(
                f"{row['of']}, n = {row['n']}: {row['worst']:.3g} eps, LAPACK {row['lapack']:.3g}", flush=True
            )
            target.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    gpu_tables.put_tables(target)


if __name__ == "__main__":
    main()
