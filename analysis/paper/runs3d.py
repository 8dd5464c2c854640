"""The 3D study: occupancy of every mesh of a folder, six presets, spectra, IoU and Chamfer distance.

    python -m analysis.paper.runs3d MESHES -o paper/3d --azimuth armadillo=205

Meshes that are not watertight are refused. The kernel is taken at points that were trained on, half of them
near the surface.
"""

from __future__ import annotations

from analysis.paper import command
from analysis.paper.sources import MESHES
from analysis.paper.study import trainings
from ntkspec.errors import UsageError
from ntkspec.nets.presets import PRESETS


def main() -> None:
    """Make what is missing."""
    parser = command.runs_parser(__doc__, "meshes", iterations=1000, batch=4096, points=2**19, samples=1024)
    facing = "of the camera, where a mesh faces away"
    parser.add_argument("--azimuth", nargs="+", default=[], metavar="NAME=DEGREES", help=facing)
    options = parser.parse_args()
    azimuths = dict(_azimuth(text) for text in options.azimuth)
    meshes = command.sources(options.meshes, MESHES)
    stray = sorted(set(azimuths) - {mesh.stem for mesh in meshes})
    if stray:
        remedy = "leave their endings out"
        raise UsageError("option --azimuth", expected="names of meshes", got=stray[0], remedy=remedy)
    jobs = []
    for mesh in meshes:
        own = {"mesh": str(mesh), **azimuths.get(mesh.stem, {})}
        named = {preset: {"preset": preset, **own} for preset in PRESETS}
        jobs += trainings(named, options.output, (mesh,), command.scale_of(options))
    command.make(jobs, options)


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
