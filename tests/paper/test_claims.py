"""Claims on outcomes that were made up so that the answer is known."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau

from analysis.paper.claims import all_claims
from analysis.paper.claims_of_quality import tau_b
from analysis.paper.verdicts import Claim, Part
from ntkspec.errors import UsageError
from ntkspec.population.outcomes import Curve, Outcome, Stage, indices

SIZE = 256
PRESETS = ("baseline", "ffe-low", "ffe-medium", "ffe-high", "mpe-coarse", "mpe-fine")
PSNR = dict(zip(PRESETS, (15.0, 18.0, 21.0, 20.0, 24.0, 40.0), strict=True))


def curve(exponent, smallest=None, scale=1.0):
    """scale * i^-exponent; with `smallest` another last value, 0 for a singular kernel."""
    index = np.array(indices(SIZE))
    values = [float(value) for value in scale * index**-exponent]
    if smallest is not None:
        values[-1] = smallest
    return Curve(
        values=tuple(values),
        size=SIZE,
        resolved=SIZE - (smallest == 0),
        floor=1e-14,
        lambda_max=values[0],
        lambda_min=values[-1],
        rank_at_most=SIZE - (smallest == 0),
        trace=sum(values),
        effective_rank=2.0,
        method="gram",
    )


def stage(name, metrics):
    exponents = dict(zip(PRESETS, (4.0, 3.0, 2.0, 1.0, 2.5, 1.5), strict=True))
    spectra = {"total": curve(exponents[name], 0.0 if name == "baseline" else None)}
    slack = None
    if name.startswith("mpe"):
        spectra |= {"no_grid": curve(3.9, scale=0.9), "grid": curve(exponents[name], scale=0.1)}
        slack = {"least": 1.79e-5, "median": 0.5, "share": 0.01, "compared": SIZE}
    return Stage(1, metrics, spectra, certified=(0.0, 1.0), lower={}, slack=slack, bounds=5, broken=())


def outcome(item, name, metrics):
    stages = {"mid": stage(name, metrics), "end": stage(name, metrics)}
    return Outcome(item, name, name, {}, SIZE, 10, stages, {})


@pytest.fixture
def pictures():
    rng = np.random.default_rng(1)
    return [
        outcome(
            f"picture{k}",
            name,
            {"psnr_db": PSNR[name] + 0.1 * rng.standard_normal(), "ms_ssim": PSNR[name] / 40},
        )
        for k in range(12)
        for name in PRESETS
    ]


@pytest.fixture
def meshes():
    return [
        outcome(f"mesh{k}", name, {"iou": PSNR[name] / 40}) for k in range(3) for name in PRESETS
    ]  # fmt: skip


@pytest.fixture
def sweeps():
    psnr = {"ffe-8-64": 20.0, "ffe-16-64": 20.1, "ffe-32-64": 18.0}
    psnr |= {"ffe-8-16": 19.0, "ffe-16-16": 18.0, "ffe-32-16": 17.0}
    psnr |= {"ffe-8-256": 24.0, "ffe-16-256": 25.0, "ffe-32-256": 24.0}
    psnr |= {"mpe-48": 25.0, "mpe-96": 31.0, "mpe-width64": 40.0, "mpe-384": 40.0}
    return [
        replace(outcome(f"picture{k}", "mpe-fine", {"psnr_db": value + 0.01 * k}), name=name)
        for k in range(3)
        for name, value in psnr.items()
    ]


def verdicts(pictures, meshes, sweeps):
    return {claim.letter: claim for claim in all_claims(pictures, meshes, sweeps)}


def test_what_is_known_comes_out(pictures, meshes, sweeps):
    found = verdicts(pictures, meshes, sweeps)
    assert list(found) == list("abcdefghi")
    assert found["a"].verdict == "holds"  # over a kernel that is exactly singular, by any number
    assert found["a"].parts[0].found == "no finite ratio; baseline exactly 0 in 12 of 12"
    over = {part.said: part.holds for part in found["b"].parts}
    assert over["MPE (fine) over FFE (low), pictures"] is True  # 1.5 in the exponent, 3.6 decades at 256
    assert over["MPE (coarse) over FFE (low), pictures"] is False  # 1.2 decades
    assert over["MPE (fine) over FFE (high), meshes"] is False
    assert found["c"].verdict == "holds except for lambda_min"  # 0 of the baseline, a number without the grid
    gains = {part.said: part.holds for part in found["d"].parts}
    assert gains == {
        "MPE (coarse) over baseline, dB": False,
        "MPE (coarse) over baseline, MS-SSIM": False,
        "MPE (fine) over baseline, dB": True,
        "MPE (fine) over baseline, MS-SSIM": False,  # 0.625
    }
    assert {part.said: part.holds for part in found["e"].parts}["MPE (fine) over the best FFE, dB"] is True
    assert found["f"].verdict == "holds"
    assert found["g"].verdict == "does not hold"  # all start at one
    saturated = [part.holds for part in found["h"].parts]
    assert saturated == [True, True, True, True, False, True, True, True, False]  # 256 gain 1 dB; 384 nothing
    assert found["i"].parts[0].holds is True


def test_studies_of_different_scale_are_not_weighed_together(pictures, meshes, sweeps):
    task = {"kind": "image", "side": 192, "image": "a.png"}
    config, short = ({"task": task, "optimizer": {"iterations": n, "batch": 9}} for n in (1000, 20))
    pictures, sweeps = ([replace(each, config=config) for each in study] for study in (pictures, sweeps))
    assert len(verdicts(pictures, meshes, sweeps)) == 9
    shorter = [replace(each, config=short) for each in sweeps]
    with pytest.raises(UsageError, match="sweeps: expected runs as those of the pictures"):
        verdicts(pictures, meshes, shorter)
    with pytest.raises(UsageError, match="meshes: expected runs of task occupancy, got image"):
        verdicts(pictures, pictures, sweeps)


def test_a_broken_theorem_is_said(pictures, meshes, sweeps):
    spoilt = replace(pictures[-1].stages["mid"], broken=("theorem1 of total",))
    pictures[-1] = replace(pictures[-1], stages={**pictures[-1].stages, "mid": spoilt})
    parts = verdicts(pictures, meshes, sweeps)["f"].parts
    assert [part.holds for part in parts] == [True, False, True, True]
    assert parts[1].found.startswith("1 of 24 spectra break it; slack at least 1.7e-05, median")


@pytest.mark.parametrize(("unresolved", "holds"), [(3, None), (11, False)])
def test_unresolved_values_count_as_what_they_are(pictures, meshes, sweeps, unresolved, holds):
    """Below its floor a multigrid's lambda_min is far below that of Fourier features, not left out."""
    done = 0
    for k, each in enumerate(pictures):
        if each.name == "mpe-fine" and done < unresolved:
            done += 1
            lost = replace(curve(1.5), lambda_min=None, resolved=SIZE - 1)
            end = replace(each.end, spectra={**each.end.spectra, "total": lost})
            pictures[k] = replace(each, stages={**each.stages, "end": end})
    parts = {part.said: part for part in verdicts(pictures, meshes, sweeps)["b"].parts}
    part = parts["MPE (fine) over FFE (low), pictures"]
    assert part.holds is holds
    assert f"MPE (fine) unresolved in {unresolved} of 12" in part.found


def with_spectra(outcomes, name, **spectra):
    """The outcomes, in which those of a name have other spectra at the end."""
    return [
        replace(
            each, stages={**each.stages, "end": replace(each.end, spectra={**each.end.spectra, **spectra})}
        )
        if each.name == name
        else each
        for each in outcomes
    ]


def test_without_the_grid_what_is_unresolved_has_fallen(pictures, meshes, sweeps):
    """Near the MPE up to i = 20, below a floor far under the baseline from there on."""
    near = curve(1.5, scale=0.9)
    values = tuple(v if i <= 20 else None for i, v in zip(indices(SIZE), near.values, strict=True))
    lost = replace(near, values=values, lambda_min=None, resolved=20)
    changed = with_spectra(pictures, "mpe-fine", no_grid=lost)
    parts = {part.said: part for part in verdicts(changed, meshes, sweeps)["c"].parts}
    assert parts["MPE (fine), pictures"].holds is True
    assert parts["MPE (fine), pictures"].found.startswith("at most -")
    assert "up to i = 255 (median) of 256" in parts["MPE (fine), pictures"].found
    at_the_end = parts["MPE (fine), pictures, lambda_min"]  # nothing is known of it over an exact zero
    assert at_the_end.holds is None
    assert "fallen back on 0, unknown on 12 of 12" in at_the_end.found
    zero = with_spectra(pictures, "mpe-fine", no_grid=curve(3.9, 0.0))
    parts = {part.said: part for part in verdicts(zero, meshes, sweeps)["c"].parts}
    assert parts["MPE (fine), pictures, lambda_min"].holds is True
    assert parts["MPE (fine), pictures, lambda_min"].found.startswith("fallen back on 12 of 12")


def test_one_item_that_is_unresolved_does_not_decide(pictures, meshes, sweeps):
    """Eleven pictures keep nearly all of the lift, of one nothing is known after i = 2."""
    near = curve(1.5, scale=0.99)
    changed = with_spectra(pictures, "mpe-fine", no_grid=near)
    values = tuple(v if i <= 2 else None for i, v in zip(indices(SIZE), near.values, strict=True))
    lost = replace(near, values=values, lambda_min=None, resolved=2)
    changed = [each for each in changed if each.item != "picture0"] + with_spectra(
        [each for each in changed if each.item == "picture0"], "mpe-fine", no_grid=lost
    )
    parts = {part.said: part for part in verdicts(changed, meshes, sweeps)["c"].parts}
    assert parts["MPE (fine), pictures"].holds is False


def test_one_index_is_no_crossing(pictures, meshes, sweeps):
    half = replace(curve(2.5), values=(2.0, *(value / 2 for value in curve(2.5).values[1:])))
    changed = with_spectra(
        pictures, "ffe-medium", total=half
    )  # above the coarse grid at the first index alone
    parts = {part.said: part for part in verdicts(changed, meshes, sweeps)["g"].parts}
    assert (parts["FFE (medium), pictures"].holds, parts["FFE (medium), pictures"].found) == (
        False,
        "in 0 of 12",
    )


def test_floors_make_no_order(pictures, meshes, sweeps):
    for k, name in enumerate(PRESETS):
        lost = replace(curve(2.0), lambda_min=None, floor=(k + 1) * 1e-12, resolved=SIZE - 1)
        pictures = with_spectra(pictures, name, total=lost)
    parts = {part.setting: part for part in verdicts(pictures, meshes, sweeps)["i"].parts}
    part = parts["lambda_min", "pictures"]
    assert (part.holds, part.found) == (None, "no order: none are told apart")


def test_what_is_not_told_apart_from_any_before_is_said(pictures, meshes, sweeps):
    """The baseline's is unresolved below a floor of 4.5, of the others five are 1 to 5."""
    for k, name in enumerate(PRESETS):
        made = replace(curve(2.0), lambda_min=float(k) or None, floor=4.5)
        pictures = with_spectra(pictures, name, total=made)
    parts = {part.setting: part for part in verdicts(pictures, meshes, sweeps)["i"].parts}
    order = "baseline ~ FFE (low) ~ FFE (medium) ~ FFE (high) ~ MPE (coarse) < MPE (fine)"
    assert parts["lambda_min", "pictures"].found.endswith(order)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=2, max_size=8))
def test_tau_of_numbers_is_scipys(pairs):
    one, other = (np.array([[v, v] for v in values], dtype=float) for values in zip(*pairs, strict=True))
    theirs = kendalltau(one[:, 0], other[:, 0]).statistic
    assert tau_b(one, other) == pytest.approx(theirs, nan_ok=True)


def test_ranges_that_overlap_are_ties():
    apart = np.array([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]])
    unknown = np.array([[0.0, 2.5], [2.0, 2.0], [3.0, 3.0]])
    assert tau_b(apart, unknown) == pytest.approx(kendalltau([1, 2, 3], [2, 2, 3]).statistic)


def test_where_curves_cross(pictures, meshes, sweeps):
    for k, each in enumerate(pictures):
        if each.name == "ffe-medium":  # above the coarse MPE until i = 10, below from there on
            end = replace(each.end, spectra={"total": curve(3.5, scale=10.0)})
            pictures[k] = replace(each, stages={**each.stages, "end": end})
    part = next(
        p for p in verdicts(pictures, meshes, sweeps)["g"].parts if p.said == "FFE (medium), pictures"
    )
    assert part.holds is True
    assert "below it from" not in part.found
    where = int(part.found.partition("i = ")[2].partition(" ")[0])
    assert 10 <= where <= 12  # the next index that is kept and clear


def test_small_pictures_have_no_ms_ssim(pictures, meshes, sweeps):
    for each in pictures:
        for kept in each.stages.values():
            kept.metrics.pop("ms_ssim", None)
    found = verdicts(pictures, meshes, sweeps)
    assert [part.holds for part in found["d"].parts if "MS-SSIM" in part.setting] == [None, None]
    assert found["d"].remarks == found["e"].remarks == ()  # nothing is said of where it ends


@pytest.mark.parametrize(
    ("answers", "verdict"),
    [
        ((True, True, True, True), "holds"),
        ((False, False, False, False), "does not hold"),
        ((None, None, None, None), "cannot be resolved"),
        ((True, True, False, False), "holds only for a"),
        (
            (True, None, None, None),
            "holds only for a over x, MS-SSIM; cannot be resolved for a over x, dB; "
            "b over x, MS-SSIM; b over x, dB",
        ),
        ((False, False, None, None), "does not hold for a; cannot be resolved for b"),
        ((False, False, False, None), "does not hold; cannot be resolved for b over x, dB"),
        ((False, True, False, True), "holds only for dB"),
        ((True, False, False, True), "holds only for a over x, MS-SSIM; b over x, dB"),
        ((False, True, False, None), "holds only for a over x, dB; cannot be resolved for b over x, dB"),
        ((True, True, None, None), "holds only for a; cannot be resolved for b"),
        ((True, True, True, False), "holds except for b over x, dB"),
        (
            (True, True, None, False),
            "holds only for a; cannot be resolved for b over x, MS-SSIM",
        ),
    ],
)
def test_verdicts_name_what_the_settings_share(answers, verdict):
    settings = [(name, "over x", unit) for name in "ab" for unit in ("MS-SSIM", "dB")]
    parts = [Part(setting, "", holds) for setting, holds in zip(settings, answers, strict=True)]
    assert Claim("z", "", tuple(parts)).verdict == verdict


def test_an_order_is_held_against_that_of_the_others(pictures, meshes, sweeps):
    """Of two meshes of opposite orders neither agrees with the other, though each is half of the median."""
    upside_down = dict(zip(PRESETS, reversed(PSNR.values()), strict=True))
    two = [each for each in meshes if each.item != "mesh2"]
    for k, each in enumerate(two):
        if each.item == "mesh1":
            end = replace(each.end, metrics={"iou": upside_down[each.name] / 40})
            two[k] = replace(each, stages={**each.stages, "end": end})
    parts = {part.setting: part for part in verdicts(pictures, two, sweeps)["i"].parts}
    assert parts["IoU", "meshes"].found.startswith("tau -1.00 (-1.00 to -1.00)")
    assert parts["IoU", "meshes"].holds is False
    assert parts["lambda_min", "meshes against pictures"].holds is True
    assert parts["IoU", "meshes against PSNR of pictures"].holds is None  # 1 for one, -1 for the other
    alone = [each for each in meshes if each.item == "mesh0"]
    parts = {part.setting: part for part in verdicts(pictures, alone, sweeps)["i"].parts}
    assert parts["IoU", "meshes"].found == "of one item alone"
