"""The names that stand in run files. The contract itself is docs/run-format.md."""

from __future__ import annotations

FORMAT = "ntkspec-run"
VERSION = 1
VERSION_OF_PAIRS = 2  # of files with a factor of pairs, which readers of version 1 cannot read
VERSIONS = (VERSION, VERSION_OF_PAIRS)

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

PART = ".part"  # of the name of a file that is being written

# Pictures are not part of the contract, by which readers ignore what it does not name. They lie in a group of
# their own, which is marked, so that another writer's group of the same name is not mistaken for it.
PICTURES = "pictures"
PICTURES_FORMAT = "ntkspec-pictures"
TRUTH = "truth"
