"""Make pandas data frames; nothing else of the package knows pandas, which the extra notebook installs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ntkspec.extras import needs_notebook

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from pandas import DataFrame as DataFrame


def data_frame(columns: Mapping[str, Sequence[Any] | NDArray[np.generic]]) -> DataFrame:
    """Return a data frame with these columns, all of the same length; None becomes NaN.

    Raises:
        NotInstalledError: there is no pandas.

    Example:
        >>> data_frame({"index": [1, 2], "eigenvalue": [4.0, 1.0]}).shape
        (2, 2)
    """
    with needs_notebook("a data frame"):
        import pandas
    return pandas.DataFrame(
        {
            name: [math.nan if value is None else value for value in column]
            if isinstance(column, list | tuple)
            else column
            for name, column in columns.items()
        }
    )
