"""`python -m ntkspec.export`: the command is in `ntkspec.commands.export_checkpoints`."""

from __future__ import annotations

if __name__ == "__main__":  # before NumPy and h5py take their time
    from ntkspec.commands.cli import begin

    begin()

import sys

from ntkspec.commands.export_checkpoints import main

if __name__ == "__main__":
    sys.exit(main())
