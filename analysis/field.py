"""A model of your own, and the checkpoints of its training: `python analysis/field.py`.

It stands for what you have already. It leaves field-0.pt, field-300.pt and the samples field-x.npy in the
current directory; `python -m ntkspec.export --model analysis.field:make` makes a run file of them.
"""

import numpy as np
import torch
from torch import nn

STEPS = 300


def make() -> nn.Module:
    """Build the model as it was built for the training: this is the factory."""
    return nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))


def main() -> None:
    """Learn a ring of waves from points of the unit square, and keep what a training keeps."""
    torch.manual_seed(0)
    model, x = make(), torch.rand(256, 2)
    targets = torch.sin(30 * (x - 0.5).norm(dim=1, keepdim=True))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    np.save("field-x.npy", x.numpy())
    torch.save({"state_dict": model.state_dict(), "step": 0}, "field-0.pt")
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(x), targets)
        loss.backward()  # type: ignore[no-untyped-call]  # untyped in torch
        optimizer.step()
    torch.save({"state_dict": model.state_dict(), "step": STEPS}, f"field-{STEPS}.pt")


if __name__ == "__main__":
    main()
