"""Define the extras of the package: what they install, and the error if one is missing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial

from ntkspec.errors import NotInstalledError


@contextlib.contextmanager
def _needs(extra: str, expected: str, modules: tuple[str, ...], where: str) -> Iterator[None]:
    """Turn the failure of an import inside into an error that says how to install an extra.

    Args:
        extra: its name.
        expected: what it installs, for the message.
        modules: the same, as they are imported.
        where: what needs it, for the message.

    Raises:
        NotInstalledError: one of the modules is missing.
    """
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


# Each takes what needs the extra, for the message.
needs_torch = partial(
    _needs,
    "torch",
    "PyTorch and its companions",
    ("torch", "torchmetrics", "skimage", "trimesh", "tifffile", "imagecodecs"),
)
needs_cluster = partial(
    _needs,
    "cluster",
    "Dask and its companions",
    ("dask", "distributed", "dask_jobqueue", "cryptography", "filelock"),
)
needs_completion = partial(_needs, "completion", "shtab", ("shtab",))
needs_notebook = partial(_needs, "notebook", "pandas", ("pandas",))
