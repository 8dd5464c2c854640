"""From outcomes to results: packs the studies, draws the figures, weighs the claims and fills docs/paper.md.

    python analysis/paper/page.py paper --results paper/results --page paper/paper.md

Reads <study>/2d, 3d, sweeps and shipped, and what the other scripts wrote into the results. Another page than
docs/paper.md is made from its text, without what was found in its results.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any

import alignment
import alignment_verdicts
import batched_speed
import command
import cost_table
import dependence
import fig2_ablation
import fig3_pictures
import fig4_panels
import fig5_domains
import held_out
import map_of_settings
from activations import ACTIVATIONS
from beside import markdown, put
from claims import STUDIES, all_claims, write
from interpolation import INTERPOLATION
from scaling_table import table
from verdicts import Claim
from weights import load_weights

from ntkspec.population.aligned import Aligned
from ntkspec.population.json_files import read_json
from ntkspec.population.outcomes import Outcome
from ntkspec.population.packed import load, pack

FURTHER = {  # studies beyond the paper -> their tables
    "activations": ACTIVATIONS.table,
    "interpolation": INTERPOLATION.table,
    "held_out": held_out.table,
}
PAGE = Path(__file__).parents[2] / "docs" / "paper.md"
COMMITTED = "../analysis/results/paper/"  # where docs/paper.md has its figures


def main() -> None:
    """Everything that follows from the runs."""
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
    fig2_ablation.draw(pictures, results / "fig2.png")
    fig3_pictures.draw(study / "shipped", results / "fig3.png", 2)
    if any((study / "2d").glob("*/*.h5")):  # run files may be deleted
        fig3_pictures.draw(study / "2d", study / "fig3.png", 6)  # of pictures that are not ours to pass on
    fig3_pictures.draw(study / "3d", results / "surfaces.png", 3)
    fig4_panels.draw(pictures, results / "fig4.png")
    fig5_domains.draw(pictures, meshes, results / "fig5.png")
    map_of_settings.draw(sweeps, results / "weights.json", results / "map.png")
    claims = list(all_claims(pictures, meshes, sweeps))
    write(claims, dict(zip(STUDIES, (pictures, meshes, sweeps), strict=True)), results / "claims.json")
    if page.resolve() != PAGE:
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(without_findings(PAGE.read_text(encoding="utf-8"), results), encoding="utf-8")
    fill(page, pictures, meshes, sweeps, claims, results)
    print(page)


def without_findings(text: str, results: Path) -> str:
    """The page for other results: its figures are theirs, and what was found in ours is not said of them."""
    kept = re.sub(r"<!-- findings -->.*?<!-- end findings -->\n*", "", text, flags=re.DOTALL)
    return kept.replace(COMMITTED, f"{results.resolve()}/")


def fill(
    page: Path,
    pictures: Sequence[Outcome],
    meshes: Sequence[Outcome],
    sweeps: Sequence[Outcome],
    claims: Iterable[Claim],
    results: Path,
) -> None:
    """Every table of the page."""
    claims = list(claims)
    further = {name: load(results / name) for name in FURTHER}
    aligned = alignment.read(results / "alignment.json")
    studies: dict[str, Sequence[Outcome | Aligned]] = {
        "pictures": pictures,
        "meshes": meshes,
        "sweeps": sweeps,
        **further,
        "alignment": aligned,
    }
    put("scale", scale(studies), page)
    put("pictures", table(pictures), page)
    put("meshes", table(meshes), page)
    put("dependence", dependence.table(sweeps, load_weights(results / "weights.json")), page)
    ours = list(alignment_verdicts.all_claims(aligned))
    put("claims", verdicts(claims), page)
    put("numbers", "\n\n".join(numbers(claim) for claim in (*claims, *ours)), page)
    for name, make in FURTHER.items():
        put(name, make(further[name]), page)
    put("alignment_verdicts", verdicts(ours), page)
    put("alignment_taus", alignment_verdicts.taus(aligned), page)
    put("alignment", alignment_verdicts.table(aligned), page)
    costs = read_json(results / "costs.json")["costs"]
    put("costs", cost_table.table([cost_table.Cost(**cost) for cost in costs]), page)
    put("batched", batched_speed.table(read_json(results / "batched.json")["rows"]), page)


def verdicts(claims: Iterable[Claim]) -> str:
    """Claims with their verdicts, in a table."""
    return left(["", "claim", "verdict"], [[f"({c.letter})", c.text, c.verdict] for c in claims])


def scale(studies: Mapping[str, Sequence[Outcome | Aligned]]) -> str:
    """What was run, in a table."""
    rows = []
    for name, study in studies.items():
        # Of the sweeps some runs have other samples.
        first = next((each for each in study if each.name == "baseline-width64"), study[0])
        task, optimizer = first.config["task"], first.config["optimizer"]
        side = f"{task['side']} x {task['side']} pixels" if "side" in task else f"{task['points']:,} points"
        items = len({each.item for each in study})
        batch = f"{optimizer['iterations']:,} of {optimizer['batch']:,}"
        seeds = len({each.seed for each in study})
        stages = [stage for each in study if isinstance(each, Outcome) for stage in each.stages.values()]
        held, broken = sum(stage.bounds for stage in stages), sum(len(stage.broken) for stage in stages)
        bounds = [f"{held:,}", str(broken)] if stages else ["-", "-"]
        sizes = [str(items), str(len(study)), side, batch, str(seeds), str(first.samples)]
        rows.append([name.replace("_", " "), *sizes, *bounds])
    head = ["study", "items", "run files", "each", "steps of Adam", "seeds", "samples of a kernel"]
    head += ["bounds held against spectra", "broken"]
    return markdown(head, rows)


def numbers(claim: Claim) -> str:
    """A claim's settings, one to a row."""
    said: dict[Any, str] = {True: "yes", False: "no", None: "not resolved"}
    rows = [[part.said, part.found, said[part.holds]] for part in claim.parts]
    remarks = "".join(f"\n\n{remark}." for remark in claim.remarks)
    return f"**({claim.letter}) {claim.text}**\n\n" + left(["setting", "found", "as claimed"], rows) + remarks


def left(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of words."""
    return markdown(head, rows).replace("---:", "---")


if __name__ == "__main__":
    command.run(main)
