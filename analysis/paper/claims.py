"""The paper's claims (a) to (i), each with a verdict, its numbers and bootstrap intervals over pictures.

    python -m analysis.paper.claims paper/2d paper/3d paper/sweeps -o claims.json

An interval is of the mean over pictures, of ratios of lambda_min the median: 95%, from 4,000 resamples; of
fewer than eight items, such as three meshes, the range. "Holds" needs the whole interval at or beyond what
the paper says, "does not hold" needs all of it below; what lies across is not resolved.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from analysis.paper import command
from analysis.paper.claims_of_quality import (
    SWEPT,
    quality_over_baseline,
    quality_over_fourier,
    saturation,
    stability,
)
from analysis.paper.claims_of_spectra import crossing, over_baseline, over_fourier, theorem1, without_grid
from analysis.paper.drawing import NAMES
from analysis.paper.groups import by_item, require
from analysis.paper.tables import runs_of
from analysis.paper.verdicts import Claim, Part, Population, in_words, to_tree
from ntkspec.errors import UsageError
from ntkspec.population.jobs import settings_of
from ntkspec.population.json_files import write_json
from ntkspec.population.made_by import made_by
from ntkspec.population.outcomes import Outcome

STUDIES = ("pictures", "meshes", "sweeps")


TEXTS = {
    "a": "lambda_min of an MPE is 8 decades above the baseline's, in the median (where the baseline's is "
    "exactly zero, every number above zero is)",
    "b": "lambda_min of an MPE is 2 decades above that of Fourier features, in the median",
    "c": "without the grid's gradients the spectrum falls back to near the baseline's or below it: where the "
    "MPE lies more than 0.05 decades above it, less than half of them are left, in the median (less than "
    "none: below it); and so does lambda_min, on more than half of the items (above an exact zero: to "
    "exactly zero)",
    "d": "an MPE gains 15 dB of PSNR and 0.65 of MS-SSIM over the baseline",
    "e": "an MPE gains 12 dB of PSNR and 0.33 of MS-SSIM over Fourier features",
    "f": "Theorem 1 holds: no lambda_i of an MPE is below lambda_i without the grid's gradients",
    "g": "the coarse MPE's spectrum crosses that of Fourier features, on more than half of the items: each "
    "lies more than 0.05 decades above the other at three or more in a row of the eigenvalues that are kept",
    "h": "Fourier features saturate with frequency (a doubling gains less than 0.5 dB), finer grids do not",
    "i": "the order of the encodings is stable over pictures and domains (Kendall's tau of an item's order "
    "with that of the others' medians is 0.8 or more; ~: not told apart)",
}


def all_claims(
    pictures: Sequence[Outcome], meshes: Sequence[Outcome], sweeps: Sequence[Outcome]
) -> Iterator[Claim]:
    """Weigh (a) to (i).

    Raises:
        UsageError: a picture or mesh lacks a run of some preset, or a run of the sweeps that (h) asks for;
            the sweeps are of another scale than the pictures; or one study stands in another's place.
    """
    for study, names in ((pictures, NAMES), (meshes, NAMES), (sweeps, SWEPT)):
        require(study, names)
    _check_scale(scale(pictures), scale(sweeps), scale(meshes))
    flat, solid = Population(runs_of(pictures), "pictures"), Population(runs_of(meshes), "meshes")
    weighed = {
        "a": over_baseline(flat, solid),
        "b": over_fourier(flat, solid),
        "c": without_grid(flat, solid),
        "d": quality_over_baseline(flat),
        "e": quality_over_fourier(flat),
        "f": theorem1(flat, solid),
        "g": crossing(flat, solid),
        "h": saturation(Population(runs_of(sweeps), "pictures")),
        "i": stability(flat, solid),
    }
    for letter, found in weighed.items():
        said = list(found)
        parts = tuple(each for each in said if isinstance(each, Part))
        yield Claim(letter, TEXTS[letter], parts, tuple(each for each in said if isinstance(each, str)))


def scale(study: Sequence[Outcome]) -> dict[str, Any]:
    """Return what all runs of a study share: the task without its source, the length of training."""
    config = settings_of(study[0].config)
    optimizer = config.get("optimizer", {})
    return {"task": config["task"], **{key: optimizer.get(key) for key in ("iterations", "batch")}}


def _check_scale(pictures: dict[str, Any], sweeps: dict[str, Any], meshes: dict[str, Any]) -> None:
    for title, found, kind in (("pictures", pictures, "image"), ("meshes", meshes, "occupancy")):
        got = found["task"].get("kind", kind)
        if got != kind:
            raise UsageError(
                title, expected=f"runs of task {kind}", got=got, remedy="name them in their order"
            )
    if pictures != sweeps:
        raise UsageError(
            "sweeps",
            expected=f"runs as those of the pictures, {pictures}",
            got=str(sweeps),
            remedy="give the studies of one `make paper`",
        )


def write(claims: Sequence[Claim], studies: Mapping[str, Sequence[Outcome]], output: Path) -> None:
    """Write them as JSON, with what made them and the studies that they are of."""
    of = {
        title: {"items": len(by_item(study)), "runs": len(study), **scale(study)}
        for title, study in studies.items()
    }
    write_json(output, {"environment": made_by(), "studies": of, "claims": to_tree(claims)})


def weigh(
    pictures: Sequence[Outcome], meshes: Sequence[Outcome], sweeps: Sequence[Outcome], output: Path
) -> str:
    """Write everything, and return the verdicts and their parts in words."""
    studies = dict(zip(STUDIES, (pictures, meshes, sweeps), strict=True))
    claims = list(all_claims(*studies.values()))
    write(claims, studies, output)
    return "\n".join([in_words(claims), str(output)])


if __name__ == "__main__":
    command.of_outcomes(__doc__, weigh, *STUDIES, output="claims.json")
