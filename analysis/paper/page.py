"""From outcomes to results: packs the studies, draws the figures, weighs the claims and fills docs/paper.md.

    python -m analysis.paper.page paper --results paper/results --page paper/paper.md

Reads <study>/2d, 3d, sweeps and shipped, and what the other commands wrote into the results. Another page
than docs/paper.md is made from its text, without what was found in its results.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from pathlib import Path

from analysis.paper import (
    activations,
    alignment,
    alignment_verdicts,
    command,
    costs,
    dependence,
    fig3_pictures,
    figures,
    held_out,
    interpolation,
    map_of_settings,
)
from analysis.paper.claims import STUDIES, all_claims, write
from analysis.paper.packed import load, pack
from analysis.paper.scaling_table import table
from analysis.paper.tables import markdown
from analysis.paper.verdicts import Claim
from analysis.paper.weights import load_weights
from ntkspec.population.aligned import Aligned
from ntkspec.population.json_files import read_json
from ntkspec.population.outcomes import Outcome

FURTHER = (activations.STUDY, interpolation.STUDY, held_out.STUDY)  # beyond the paper
PAGE = Path(__file__).parents[2] / "docs" / "paper.md"
COMMITTED = "analysis/results/paper"  # where docs/paper.md has its figures, from the root of the repository
ANSWERS = {True: "yes", False: "no", None: "not resolved"}


def main() -> None:
    """Make everything that follows from the runs."""
    parser = command.parser(__doc__)
    parser.add_argument("study", type=Path, help="folder of all studies")
    parser.add_argument("--results", type=Path, required=True, help="folder of results")
    parser.add_argument("--page", type=Path, default=PAGE, help="the page to fill (default docs/paper.md)")
    options = parser.parse_args()
    study, results, page = options.study, options.results, options.page
    pictures, meshes, sweeps = (load(study / name) for name in ("2d", "3d", "sweeps"))
    pack(pictures, results / "2d")
    pack(meshes, results / "3d")
    pack(sweeps, results / "sweeps", attrgetter("item"))  # many names
    figures.draw(pictures, meshes, results)
    fig3_pictures.draw(study / "shipped", results / "fig3.png", 2)
    if any((study / "2d").glob("*/*.h5")):  # run files may be deleted
        fig3_pictures.draw(study / "2d", study / "fig3.png", 6)  # of pictures that are not ours to pass on
    fig3_pictures.draw(study / "3d", results / "surfaces.png", 3)
    map_of_settings.draw(sweeps, results / "weights.json", results / "map.png")
    claims = list(all_claims(pictures, meshes, sweeps))
    write(claims, dict(zip(STUDIES, (pictures, meshes, sweeps), strict=True)), results / "claims.json")
    if page.resolve() != PAGE:
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(without_findings(PAGE.read_text(encoding="utf-8"), results), encoding="utf-8")
    fill(page, pictures, meshes, sweeps, claims, results)
    print(page)


def without_findings(text: str, results: Path) -> str:
    """Return the page for other results: it names their place, and what was found in ours is left out."""
    kept = re.sub(r"<!-- findings -->.*?<!-- end findings -->\n*", "", text, flags=re.DOTALL)
    return re.sub(rf"(\.\./)?{COMMITTED}", lambda _: str(results.resolve()), kept)


def fill(
    page: Path,
    pictures: Sequence[Outcome],
    meshes: Sequence[Outcome],
    sweeps: Sequence[Outcome],
    claims: Iterable[Claim],
    results: Path,
) -> None:
    """Write every table of the page anew, between its marks.

    Raises:
        ValueError: the page lacks the marks of a table.
    """
    claims = list(claims)
    further = {study.name: load(results / study.name) for study in FURTHER}
    aligned = alignment.read(results / "alignment.json")
    ours = list(alignment_verdicts.all_claims(aligned))
    studies: dict[str, Sequence[Outcome | Aligned]] = {"pictures": pictures, "meshes": meshes}
    studies |= {"sweeps": sweeps, **further, "alignment": aligned}
    parts = {
        "scale": scale(studies),
        "pictures": table(pictures),
        "meshes": table(meshes),
        "dependence": dependence.table(sweeps, load_weights(results / "weights.json")),
        "claims": verdicts(claims),
        "numbers": "\n\n".join(numbers(claim) for claim in (*claims, *ours)),
        **{study.name: study.table(further[study.name]) for study in FURTHER},
        "alignment_verdicts": verdicts(ours),
        "alignment_taus": alignment_verdicts.taus(aligned),
        "alignment": alignment_verdicts.table(aligned),
        "costs": costs.table([costs.Cost(**cost) for cost in read_json(results / "costs.json")["costs"]]),
        "batched": costs.speed_table(read_json(results / "batched.json")["rows"]),
    }
    text = page.read_text(encoding="utf-8")
    for name, part in parts.items():
        before, start, rest = text.partition(f"<!-- {name} -->\n")
        _, end, after = rest.partition(f"<!-- end {name} -->")
        if not end:
            raise ValueError(f"{page}: expected the marks of {name}, got none")
        text = f"{before}{start}\n{part}\n\n{end}{after}"
    page.write_text(text, encoding="utf-8")


def scale(studies: Mapping[str, Sequence[Outcome | Aligned]]) -> str:
    """Return what was run, in a table."""
    rows = {}
    for name, study in studies.items():
        # Of the sweeps some runs have other samples.
        first = next((each for each in study if each.name == "baseline-width64"), study[0])
        task, optimizer = first.config["task"], first.config["optimizer"]
        side = f"{task['side']} x {task['side']} pixels" if "side" in task else f"{task['points']:,} points"
        stages = [stage for each in study if isinstance(each, Outcome) for stage in each.stages.values()]
        rows[name.replace("_", " ")] = {
            "items": str(len({each.item for each in study})),
            "run files": str(len(study)),
            "each": side,
            "steps of Adam": f"{optimizer['iterations']:,} of {optimizer['batch']:,}",
            "seeds": str(len({each.seed for each in study})),
            "samples of a kernel": str(first.samples),
            "bounds compared with spectra": f"{sum(stage.bounds for stage in stages):,}" if stages else "-",
            "broken": str(sum(len(stage.broken) for stage in stages)) if stages else "-",
        }
    return markdown(rows, "study")


def verdicts(claims: Sequence[Claim]) -> str:
    """Return the claims and what became of them, one to a row."""
    rows = {f"({claim.letter})": {"claim": claim.text, "verdict": claim.verdict} for claim in claims}
    return markdown(rows, "", words=True)


def numbers(claim: Claim) -> str:
    """Return a claim's settings, one to a row, and the remarks on it."""
    rows = {part.said: {"found": part.found, "as claimed": ANSWERS[part.holds]} for part in claim.parts}
    title, remarks = f"**({claim.letter}) {claim.text}**", (f"{each}." for each in claim.remarks)
    return "\n\n".join([title, markdown(rows, "setting", words=True), *remarks])


if __name__ == "__main__":
    command.run(main)
