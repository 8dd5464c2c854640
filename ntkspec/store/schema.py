"""The names that stand in run files (docs/run-format.md is the contract), and that of an unfinished one."""

from __future__ import annotations

from pathlib import Path

FORMAT = "ntkspec-run"
VERSION = 1
VERSION_OF_PAIRS = 2  # of files with a factor of pairs, which readers of version 1 cannot read
VERSIONS = (VERSION, VERSION_OF_PAIRS)
KERNELS_FORMAT = "ntkspec-kernel"  # of a file of kernels, which may lie among run files

SAMPLES = "samples"
INPUTS = "inputs"
TARGETS = "targets"
INDICES = "indices"
SNAPSHOTS = "snapshots"
OUTPUTS = "outputs"
REGIONS = "regions"
CERTAIN = "ntkspec_certain"  # of the regions; no other writer has reason to use that name
BLOCKS = "blocks"
LEFT = "left"
RIGHT = "right"
SCALE = "scale"
VALUES = "values"
COLUMNS = "columns"

# Pictures are not part of the contract, by which readers ignore what it does not name. They lie in a group of
# their own, which is marked, so that another writer's group of the same name is not mistaken for it.
PICTURES = "pictures"
PICTURES_FORMAT = "ntkspec-pictures"
TRUTH = "truth"


def part_of(run: Path) -> Path:
    """Return the name that a run file has while it is written.

    Example:
        >>> part_of(Path("runs/fine.h5")).name
        'fine.h5.part'
    """
    return Path(f"{run}.part")
