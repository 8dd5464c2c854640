"""Claims on outcomes that were made up so that the answer is known."""

from dataclasses import replace

import numpy as np
import pytest
from claims import all_claims
from outcomes import Curve, Outcome, Stage, indices

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
        slack = {"least": 1e-5, "median": 0.5, "share": 0.01, "compared": SIZE}
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
    over = {part.setting: part.holds for part in found["b"].parts}
    assert over["MPE (fine) over FFE (low), pictures"] is True  # 1.5 in the exponent, 3.6 decades at 256
    assert over["MPE (coarse) over FFE (low), pictures"] is False  # 1.2 decades
    assert over["MPE (fine) over FFE (high), meshes"] is False
    assert found["c"].verdict == "holds"
    gains = {part.setting: part.holds for part in found["d"].parts}
    assert gains == {
        "MPE (coarse) over baseline, dB": False,
        "MPE (coarse) over baseline, MS-SSIM": False,
        "MPE (fine) over baseline, dB": True,
        "MPE (fine) over baseline, MS-SSIM": False,  # 0.625
    }
    assert {part.setting: part.holds for part in found["e"].parts}["MPE (fine) over the best FFE, dB"] is True
    assert found["f"].verdict == "holds"
    assert found["g"].verdict == "does not hold"  # all start at one
    saturated = [part.holds for part in found["h"].parts]
    assert saturated == [True, True, True, True, False]
    assert found["i"].parts[0].holds is True


def test_a_broken_theorem_is_said(pictures, meshes, sweeps):
    spoilt = replace(pictures[-1].stages["mid"], broken=("theorem1 of total",))
    pictures[-1] = replace(pictures[-1], stages={**pictures[-1].stages, "mid": spoilt})
    parts = verdicts(pictures, meshes, sweeps)["f"].parts
    assert [part.holds for part in parts] == [True, False, True, True]
    assert parts[1].found.startswith("1 of 24 spectra break it")


@pytest.mark.parametrize(("unresolved", "holds"), [(3, False), (9, False)])
def test_unresolved_values_count_as_what_they_are(pictures, meshes, sweeps, unresolved, holds):
    """Below its floor a multigrid's lambda_min is far below that of Fourier features, not left out."""
    done = 0
    for k, each in enumerate(pictures):
        if each.name == "mpe-fine" and done < unresolved:
            done += 1
            lost = replace(curve(1.5), lambda_min=None, resolved=SIZE - 1)
            end = replace(each.end, spectra={**each.end.spectra, "total": lost})
            pictures[k] = replace(each, stages={**each.stages, "end": end})
    parts = {part.setting: part for part in verdicts(pictures, meshes, sweeps)["b"].parts}
    part = parts["MPE (fine) over FFE (low), pictures"]
    assert part.holds is (None if unresolved == 3 else holds)
    assert f"MPE (fine) unresolved in {unresolved} of 12" in part.found


def test_where_curves_cross(pictures, meshes, sweeps):
    for k, each in enumerate(pictures):
        if each.name == "ffe-medium":  # above the coarse MPE until i = 10, below from there on
            end = replace(each.end, spectra={"total": curve(3.5, scale=10.0)})
            pictures[k] = replace(each, stages={**each.stages, "end": end})
    part = next(
        p for p in verdicts(pictures, meshes, sweeps)["g"].parts if p.setting == "FFE (medium), pictures"
    )
    assert part.holds is True
    assert "below it from" not in part.found
    where = int(part.found.partition("i = ")[2].partition(" ")[0])
    assert 10 <= where <= 12  # the next index that is kept and clear


def test_small_pictures_have_no_ms_ssim(pictures, meshes, sweeps):
    for each in pictures:
        for kept in each.stages.values():
            kept.metrics.pop("ms_ssim", None)
    parts = verdicts(pictures, meshes, sweeps)["d"].parts
    assert [part.holds for part in parts if part.setting.endswith("MS-SSIM")] == [None, None]
