"""The paper's claims (a) to (i), each with a verdict, its numbers and bootstrap intervals over pictures.

    python analysis/paper/claims.py paper/2d paper/3d paper/sweeps -o claims.json

An interval is of the mean over pictures, of ratios of lambda_min the median: 95%, from 4,000 resamples; of
fewer than eight items, such as three meshes, the range. "Holds" needs the whole interval at or beyond what
the paper says, "does not hold" needs all of it below; what lies across is not resolved.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import command
from beside import made_by
from claims_of_ablation import without_grid
from claims_of_quality import SWEPT, quality_over_baseline, quality_over_fourier, saturation, stability
from claims_of_spectra import crossing, over_baseline, over_fourier, theorem1
from drawing import NAMES
from kept import load, write_json
from outcomes import Outcome, require
from verdicts import Claim, Population


def all_claims(
    pictures: Sequence[Outcome], meshes: Sequence[Outcome], sweeps: Sequence[Outcome]
) -> Iterator[Claim]:
    """(a) to (i).

    Raises:
        UsageError: a picture or mesh lacks a run of some preset, or a run of the sweeps that (h) asks for.
    """
    for study, names in ((pictures, NAMES), (meshes, NAMES), (sweeps, SWEPT)):
        require(study, names)
    flat, solid = Population(pictures, "pictures"), Population(meshes, "meshes")
    yield over_baseline(flat, solid)
    yield over_fourier(flat, solid)
    yield without_grid(flat, solid)
    yield quality_over_baseline(flat)
    yield quality_over_fourier(flat)
    yield theorem1(flat, solid)
    yield crossing(flat, solid)
    yield saturation(Population(sweeps, "pictures"))
    yield stability(flat, solid)


def write(claims: Sequence[Claim], output: Path) -> None:
    """As JSON, with what made them."""
    content = [{**asdict(claim), "verdict": claim.verdict} for claim in claims]
    write_json(output, {"environment": made_by(), "claims": content})


def main() -> None:
    """Print the verdicts and write everything."""
    parser = command.parser(__doc__)
    for name in ("pictures", "meshes", "sweeps"):
        parser.add_argument(name, type=Path, help="folder of run files, or of packed outcomes")
    parser.add_argument("-o", "--output", type=Path, default=Path("claims.json"))
    options = parser.parse_args()
    found = list(all_claims(load(options.pictures), load(options.meshes), load(options.sweeps)))
    for claim in found:
        print(f"({claim.letter}) {claim.text}\n    {claim.verdict}")
        for part in claim.parts:
            print(f"    {part.said}: {part.found}")
    write(found, options.output)


if __name__ == "__main__":
    command.run(main)
