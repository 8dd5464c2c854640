"""All eigenvalues on one GPU, as a prototype was measured, and a plan for several GPUs.

Nothing for several GPUs is built or measured. The matrix is dealt out by rows, `BAND` at a time in turn, so
that each device has as much of what is left at every step. A step takes a panel of `BAND` columns:

1. every device sends its rows of the panel to all others, which all factorise it: V and T;
2. every device multiplies its rows of A by V, and sends them to all others: X, from which W follows;
3. every device updates its own rows: A -= V W^T + W V^T.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

BAND = 64
# Of the prototype on one H200, whose times at five sizes `PROTOTYPE` they describe; see docs/scale.md.
REDUCTION_RATE = 33.5e12  # a second in the products of a step, 2 n^3 operations in all
PANEL_S = 0.9e-3  # of a step beside its products: the panel's QR above all
CHASE_S = 3.8e-10  # band to tridiagonal, times n^2
BISECTION_S = 1.1e-10  # tridiagonal to eigenvalues, times n^2
PROTOTYPE = {8192: 0.23, 16384: 0.83, 32768: 3.3, 65536: 19.8, 102400: 70.0}  # rows -> seconds, H200
# Data sheets of the H100 SXM; bytes a second one way. Half of the figure for both ways.
LINKS: Mapping[str, float] = {"NVLink 4": 450e9, "PCIe 5 x16": 64e9}
REACHED = 0.7  # of a link, assumed
LATENCY_S = 30e-6  # of an exchange among all devices, assumed


@dataclass(frozen=True)
class Slabs:
    """One matrix of n rows over some GPUs of one machine."""

    n: int
    gpus: int

    @property
    def held_bytes(self) -> float:
        """Bytes on each device: its rows of A, and V, W, X and a panel, whole."""
        return 8.0 * self.n * (self.n / self.gpus + 4 * BAND)

    @property
    def received_bytes(self) -> float:
        """Bytes that each device receives in all: of each step's panel and X, what others have.

        A step with m rows left sends two times m `BAND` numbers; summed over all steps that is n^2 numbers.
        """
        return 8.0 * self.n**2 * (self.gpus - 1) / self.gpus

    @property
    def steps(self) -> float:
        """Panels."""
        return self.n / BAND

    def seconds(self, link: str) -> float:
        """Return the expected seconds; no step's exchange is hidden behind another's products.

        Panels are factorised everywhere at once, and what follows the band is done on one device: neither
        gets faster by more devices.
        """
        products = 2.0 * self.n**3 / (REDUCTION_RATE * self.gpus)
        exchange = 0.0
        if self.gpus > 1:
            exchange = self.received_bytes / (REACHED * LINKS[link]) + 2 * self.steps * LATENCY_S
        return products + exchange + self.serial_s

    @property
    def serial_s(self) -> float:
        """Seconds that more devices do not shorten."""
        return self.steps * PANEL_S + (CHASE_S + BISECTION_S) * self.n**2
