"""What training asks of a task: points, their values, and a verdict on what a network makes of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

__all__ = ["Loss", "Picture", "Predict", "Task"]

Loss = Literal["squared error", "cross-entropy"]
Picture = NDArray[np.uint8]  # (H, W) or (H, W, 3)
Predict = Callable[[NDArray[np.float32]], NDArray[np.float32]]  # a network: (n, d) -> (n, c)


class Task(Protocol):
    """Points to learn from; `ImageTask` and `OccupancyTask` are such. None of them needs torch to be made."""

    loss: ClassVar[Loss]  # what Adam minimises, as a mean over points and channels
    unit: ClassVar[str]  # what a row is, in the plural: "pixels"

    @property
    def coordinates(self) -> NDArray[np.float32]:
        """(m, d), in [0, 1]."""

    @property
    def values(self) -> NDArray[np.float32]:
        """(m, c), in [0, 1]."""

    @property
    def learnt(self) -> NDArray[np.int64]:
        """Rows that training draws from, ascending."""

    @property
    def channels(self) -> int:
        """c."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know about how the data was read."""

    @property
    def truth(self) -> Picture:
        """A picture of what is to be learnt."""

    def sample(self, pattern: str, n: int, seed: int) -> NDArray[np.int64]:
        """Rows at which a kernel is taken: about n of them, ascending. UsageError if that is impossible."""

    def judge(
        self, predicted: NDArray[np.float32], predict: Predict, device: torch.device | str = "cpu"
    ) -> tuple[dict[str, float], Picture | None]:
        """Metrics beside the loss, and what the network draws; None if there is nothing to see.

        Args:
            predicted: (m, c), the network at `coordinates`.
            predict: the network at any other coordinates.
            device: where to compute metrics for which PyTorch is used.
        """
