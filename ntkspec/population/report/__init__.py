"""Write the report of a population: one page, tables and figures from the report.json files of many runs.

- `reading`: what is kept of each run, read from its report.json, one file at a time;
- `enclosures`: means and quantiles of numbers that are known only to lie between two ends;
- `cohorts`: runs of one label at one snapshot, and their statistics; `labels`: how labels are shown;
- `wording`, `headline`: the numbers in words, and their table;
- `spectra_figure`, `metrics_figure`: the figures; `page`, `to_csv`, `to_json`: the other files;
- `write`: the folder, which is written whole or not at all.

Importing it loads neither matplotlib nor Jinja.
"""

from ntkspec.population.report.reading import Failed
from ntkspec.population.report.write import check_folder, write_population

__all__ = ["Failed", "check_folder", "write_population"]
