"""Named training runs: what the paper compares, at sizes of our own.

The paper's own sizes are not known to us: frequencies, resolutions, widths, learning rates and lengths below
are ours, chosen so that each network learns about as well as its encoding lets it in 1000 steps of Adam on a
picture of 192 x 192 pixels, in seconds on a laptop. All share depth 3, width 64 and ReLU.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from ntkspec.errors import UsageError
from ntkspec.nets.config import TrainConfig

__all__ = ["PRESETS", "Preset", "preset_config", "resolve"]


@dataclass(frozen=True)
class Preset:
    """Settings under a name; what is left out has `TrainConfig`'s default."""

    label: str  # for tables and figures
    summary: str
    settings: Mapping[str, Any]
    finest: float | None = None  # multigrid: cells of the finest level, as a fraction of the picture's side

    def at(self, side: int) -> dict[str, Any]:
        """The settings for a picture of `side` pixels a side."""
        settings = {**self.settings, "label": self.label}
        if self.finest is not None:
            settings["finest"] = max(round(self.finest * side), settings["base"])
        return settings


_GAUSSIAN = {"encoding": "gaussian", "features": 64, "lr": 5e-3}
_MULTIGRID = {"encoding": "multigrid", "base": 4, "level_features": 2, "lr": 5e-3, "grid_lr": 2e-2}

# fmt: off
PRESETS: Mapping[str, Preset] = MappingProxyType({
    "baseline":   Preset("baseline", "the coordinates alone", {"encoding": "identity", "lr": 1e-2}),
    "ffe-low":    Preset("FFE (low)", "Fourier features, sigma 1", {**_GAUSSIAN, "sigma": 1.0}),
    "ffe-medium": Preset("FFE (medium)", "Fourier features, sigma 4", {**_GAUSSIAN, "sigma": 4.0}),
    "ffe-high":   Preset("FFE (high)", "Fourier features, sigma 16", {**_GAUSSIAN, "sigma": 16.0}),
    "mpe-coarse": Preset("MPE (coarse)", "4 levels, to side/8 cells", {**_MULTIGRID, "levels": 4}, 1 / 8),
    "mpe-fine":   Preset("MPE (fine)", "6 levels, to side cells", {**_MULTIGRID, "levels": 6}, 1.0),
})
# fmt: on


def preset_config(name: str, **changes: Any) -> TrainConfig:
    """The config of a preset with some fields changed.

    >>> preset_config("mpe-fine", side=96).finest
    96
    """
    return resolve({"preset": name, **changes})


def resolve(*layers: Mapping[str, Any]) -> TrainConfig:
    """One config from several sources of settings, by field name: a later one wins, all win over the preset.

    `growth` and `finest` decide each other, so either displaces both of an earlier source.

    Raises:
        UsageError: no preset of that name, or a value that cannot work.
    """
    given = _merge(*layers)
    name = given.get("preset")
    if name is None:
        return TrainConfig(**given)
    if name not in PRESETS:
        raise UsageError(
            "preset",
            expected=" or ".join(PRESETS),
            got=repr(name),
            remedy="name one of these, or leave it out",
        )
    side = given.get("side", TrainConfig.side)
    return TrainConfig(**_merge(PRESETS[name].at(side), given))


def _merge(*layers: Mapping[str, Any]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for layer in layers:
        if "growth" in layer or "finest" in layer:
            merged.pop("growth", None)
            merged.pop("finest", None)
        merged.update(layer)
    return merged
