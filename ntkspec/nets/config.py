"""The options of a training run: one table, from which flags, TOML files and JSON are made.

Every field of `TrainConfig` is an option. Its metadata says under which flag it is given, in which section
and under which key it stands in TOML and JSON, and which values are possible. No torch is needed here.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ntkspec.errors import UsageError
from ntkspec.nets.options import Option
from ntkspec.nets.sections import unnest

MAX_PARAMETERS = 2**28  # 1 GiB in float32, four times that with Adam's moments and the gradient
MAX_CELLS = 2**31  # of a level, an axis; coordinates in float32 tell some 2^24 apart
MAX_ITERATIONS = 10**9  # the losses of every tenth are kept: 4 GB
MAX_RATE = 1e37  # Adam divides the rate by 0.1 in its first step, and float32 ends at 3.4e38
MAX_FREQUENCY = 1e6  # beyond it, float32 rounds a phase by more than a radian
DEFAULT_GROWTH = 2.0
GAUSSIAN, AXIS, MULTIGRID = ("encoding", "gaussian"), ("encoding", "axis"), ("encoding", "multigrid")
IMAGE, OCCUPANCY = ("task", "image"), ("task", "occupancy")
# Encodings, and the family of each, by which reports compare runs.
FAMILIES = {"identity": "baseline", "gaussian": "ffe", "axis": "ffe", "multigrid": "mpe"}
ENCODINGS = tuple(FAMILIES)
ACTIVATIONS = ("relu", "silu", "gelu", "tanh", "sine")
DEGREES = {"linear": 1, "smooth": 1, "quadratic": 2, "cubic": 3}  # an axis of N cells has N + degree nodes
INTERPOLATIONS = tuple(DEGREES)
SAMPLINGS = ("random", "grid", "patch")


def _option(section: str, default: Any, kind: type, help: str, **others: Any) -> Any:
    return dataclasses.field(default=default, metadata=dict(section=section, kind=kind, help=help, **others))


@dataclass(frozen=True)
class TrainConfig:
    """A training run, checked on creation; the defaults are the baseline's.

    Raises:
        UsageError: a value, or a combination of values, that cannot work.
    """

    preset: str | None = _option("", None, str, "named settings to start from", optional=True)
    label: str | None = _option(
        "", None, str, "display name; default: the preset's, else the encoding's", optional=True
    )
    seed: int = _option("", 0, int, "of weights, batches and samples", least=0, most=2**63 - 1)

    task: str = _option("task", "image", str, "what is learned", key="kind", choices=("image", "occupancy"))
    image: str | None = _option(
        "task", None, str, "the picture, of any format Pillow reads", optional=True, needs=IMAGE
    )
    side: int = _option(
        "task", 192, int, "image: pixels a side after the centre crop", least=2, most=8192, needs=IMAGE
    )
    grey: bool = _option("task", False, bool, "image: make the picture grey", needs=IMAGE)
    held_out: float | None = _option(
        "task", None, float, "image: share of the pixels to judge apart and not to learn; default: none",
        above=0, most=0.99, optional=True, needs=IMAGE)  # fmt: skip
    mesh: str | None = _option(
        "task", None, str, "the watertight mesh, of any format trimesh reads; its occupancy is learned",
        optional=True, needs=OCCUPANCY)  # fmt: skip
    points: int = _option(
        "task", 2**19, int, "mesh: points to learn from", least=8, most=2**24, needs=OCCUPANCY
    )
    up: str = _option(
        "task", "y", str, "mesh: the axis that points up in pictures", choices=("y", "z"), needs=OCCUPANCY
    )
    azimuth: float = _option(
        "task",
        25.0,
        float,
        "mesh: degrees from its front to the camera",
        least=-360,
        most=360,
        needs=OCCUPANCY,
    )

    inputs: int = _option("model", 2, int, "input dimension d", least=1, most=3, hidden=True)
    outputs: int = _option("model", 3, int, "outputs c", least=1, most=MAX_PARAMETERS, hidden=True)
    depth: int = _option("model", 3, int, "hidden layers", least=1, most=1000)
    width: int = _option("model", 64, int, "width of the hidden layers", least=1, most=MAX_PARAMETERS)
    activation: str = _option("model", "relu", str, "after every hidden layer", choices=ACTIVATIONS)
    omega: float = _option(
        "model", 30.0, float, "frequency of the sine activation", least=1 / MAX_FREQUENCY, most=MAX_FREQUENCY,
        needs=("activation", "sine"))  # fmt: skip

    encoding: str = _option("encoding", "identity", str, "of the coordinates", key="kind", choices=ENCODINGS)
    features: int = _option(
        "encoding", 64, int, "gaussian: frequencies m", least=1, most=MAX_PARAMETERS, needs=GAUSSIAN
    )
    sigma: float = _option(
        "encoding", 5.0, float, "gaussian: deviation of the frequencies", above=0, most=MAX_FREQUENCY,
        needs=GAUSSIAN)  # fmt: skip
    octaves: int = _option("encoding", 6, int, "axis: octaves L", least=1, most=64, needs=AXIS)
    levels: int = _option("encoding", 6, int, "multigrid: levels L", least=1, most=64, needs=MULTIGRID)
    base: int = _option(
        "encoding", 4, int, "multigrid: cells an axis of the coarsest level", least=1, most=MAX_CELLS,
        needs=MULTIGRID)  # fmt: skip
    finest: int | None = _option(
        "encoding",
        None,
        int,
        "multigrid: cells an axis of the finest level; sets growth",
        least=1,
        most=MAX_CELLS,
        optional=True,
        needs=MULTIGRID,
    )
    growth: float | None = _option(
        "encoding",
        None,
        float,
        "multigrid: ratio of neighbouring levels (default 2)",
        least=1,
        optional=True,
        needs=MULTIGRID,
    )
    level_features: int = _option(
        "encoding", 2, int, "multigrid: features F of a node", least=1, most=MAX_PARAMETERS, needs=MULTIGRID
    )
    table_size: int | None = _option(
        "encoding", None, int, "multigrid: most nodes before a level is hashed; default: never",
        least=1, most=2**31, optional=True, needs=MULTIGRID)  # fmt: skip
    interpolation: str = _option(
        "encoding", "linear", str, "multigrid: in a cell", choices=INTERPOLATIONS, needs=MULTIGRID
    )

    iterations: int = _option("optimizer", 1000, int, "Adam's steps", least=1, most=MAX_ITERATIONS)
    batch: int = _option("optimizer", 4096, int, "pixels or points a step", least=1, most=2**63 - 1)
    lr: float = _option("optimizer", 5e-3, float, "learning rate of the network", above=0, most=MAX_RATE)
    grid_lr: float = _option(
        "optimizer", 2e-2, float, "learning rate of the multigrid", above=0, most=MAX_RATE, needs=MULTIGRID
    )
    checkpoints: tuple[int, ...] = _option(
        "optimizer", (), tuple, "steps to keep besides the first, the middle and the last"
    )

    samples: int = _option(
        "samples", 1024, int, "pixels or points at which the kernel is taken", key="count", least=1,
        most=2**63 - 1)  # fmt: skip
    sampling: str = _option(
        "samples", "random", str, "how they are chosen; a mesh has no grid", key="pattern", choices=SAMPLINGS
    )

    def __post_init__(self) -> None:
        for option in OPTIONS:
            object.__setattr__(self, option.name, option.check(getattr(self, option.name)))
        self._check_growth()
        self._check_parameters()
        self._check_cells()
        if self.checkpoints and self.checkpoints[-1] > self.iterations:
            raise UsageError(
                "option ⟦--checkpoints⟧",
                expected=f"steps up to the last, {self.iterations}",
                got=str(self.checkpoints[-1]),
                remedy="leave it out or raise ⟦--iterations⟧",
            )

    @property
    def level_growth(self) -> float:
        """Return the ratio of the resolutions of neighbouring levels."""
        if self.finest is not None:
            return float((self.finest / self.base) ** (1 / max(self.levels - 1, 1)))
        return DEFAULT_GROWTH if self.growth is None else self.growth

    def uses(self, option: Option) -> bool:
        """Return whether an option has an effect, given the values of the others."""
        return option.needs is None or getattr(self, option.needs[0]) == option.needs[1]

    @property
    def family(self) -> str:
        """Return the family of its encoding: "baseline", "ffe" (Fourier features) or "mpe" (multigrid)."""
        return FAMILIES[self.encoding]

    def to_dict(self) -> dict[str, Any]:
        """Return the options by section, in types of JSON, without None and options that have no effect."""
        nested: dict[str, Any] = {}
        for option in OPTIONS:
            value = getattr(self, option.name)
            if value is not None and self.uses(option):
                place = nested.setdefault(option.section, {}) if option.section else nested
                place[option.key] = list(value) if option.kind is tuple else value
        return nested

    @classmethod
    def from_dict(cls, nested: Mapping[str, Any], where: str = "config") -> TrainConfig:
        """Build a config from the result of `to_dict`; options without effect may be among them.

        Raises:
            UsageError: an unknown key, or a value that cannot work.
        """
        return cls(**unnest(nested, where, OPTIONS))

    def to_json(self) -> str:
        """Return `to_dict` as one line of JSON."""
        return json.dumps(self.to_dict())

    def _check_growth(self) -> None:
        if self.finest is not None and self.growth is not None:
            raise UsageError(
                "options ⟦--finest⟧ and ⟦--growth⟧",
                expected="one of them, since each decides the other",
                got=f"finest {self.finest} and growth {self.growth:g}",
                remedy="leave one out",
            )
        if self.finest is not None and self.levels == 1 and self.finest != self.base:
            raise UsageError(
                "option ⟦--finest⟧",
                expected=f"⟦--base={self.base}⟧, with one level",
                got=str(self.finest),
                remedy=f"give ⟦--finest={self.base}⟧ or more ⟦--levels⟧",
            )
        if self.finest is not None and self.finest < self.base:
            raise UsageError(
                "option ⟦--finest⟧",
                expected=f"at least ⟦--base={self.base}⟧",
                got=str(self.finest),
                remedy="give a finer finest level or a coarser base",
            )

    def _check_parameters(self) -> None:
        parameters = _parameters(self)
        if parameters > MAX_PARAMETERS:
            raise UsageError(
                "model",
                expected=f"at most {MAX_PARAMETERS:,} parameters",
                got=f"{parameters:.3g}",
                remedy="lower ⟦--width⟧ or ⟦--depth⟧, "
                "or for a multigrid ⟦--finest⟧, ⟦--growth⟧ or ⟦--levels⟧",
            )

    def _check_cells(self) -> None:
        if self.encoding != "multigrid":
            return
        finest = self.base * self.level_growth ** (self.levels - 1)
        if not finest < MAX_CELLS + 0.5:
            raise UsageError(
                "⟦--base⟧, ⟦--growth⟧ and ⟦--levels⟧",
                expected=f"at most {MAX_CELLS:,} cells an axis at the finest level",
                got=f"{finest:.3g}",
                remedy="lower one of them, or give ⟦--finest⟧ instead of ⟦--growth⟧",
            )


OPTIONS = tuple(Option(field.name, **field.metadata) for field in dataclasses.fields(TrainConfig))


def _parameters(config: TrainConfig) -> float:
    """Count the trainable parameters; the result is infinite if they overflow."""
    d, width = config.inputs, config.width
    widths = {"identity": d, "gaussian": 2 * config.features, "axis": 2 * config.octaves * d}
    grid, encoded = 0.0, widths.get(config.encoding, config.levels * config.level_features + d)
    if config.encoding == "multigrid":
        for level in range(config.levels):
            try:
                nodes = (config.base * config.level_growth**level + DEGREES[config.interpolation]) ** d
            except OverflowError:
                return math.inf
            grid += config.level_features * min(nodes, config.table_size or math.inf)
    hidden = (encoded + 1) * width + (config.depth - 1) * (width + 1) * width
    return grid + hidden + (width + 1) * config.outputs
