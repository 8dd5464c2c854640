"""The report of a population: from the report.json files of many runs to one page, tables and figures.

- `records`, `reading`: what is kept of a run, read out of its report.json, one file at a time;
- `enclosures`: means and quantiles of numbers that are known between two ends only;
- `cohorts`: runs of one label at one snapshot, and their statistics; `labels`: how labels are shown;
- `wording`, `headline`, `table`: the numbers in words;
- `spectra_figure`, `metrics_figure`, `figures`: what is drawn; `page`, `to_csv`, `to_json`: what is written;
- `write`: the folder, complete or not there at all.

Importing it loads neither matplotlib nor Jinja.
"""

from ntkspec.population.report.records import Failed
from ntkspec.population.report.write import check_folder, write_population

__all__ = ["Failed", "check_folder", "write_population"]
