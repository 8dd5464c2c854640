"""The interface of a task to training: points, their values, and a judgement of a network."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from ntkspec.store.pictures import Picture as Picture

if TYPE_CHECKING:
    import torch

Loss = Literal["squared error", "cross-entropy"]
Predict = Callable[[NDArray[np.float32]], NDArray[np.float32]]  # a network: (n, d) -> (n, c)


class Task(Protocol):
    """Points to learn from, as an `ImageTask` or an `OccupancyTask`. Neither needs torch."""

    loss: ClassVar[Loss]  # what Adam minimises, as a mean over points and channels
    unit: ClassVar[str]  # what a row is, in the plural: "pixels"

    @property
    def coordinates(self) -> NDArray[np.float32]:
        """Return the coordinates (m, d), in [0, 1]."""

    @property
    def values(self) -> NDArray[np.float32]:
        """Return the values (m, c), in [0, 1]."""

    @property
    def learnt(self) -> NDArray[np.int64]:
        """Return the rows that training draws from, ascending."""

    @property
    def channels(self) -> int:
        """Return c."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Return what a user should know about how the data was read."""

    @property
    def truth(self) -> Picture:
        """Return a picture of what is to be learnt."""

    def sample(self, pattern: str, n: int, seed: int) -> NDArray[np.int64]:
        """Choose the rows of a kernel: about n, ascending. UsageError if that is impossible."""

    def judge(
        self, predicted: NDArray[np.float32], predict: Predict, device: torch.device | str = "cpu"
    ) -> tuple[dict[str, float], Picture | None]:
        """Return metrics beside the loss, and what the network draws; None if there is nothing to see.

        Args:
            predicted: (m, c), the network at `coordinates`.
            predict: the network at any other coordinates.
            device: where to compute metrics for which PyTorch is used.
        """
