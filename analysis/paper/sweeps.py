"""The sweeps: one setting after another varied about the presets, on a few pictures.

    python -m analysis.paper.sweeps PICTURES -o paper/sweeps --count 3

Bandwidth and size of Fourier features; the finest level of a multigrid; width; length of training; number and
pattern of the samples; and, without training anything anew, the grid's learning rate over the network's.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

from analysis.paper import command
from analysis.paper.study import Settings, trainings
from ntkspec.population.jobs import Job

SIGMAS = (1, 2, 4, 8, 16, 32)
FEATURES = (16, 64, 256)
FINEST = (12, 24, 48, 96, 192, 384)
WIDTHS = (16, 32, 128)  # the presets' 64 is among the rest
STEPS = (10, 32, 100, 316)  # beside the middle and the end
SAMPLES = (1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 2)  # of the samples of all others
PATTERNS = ("grid", "patch")
LEVELS = {finest: 4 if finest < 48 else 6 for finest in FINEST}  # as the presets have them
COMPARED: Mapping[str, Settings] = {
    "baseline": {"preset": "baseline"},
    "ffe": {"preset": "ffe-medium"},
    "mpe": {"preset": "mpe-fine", "finest": 192},
}


def fourier(sigma: int, features: int) -> str:
    """Return the name of a run behind Fourier features; the medium preset's is one of those of width 64."""
    return "ffe-width64" if (sigma, features) == (4, 64) else f"ffe-{sigma}-{features}"


def multigrid(finest: int) -> str:
    """Return the name of a run behind a multigrid; that of 192 cells is one of those of width 64."""
    return "mpe-width64" if finest == 192 else f"mpe-{finest}"


def settings() -> dict[str, Settings]:
    """Return settings by name of all trainings but those that are compared in every respect."""
    found: dict[str, Settings] = {}
    for sigma, features in product(SIGMAS, FEATURES):
        found[fourier(sigma, features)] = {"preset": "ffe-low", "sigma": sigma, "features": features}
    for finest in FINEST:
        found[multigrid(finest)] = {"preset": "mpe-fine", "finest": finest, "levels": LEVELS[finest]}
    for width, (kind, own) in product(WIDTHS, COMPARED.items()):
        found[f"{kind}-width{width}"] = {**own, "width": width}
    return {name: each for name, each in found.items() if not name.endswith("-width64")}


def kernels(kind: str, samples: int) -> dict[str, Settings]:
    """Return run files of a training that is compared in every respect: other samples, more and fewer."""
    counts = {
        f"{kind}-n{count}": {"samples": count} for count in (round(share * samples) for share in SAMPLES)
    }
    patterns = {f"{kind}-{pattern}": {"sampling": pattern} for pattern in PATTERNS}
    return {f"{kind}-width64": {}, **counts, **patterns}


def main() -> None:
    """Make what is missing."""
    options = command.pictures_parser(__doc__, 3).parse_args()
    output, pictures, scale = options.output, command.pictures_of(options), command.scale_of(options)
    end, steps = frozenset({"end"}), tuple(step for step in STEPS if step < options.iterations)
    labels = frozenset({"init", "mid", "end", *(f"step-{step}" for step in steps)})
    jobs = trainings(settings(), output, pictures, scale, end)
    for kind, own in COMPARED.items():
        jobs.append(Job(output, pictures, {**own, **scale}, kernels(kind, options.samples), kept=end))
        timed = {f"{kind}-time": {**own, "checkpoints": steps}}
        jobs += trainings(timed, output, pictures, scale, labels)
    command.make(jobs, options)


if __name__ == "__main__":
    command.run(main)
