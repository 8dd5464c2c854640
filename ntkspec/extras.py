"""What the extras install, and what is said where one is missing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from ntkspec.errors import NotInstalledError

TORCH_WING = ("torch", "torchmetrics", "skimage", "trimesh", "tifffile")  # what the extra `torch` installs
COMPLETION = ("shtab",)  # what the extra `completion` installs
CLUSTER = (
    "dask",
    "distributed",
    "dask_jobqueue",
    "cryptography",
    "filelock",
)  # as does `cluster`


@contextlib.contextmanager
def needs_torch(where: str) -> Iterator[None]:
    """Say in one line, where an import inside fails for lack of the extra `torch`, what to install.

    Raises:
        NotInstalledError: one of `TORCH_WING` is missing.
    """
    with _needs("torch", TORCH_WING, "PyTorch and its companions", where):
        yield


@contextlib.contextmanager
def needs_cluster(where: str) -> Iterator[None]:
    """Say in one line, where an import inside fails for lack of the extra `cluster`, what to install.

    Raises:
        NotInstalledError: one of `CLUSTER` is missing.
    """
    with _needs("cluster", CLUSTER, "Dask and its companions", where):
        yield


@contextlib.contextmanager
def needs_completion(where: str) -> Iterator[None]:
    """Say in one line, where an import inside fails for lack of the extra `completion`, what to install.

    Raises:
        NotInstalledError: one of `COMPLETION` is missing.
    """
    with _needs("completion", COMPLETION, "shtab", where):
        yield


@contextlib.contextmanager
def _needs(extra: str, modules: tuple[str, ...], expected: str, where: str) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        if isinstance(error, NotInstalledError) or (error.name or "").split(".")[0] not in modules:
            raise
        missing = NotInstalledError(
            where,
            expected=expected,
            got=f"no module named {error.name!r}",
            remedy=f'run: pip install "ntkspec[{extra}]"',
        )
        missing.name = error.name
        raise missing from error
