"""Named training runs: the configurations that the paper compares, at sizes of our own.

The paper's own sizes are not known to us: frequencies, resolutions, widths, learning rates and lengths below
are ours, for a picture of 192 x 192 pixels and 1000 steps of Adam. All share depth 3, width 64 and ReLU. On a
mesh they are the same but for the multigrids: the coarse one ends at 16 cells an axis, the fine one at 64.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from ntkspec.errors import UsageError, not_one_of
from ntkspec.nets.config import OPTIONS, TrainConfig


@dataclass(frozen=True)
class Preset:
    """Named settings; those left out have the defaults of `TrainConfig`."""

    label: str  # for tables and figures
    summary: str
    settings: Mapping[str, Any]
    finest: float | None = None  # multigrid: cells of the finest level, as a fraction of the picture's side
    finest_on_mesh: int | None = None  # the same for a mesh, in cells

    def at(self, side: int | None) -> dict[str, Any]:
        """Return the settings for a picture of `side` pixels a side, or for a mesh (None)."""
        settings = {**self.settings, "label": self.label}
        if self.finest is not None:
            finest = self.finest_on_mesh if side is None else round(self.finest * side)
            settings["finest"] = max(finest or 0, settings["base"])
        return settings


_GAUSSIAN = {"encoding": "gaussian", "features": 64, "lr": 5e-3}
_MULTIGRID = {"encoding": "multigrid", "base": 4, "level_features": 2, "lr": 5e-3, "grid_lr": 2e-2}
_COARSE, _FINE = {**_MULTIGRID, "levels": 4}, {**_MULTIGRID, "levels": 6}

# fmt: off
PRESETS: Mapping[str, Preset] = MappingProxyType({
    "baseline":   Preset("baseline", "the coordinates alone", {"encoding": "identity", "lr": 1e-2}),
    "ffe-low":    Preset("FFE (low)", "Fourier features, sigma 1", {**_GAUSSIAN, "sigma": 1.0}),
    "ffe-medium": Preset("FFE (medium)", "Fourier features, sigma 4", {**_GAUSSIAN, "sigma": 4.0}),
    "ffe-high":   Preset("FFE (high)", "Fourier features, sigma 16", {**_GAUSSIAN, "sigma": 16.0}),
    "mpe-coarse": Preset("MPE (coarse)", "4 levels, to side/8 cells (mesh: 16)", _COARSE, 1 / 8, 16),
    "mpe-fine":   Preset("MPE (fine)", "6 levels, to side cells (mesh: 64)", _FINE, 1.0, 64),
})
# fmt: on


def resolve(*layers: Mapping[str, Any]) -> TrainConfig:
    """Make a config of settings from several sources; a later one wins, and all win over the preset.

    `growth` and `finest` decide each other, so either replaces both of an earlier source; so do `image` and
    `mesh`, which also choose the task. With an encoding other than the preset's, its name, its label and what
    belongs to its encoding are dropped.

    >>> resolve({"preset": "mpe-fine", "side": 96}).finest
    96

    Raises:
        UsageError: no preset of that name, a value that cannot work, or one that would have no effect.
    """
    settings_given = {name: _checked(name, value) for name, value in _merge(*layers).items()}
    name = settings_given.get("preset")
    if name is not None and name not in PRESETS:
        raise not_one_of("preset", name, PRESETS)
    solid = settings_given.get("task", TrainConfig.task) == "occupancy"
    side = None if solid else settings_given.get("side", TrainConfig.side)
    settings = {} if name is None else PRESETS[name].at(side)
    encoding = settings.get("encoding")
    if encoding != settings_given.get("encoding", encoding):
        settings = {key: value for key, value in settings.items() if key not in _belonging(encoding)}
        settings_given.pop("preset", None)
    shape = {"inputs": 3, "outputs": 1} if solid else {}
    config = TrainConfig(**_merge(shape | settings, settings_given))
    _refuse_idle(config, settings_given)
    return config


def _checked(name: str, value: object) -> Any:
    """Return the value of an option as its type has it; that of another name as it is."""
    return next((option.check(value) for option in OPTIONS if option.name == name), value)


def _belonging(encoding: str | None) -> set[str]:
    """Return the settings that have no effect with another encoding."""
    return {"label", *(option.name for option in OPTIONS if option.needs == ("encoding", encoding))}


def _refuse_idle(config: TrainConfig, settings_given: Mapping[str, Any]) -> None:
    """Refuse a setting that has no effect, or both of two that exclude each other."""
    if None not in (settings_given.get("image"), settings_given.get("mesh")):
        raise UsageError(
            "options ⟦--image⟧ and ⟦--mesh⟧",
            expected="one of them, since a run learns one thing",
            got="both",
            remedy="leave one out",
        )
    for option in OPTIONS:
        if option.name in settings_given and option.needs and not config.uses(option):
            other, value = option.needs
            raise UsageError(
                f"option ⟦{option.flag}⟧",
                expected=f"{other} {value}, which alone uses it",
                got=f"{other} {getattr(config, other)}",
                remedy=f"leave it out, or give ⟦--{other}={value}⟧",
            )


def _merge(*layers: Mapping[str, Any]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for layer in layers:
        for rivals in (("growth", "finest"), ("image", "mesh", "task")):
            if any(name in layer for name in rivals[:2]):
                for name in rivals:
                    merged.pop(name, None)
        merged.update(layer)
        if layer.get("mesh") is not None:
            merged.setdefault("task", "occupancy")
    return merged
