"""What the extra `torch` installs, and what is said where it is missing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from ntkspec.errors import NotInstalledError

TORCH_WING = ("torch", "torchmetrics", "skimage", "trimesh", "tifffile")  # what the extra installs


@contextlib.contextmanager
def needs_torch(where: str) -> Iterator[None]:
    """Say in one line, where an import inside fails for lack of the extra `torch`, what to install.

    Raises:
        NotInstalledError: one of `TORCH_WING` is missing.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if isinstance(error, NotInstalledError) or (error.name or "").split(".")[0] not in TORCH_WING:
            raise
        missing = NotInstalledError(
            where,
            expected="PyTorch and its companions",
            got=f"no module named {error.name!r}",
            remedy='run: pip install "ntkspec[torch]"',
        )
        missing.name = error.name
        raise missing from error
