"""Whether two studies hold the same runs: every dataset of every run file that both have, to the bit.

python -m analysis.paper.same paper/3d paper-full/3d
"""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from analysis.paper import command
from analysis.paper.packed import no_runs
from ntkspec.errors import UsageError


def same(one: Path, other: Path) -> dict[str, bool]:
    """Return for the run files of both studies, `<item>/<name>.h5`, whether they hold the same.

    Raises:
        UsageError: they have none in common.
    """
    names = [str(path.relative_to(one)) for path in sorted(one.glob("*/*.h5"))]
    names = [name for name in names if (other / name).exists()]
    if not names:
        raise no_runs(other)
    return {name: _datasets_agree(one / name, other / name) for name in names}


def _datasets_agree(one: Path, other: Path) -> bool:
    try:
        with h5py.File(one) as ours, h5py.File(other) as theirs:
            names = _datasets(ours)
            return names == _datasets(theirs) and all(
                np.array_equal(ours[name][()], theirs[name][()]) for name in names
            )
    except OSError as error:
        raise UsageError(
            f"{one} or {other}", expected="run files", got=str(error), remedy="delete what is damaged"
        ) from error


def _datasets(file: h5py.File) -> list[str]:
    names: list[str] = []
    file.visititems(lambda name, node: names.append(name) if isinstance(node, h5py.Dataset) else None)
    return names


def main() -> None:
    """Say how many agree, and name those that do not."""
    parser = command.parser(__doc__)
    for name in ("study", "other"):
        parser.add_argument(name, type=Path, help="folder of run files")
    options = parser.parse_args()
    found = same(options.study, options.other)
    print(f"{sum(found.values())} of {len(found)} run files are the same to the bit")
    for name, agrees in found.items():
        if not agrees:
            print(f"  {name} differs")


if __name__ == "__main__":
    command.run(main)
