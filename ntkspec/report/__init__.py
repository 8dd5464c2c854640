"""Write reports: their records, and terminal, JSON, CSV, figures and a page, which are made from these."""

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
