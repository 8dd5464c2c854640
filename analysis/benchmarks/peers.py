"""Which other tools are measured, and in which environments do they run?

Each peer has a virtual environment of its own under .envs/, with versions that work together. Run:
`python analysis/benchmarks/peers.py` (a few minutes and 4 GB of disk the first time, nothing afterwards).
A peer that cannot be set up is left out of the benchmarks, which then say so. Standard library only.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ENVS = Path(__file__).parent / ".envs"
NEURAL_TANGENTS, NNGEOMETRY = "neural-tangents", "nngeometry"
# Arguments of `pip install`, one call after the other.
INSTALLS: dict[str, tuple[tuple[str, ...], ...]] = {
    NEURAL_TANGENTS: (
        ("neural-tangents==0.6.5", "jax==0.4.20", "jaxlib==0.4.20", "numpy==1.26.4", "scipy==1.11.4"),
    ),
    NNGEOMETRY: (("torch==2.13.0", "numpy==2.4.6", "tqdm==4.70.1"), ("--no-deps", "nngeometry==0.4")),
}
IMPORTS = {NEURAL_TANGENTS: "import neural_tangents", NNGEOMETRY: "import nngeometry.gram"}
REPORTED = ("neural-tangents", "jax", "jaxlib", "nngeometry", "torch", "numpy", "scipy")
FREEZE = (
    "import importlib.metadata as m, json; "
    "print(json.dumps({d.metadata['Name']: d.version for d in m.distributions()}))"
)


class PeerMissingError(Exception):
    """A peer has no environment; the message is one line that says why."""


def interpreter(peer: str) -> str:
    """The peer's Python.

    Raises:
        PeerMissingError: its environment is not there.
    """
    if not _ready(peer).exists():
        why = _failed(peer).read_text() if _failed(peer).exists() else "python analysis/benchmarks/peers.py"
        raise PeerMissingError(f"no environment for {peer}: {why.strip()}")
    return str(_python(peer))


def versions() -> dict[str, dict[str, str]]:
    """Packages that matter, by peer; of those that are set up."""
    found = {peer: json.loads(_ready(peer).read_text()) for peer in INSTALLS if _ready(peer).exists()}
    return {
        peer: {name: version for name, version in installed.items() if name in REPORTED}
        for peer, installed in found.items()
    }


def set_up(peer: str) -> None:
    """Make the peer's environment, or leave a line that says why it cannot be made."""
    if _ready(peer).exists():
        return
    print(f"setting up {peer}", flush=True)
    folder = ENVS / peer
    shutil.rmtree(folder, ignore_errors=True)
    try:
        _run([sys.executable, "-m", "venv", str(folder)])
        for packages in INSTALLS[peer]:
            _run([str(_python(peer)), "-m", "pip", "install", "-q", "--disable-pip-version-check", *packages])
        _run([str(_python(peer)), "-c", IMPORTS[peer]])
        _ready(peer).write_text(_run([str(_python(peer)), "-c", FREEZE]))
    except subprocess.CalledProcessError as error:
        lines = (error.stderr or "").strip().splitlines() or [str(error)]
        _failed(peer).parent.mkdir(parents=True, exist_ok=True)
        _failed(peer).write_text(lines[-1][:200])
        print(f"{peer} cannot be set up: {lines[-1][:200]}", flush=True)


def _run(command: Sequence[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _python(peer: str) -> Path:
    return ENVS / peer / "bin" / "python"


def _ready(peer: str) -> Path:
    return ENVS / peer / "ready.json"


def _failed(peer: str) -> Path:
    return ENVS / f"{peer}.failed"


if __name__ == "__main__":
    for name in INSTALLS:
        set_up(name)
