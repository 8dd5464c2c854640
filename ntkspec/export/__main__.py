"""`python -m ntkspec.export`: the command is in `ntkspec.export_checkpoints`."""

from __future__ import annotations

if __name__ == "__main__":  # before NumPy and h5py take their time
    from ntkspec.cli import begin

    begin()

import sys

from ntkspec.export_checkpoints import main

if __name__ == "__main__":
    sys.exit(main())
