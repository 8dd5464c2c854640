"""`Spectrum`: eigenvalues of a kernel together with their stated errors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ntkspec.display import NotAnArray, html_table
from ntkspec.frames import data_frame
from ntkspec.spectral import words
from ntkspec.spectral.eigenvalues import Eigenvalues
from ntkspec.spectral.eigenvalues import Method as Method
from ntkspec.spectral.report_values import spectrum_columns, spectrum_to_dict

if TYPE_CHECKING:
    from ntkspec.frames import DataFrame


@dataclass(frozen=True, repr=False, eq=False)
class Spectrum(Eigenvalues, NotAnArray):
    """Eigenvalues of a positive semidefinite kernel, largest first, and the floor below which they are noise.

    Only `eigenvalues[:resolved]` are numbers to quote. The others lie somewhere in [0, floor], and their
    computed values are noise; they are kept, clipped at zero, so that the array has its full length.
    Eigenvalues beyond a bound on the rank are zero, with an error of zero. All of this holds for the
    Jacobian's numbers as they are stored; what is known of the network in exact arithmetic is in `regions`.

    Example:
        >>> import numpy as np
        >>> Spectrum(np.array([4.0, 1.0]), np.zeros(2), 1e-14, 2, 5.0, "gram", "float64")
        Spectrum(2 of 2 eigenvalues resolved above 1.0e-14 by gram, largest 4.0e+00, smallest 1.0e+00)
    """

    _ARRAYS = "its arrays .eigenvalues and .error, (m,), of which the first .resolved are numbers to quote"

    def __repr__(self) -> str:
        network = ""
        if self.network_singular and self.regions and not self.singular:
            network = f", the network's kernel singular: rank <= {self.regions.at_most}"
        return (
            f"Spectrum({self._resolved} by {self.method}, largest {words.lambda_max(self)}, "
            f"smallest {words.lambda_min(self)}{network})"
        )

    @property
    def _resolved(self) -> str:
        computed = "" if self.complete else f"the {len(self)} largest of "
        return (
            f"{self.resolved} of {computed}{self.size} eigenvalues resolved above {words.sci_up(self.floor)}"
        )

    def _repr_html_(self) -> str:
        """Return a table of the numbers that describe the spectrum, for notebooks."""
        rows = [
            ("lambda_max", words.lambda_max(self)),
            ("lambda_min", words.lambda_min(self)),
            ("condition", words.condition(self)),
            ("effective rank", words.rank(self.effective_rank)),
            ("trace", words.sci(self.trace)),
            ("known", words.singular(self) or words.network(self)),
            ("method", f"{self.method}, {self.precision}"),
        ]
        return html_table(f"Spectrum: {self._resolved}", (), [row for row in rows if row[1]])

    def to_frame(self) -> DataFrame:
        """Return a pandas data frame with a row for each eigenvalue, and the columns of spectra.csv.

        The column eigenvalue is a number to quote where resolved is True, and zero where zero is. Where both
        are False the eigenvalue lies somewhere in [0, floor], and the computed value is noise.

        Raises:
            NotInstalledError: there is no pandas.

        Example:
            >>> import numpy as np
            >>> s = Spectrum(np.array([4.0, 1e-15]), np.zeros(2), 1e-14, 2, 4.0, "gram", "float64")
            >>> s.to_frame().query("resolved")["eigenvalue"].tolist()
            [4.0]
        """
        return data_frame(spectrum_columns(self))

    def to_dict(self) -> dict[str, Any]:
        """Return the spectrum as plain numbers, texts and lists, as report.json has it; None: not known.

        Example:
            >>> import numpy as np
            >>> s = Spectrum(np.array([4.0, 1e-15]), np.zeros(2), 1e-14, 2, 4.0, "gram", "float64")
            >>> s.to_dict()["resolved"], s.to_dict()["lambda_min"]
            (1, None)
        """
        return spectrum_to_dict(self)
