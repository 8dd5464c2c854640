"""ntkspec: spectra, bounds and ablations of empirical neural tangent kernels.

    import ntkspec
    run = ntkspec.open_run("run.h5")
    jac = run.snapshot("end").jacobian
    total, network = ntkspec.spectrum(jac), ntkspec.spectrum(jac.without("grid"))

Importing this loads NumPy, SciPy and h5py only. PyTorch lives in `ntkspec.export` and `ntkspec.nets`.
"""

# ruff: noqa: E402 - before NumPy and SciPy take their half second, in which Ctrl-C would print a traceback
from ntkspec.cli import quiet_interrupts

quiet_interrupts()

from ntkspec._version import __version__
from ntkspec.errors import NtkspecError
from ntkspec.jacobian import Block, DenseFactor, Jacobian, Parameter, SparseFactor
from ntkspec.kernel.dense import gram, gram_by_block
from ntkspec.kernel.files import write_kernels
from ntkspec.kernel.linear_operator import operator
from ntkspec.report.from_json import read_report
from ntkspec.spectral import Spectrum, bounds, spectrum
from ntkspec.store import Run, RunWriter, Snapshot, open_run

__all__ = [
    "Block",
    "DenseFactor",
    "Jacobian",
    "NtkspecError",
    "Parameter",
    "Run",
    "RunWriter",
    "Snapshot",
    "SparseFactor",
    "Spectrum",
    "__version__",
    "bounds",
    "gram",
    "gram_by_block",
    "open_run",
    "operator",
    "read_report",
    "spectrum",
    "write_kernels",
]
