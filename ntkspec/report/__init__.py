"""Write reports: their records, and terminal, JSON, CSV, figures and a page, which are made from these.

- `records`: what was found of each run; `compare`: how runs compare;
- `names`, `words`, `grouping`: names and numbers as text; `style`: order, colours and stages of runs;
- `targets`, `headline`: what runs learnt, how well, and what that means, in sentences;
- `summary`: the table of all runs and the notes on it;
- `moments`, `through_training`, `thinning`: which snapshots, numbers and points are drawn;
- `canvas`, `curves`, `legends`, `figures`: the figures; `themes`: their colours on a dark background;
- `page`, `page_*`, `html`: index.html; `terminal`, `terminal_*`: what is printed;
- `to_json`, `from_json`, `tree`, `to_csv`: files of numbers; `write`, `folders`, `places`: where files go.
"""

from ntkspec.report.from_json import read_report
from ntkspec.report.records import Comparison, Report, RunReport, SnapshotReport
from ntkspec.report.to_json import to_json
from ntkspec.report.write import check_folder, check_json_file, write_json_file, write_report
from ntkspec.spectral.bounds.checked import CheckedBound

__all__ = [
    "CheckedBound",
    "Comparison",
    "Report",
    "RunReport",
    "SnapshotReport",
    "check_folder",
    "check_json_file",
    "read_report",
    "to_json",
    "write_json_file",
    "write_report",
]
