"""Record a field while Lightning trains it: `python analysis/lightning_example/lightning_field.py OUT.h5`.

`make test-lightning` runs this in an environment of its own. The field learns a ring of waves.
"""

from __future__ import annotations

import sys
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from ntkspec.export.lightning import RecorderCallback

SAMPLES, STEPS, WIDTH = 256, 300, 32


class Fit(pl.LightningModule):  # type: ignore[misc]  # checked where Lightning is not installed
    """Fits a field to colours, as a user of Lightning writes it."""

    def __init__(self) -> None:
        super().__init__()
        layers = [nn.Linear(2, WIDTH), nn.SiLU(), nn.Linear(WIDTH, WIDTH), nn.SiLU(), nn.Linear(WIDTH, 1)]
        self.field = nn.Sequential(*layers)

    def training_step(self, batch: list[Tensor], number: int) -> Tensor:
        """Return the loss of a batch."""
        x, y = batch
        loss = nn.functional.mse_loss(self.field(x), y)
        self.log("loss", loss)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return the optimizer."""
        return torch.optim.Adam(self.parameters(), lr=1e-2)


def data() -> tuple[Tensor, Tensor]:
    """Return coordinates (n, 2) and colours (n, 1)."""
    x = torch.rand(SAMPLES, 2, generator=torch.Generator().manual_seed(0))
    return x, (x.square().sum(1, keepdim=True) * 20).sin()


def main(path: str) -> None:
    """Train and record."""
    pl.seed_everything(0)
    x, y = data()
    recorder: Any = RecorderCallback(
        path, x, every=100, targets=y, model=lambda module: module.field, overwrite=True
    )
    trainer = pl.Trainer(
        max_steps=STEPS, accelerator="cpu", callbacks=[recorder], logger=False, enable_checkpointing=False
    )
    trainer.fit(Fit(), DataLoader(TensorDataset(x, y), batch_size=64, shuffle=True))


if __name__ == "__main__":
    main(sys.argv[1])
