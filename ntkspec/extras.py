"""Define the extras of the package: what they install, and the error if one is missing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from ntkspec.errors import NotInstalledError

# The modules that the extras `torch`, `cluster`, `completion` and `notebook` install.
TORCH_WING = ("torch", "torchmetrics", "skimage", "trimesh", "tifffile")
CLUSTER = ("dask", "distributed", "dask_jobqueue", "cryptography", "filelock")
COMPLETION = ("shtab",)
NOTEBOOK = ("pandas",)


@contextlib.contextmanager
def needs_torch(where: str) -> Iterator[None]:
    """Turn the failure of an import inside into an error that says how to install the extra `torch`.

    Args:
        where: what needs it, for the message.

    Raises:
        NotInstalledError: one of `TORCH_WING` is missing.
    """
    with _needs("torch", TORCH_WING, "PyTorch and its companions", where):
        yield


@contextlib.contextmanager
def needs_cluster(where: str) -> Iterator[None]:
    """Turn the failure of an import inside into an error that says how to install the extra `cluster`.

    Args:
        where: what needs it, for the message.

    Raises:
        NotInstalledError: one of `CLUSTER` is missing.
    """
    with _needs("cluster", CLUSTER, "Dask and its companions", where):
        yield


@contextlib.contextmanager
def needs_completion(where: str) -> Iterator[None]:
    """Turn the failure of an import inside into an error that says how to install the extra `completion`.

    Raises:
        NotInstalledError: one of `COMPLETION` is missing.
    """
    with _needs("completion", COMPLETION, "shtab", where):
        yield


@contextlib.contextmanager
def needs_notebook(where: str) -> Iterator[None]:
    """Turn the failure of an import inside into an error that says how to install the extra `notebook`.

    Args:
        where: what needs it, for the message.

    Raises:
        NotInstalledError: one of `NOTEBOOK` is missing.
    """
    with _needs("notebook", NOTEBOOK, "pandas", where):
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
