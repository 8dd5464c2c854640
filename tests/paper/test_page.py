"""docs/paper.md, its verdicts and its figures are what the committed outcomes make, to the digit."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from analysis.paper import alignment, figures, held_out, map_of_settings
from analysis.paper.activations import ACTIVATIONS
from analysis.paper.claims import STUDIES, all_claims, write
from analysis.paper.interpolation import INTERPOLATION
from analysis.paper.packed import load
from analysis.paper.page import PAGE, fill

RESULTS = PAGE.parents[1] / "analysis" / "results" / "paper"
PARTS = {"claims", "scale", "pictures", "meshes", "dependence", "activations", "interpolation", "held_out"}
PARTS |= {"alignment_verdicts", "alignment_taus", "alignment", "costs", "batched", "numbers"}


@pytest.fixture(scope="module")
def studies():
    return {name: load(RESULTS / place) for name, place in zip(STUDIES, ("2d", "3d", "sweeps"), strict=True)}


def test_the_outcomes_are_those_of_the_page(studies):
    pictures, meshes, _ = studies.values()
    assert len({each.item for each in pictures}) == 100
    assert {each.config["task"]["side"] for each in pictures} == {192}
    assert {each.item for each in meshes} == {"armadillo", "bunny", "dragon"}


def test_the_page_is_that_of_the_outcomes(studies, tmp_path):
    """What stands between marks is written anew, byte for byte, from analysis/results/paper alone."""
    page = tmp_path / "paper.md"
    text = PAGE.read_text(encoding="utf-8")
    emptied = set()

    def empty(part):
        emptied.add(part[1])
        return f"<!-- {part[1]} -->\n<!-- end {part[1]} -->"

    kept = re.sub(r"<!-- (?!findings)(\w+) -->\n.*?<!-- end \1 -->", empty, text, flags=re.DOTALL)
    assert emptied == PARTS
    assert not re.search(r"^\|", kept, flags=re.MULTILINE)  # no table is left
    page.write_text(kept, encoding="utf-8")
    fill(page, *studies.values(), all_claims(*studies.values()), RESULTS)
    assert page.read_text(encoding="utf-8") == text


def test_the_verdicts_are_those_of_the_outcomes(studies, tmp_path):
    """All of claims.json but its environment, which is of the machine and commit that wrote it."""
    write(list(all_claims(*studies.values())), studies, tmp_path / "claims.json")
    again, kept = ((place / "claims.json").read_text(encoding="utf-8") for place in (tmp_path, RESULTS))
    found, committed = json.loads(again), json.loads(kept)
    found["environment"] = committed["environment"]
    assert json.dumps(found) == json.dumps(committed)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["fig2", "fig4", "fig5", "map", "activations", "interpolation", "held_out", "alignment"]
)
def test_the_figures_are_those_of_the_outcomes(studies, tmp_path, name):
    """Pixel by pixel, but for what another build of the fonts may round; figures 3 want run files."""
    pictures, meshes, sweeps = studies.values()
    output = tmp_path / f"{name}.png"
    {
        "fig2": lambda: figures.draw(pictures, meshes, tmp_path),
        "fig4": lambda: figures.draw(pictures, meshes, tmp_path),
        "fig5": lambda: figures.draw(pictures, meshes, tmp_path),
        "map": lambda: map_of_settings.draw(sweeps, RESULTS / "weights.json", output),
        "activations": lambda: ACTIVATIONS.draw(load(RESULTS / name), output),
        "interpolation": lambda: INTERPOLATION.draw(load(RESULTS / name), output),
        "held_out": lambda: held_out.draw(load(RESULTS / name), output),
        "alignment": lambda: alignment.draw(alignment.read(RESULTS / "alignment.json"), output),
    }[name]()
    with Image.open(output) as ours, Image.open(RESULTS / f"{name}.png") as theirs:
        found, committed = (np.asarray(each.convert("RGB"), dtype=float) for each in (ours, theirs))
    assert found.shape == committed.shape
    assert np.abs(found - committed).mean() < 0.05  # of 255; one picture less makes 0.6 and more
