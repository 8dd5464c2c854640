"""ntkspec: spectra, bounds and ablations of empirical neural tangent kernels.

    import ntkspec
    run = ntkspec.open_run("run.h5")
    jac = run.snapshot("end").jacobian
    total, network = ntkspec.spectrum(jac), ntkspec.spectrum(jac.without("grid"))

Importing this loads nothing else: a name loads its module, and with it NumPy, SciPy and h5py, when it is
first used. PyTorch lives in `ntkspec.export` and `ntkspec.nets`.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from ntkspec._version import __version__
from ntkspec.errors import NtkspecError
from ntkspec.machine.systems import require_unix

require_unix()

if TYPE_CHECKING:  # the tables below, for type checkers and editors; a test compares them
    from ntkspec import plot as plot
    from ntkspec.jacobian import Block as Block
    from ntkspec.jacobian import DenseFactor as DenseFactor
    from ntkspec.jacobian import Jacobian as Jacobian
    from ntkspec.jacobian import Ones as Ones
    from ntkspec.jacobian import PairsFactor as PairsFactor
    from ntkspec.jacobian import Parameter as Parameter
    from ntkspec.jacobian import SparseFactor as SparseFactor
    from ntkspec.kernel.dense import gram as gram
    from ntkspec.kernel.dense import gram_by_block as gram_by_block
    from ntkspec.kernel.distance import kernel_distance as kernel_distance
    from ntkspec.kernel.files import write_kernels as write_kernels
    from ntkspec.kernel.linear_operator import operator as operator
    from ntkspec.report.from_json import read_report as read_report
    from ntkspec.report.records import Report as Report
    from ntkspec.runs.side_by_side import analyze_runs as analyze_runs
    from ntkspec.spectral import Spectrum as Spectrum
    from ntkspec.spectral import bounds as bounds
    from ntkspec.spectral import spectrum as spectrum
    from ntkspec.spectral.alignment import Alignment as Alignment
    from ntkspec.spectral.alignment import alignment as alignment
    from ntkspec.spectral.eigenfunctions import eigenfunctions as eigenfunctions
    from ntkspec.spectral.frequency import radial_frequency as radial_frequency
    from ntkspec.store import Run as Run
    from ntkspec.store import RunWriter as RunWriter
    from ntkspec.store import Snapshot as Snapshot
    from ntkspec.store import open_run as open_run
    from ntkspec.store import write_run as write_run

HOMES = {  # public name -> the module that it is loaded from, which never bears the name itself
    "Alignment": "ntkspec.spectral.alignment",
    "Block": "ntkspec.jacobian",
    "DenseFactor": "ntkspec.jacobian",
    "Jacobian": "ntkspec.jacobian",
    "Ones": "ntkspec.jacobian",
    "PairsFactor": "ntkspec.jacobian",
    "Parameter": "ntkspec.jacobian",
    "Report": "ntkspec.report.records",
    "Run": "ntkspec.store",
    "RunWriter": "ntkspec.store",
    "Snapshot": "ntkspec.store",
    "SparseFactor": "ntkspec.jacobian",
    "Spectrum": "ntkspec.spectral",
    "alignment": "ntkspec.spectral.alignment",
    "analyze_runs": "ntkspec.runs.side_by_side",
    "bounds": "ntkspec.spectral",
    "eigenfunctions": "ntkspec.spectral.eigenfunctions",
    "gram": "ntkspec.kernel.dense",
    "gram_by_block": "ntkspec.kernel.dense",
    "kernel_distance": "ntkspec.kernel.distance",
    "open_run": "ntkspec.store",
    "operator": "ntkspec.kernel.linear_operator",
    "radial_frequency": "ntkspec.spectral.frequency",
    "read_report": "ntkspec.report.from_json",
    "spectrum": "ntkspec.spectral",
    "write_kernels": "ntkspec.kernel.files",
    "write_run": "ntkspec.store",
}
__all__ = ["NtkspecError", "__version__", *HOMES]
ROOMS = ("plot",)  # public, but not in __all__, since it loads Matplotlib


def __getattr__(name: str) -> object:
    """Load a public name, or a room such as `ntkspec.spectral` (PEP 562)."""
    if name not in HOMES:
        if not name.startswith("_") and importlib.util.find_spec(f"{__name__}.{name}"):
            return importlib.import_module(f"{__name__}.{name}")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(importlib.import_module(HOMES[name]), name)
    globals()[name] = value  # so that this function is not called for it again
    return value


def __dir__() -> list[str]:
    """Return the names of the package, with those that are loaded when they are first used."""
    return sorted({*globals(), *HOMES, *ROOMS})
