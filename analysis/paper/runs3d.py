"""The 3D study: occupancy of every mesh of a folder, six presets, spectra, IoU and Chamfer distance.

    python analysis/paper/runs3d.py MESHES -o paper/3d --azimuth armadillo=205

Meshes that are not watertight are refused. The kernel is taken at points that were trained on, half of them
near the surface.
"""

from __future__ import annotations

from pathlib import Path

import command
from jobs import MESHES, PRESETS, Job, run_all, sources_in

from ntkspec.errors import UsageError


def main() -> None:
    """Make what is missing."""
    parser = command.parser(__doc__)
    add = parser.add_argument
    add("meshes", type=Path, help="folder of watertight meshes")
    add("-o", "--output", type=Path, required=True, help="folder of the study")
    add("--iterations", type=int, default=1000, help="steps of Adam (default 1000)")
    add("--batch", type=int, default=4096, help="points a step (default 4096)")
    add("--points", type=int, default=2**19, help="points to learn from (default 524,288)")
    add("--samples", type=int, default=1024, help="points at which the kernel is taken (default 1024)")
    add(
        "--azimuth",
        nargs="+",
        default=[],
        metavar="NAME=DEGREES",
        help="of the camera, where a mesh faces away",
    )
    add("--workers", type=int, default=2, help="processes (default 2)")
    options = parser.parse_args()
    scale = {name: getattr(options, name) for name in ("iterations", "batch", "points", "samples")}
    azimuths = dict(_azimuth(text) for text in options.azimuth)
    jobs = [
        Job(
            options.output,
            (mesh,),
            {"preset": preset, "mesh": str(mesh), **azimuths.get(mesh.stem, {}), **scale},
            kernels={preset: {}},
        )
        for mesh in sources_in(options.meshes, MESHES)
        for preset in PRESETS
    ]
    run_all(jobs, options.workers)


def _azimuth(text: str) -> tuple[str, dict[str, float]]:
    name, _, degrees = text.partition("=")
    try:
        return name, {"azimuth": float(degrees)}
    except ValueError:
        raise UsageError(
            "option --azimuth", expected="NAME=DEGREES", got=repr(text), remedy="e.g. armadillo=205"
        ) from None


if __name__ == "__main__":
    command.run(main)
