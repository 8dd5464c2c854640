"""One report of six runs, made and written once."""

from __future__ import annotations

from pathlib import Path

import pytest

from ntkspec.report import write_report
from ntkspec.report.records import Report

from . import samples


@pytest.fixture(scope="session")
def report() -> Report:
    """Baseline, three FFEs, two MPEs."""
    return samples.six_runs(size=64)


@pytest.fixture(scope="session")
def folder(report: Report, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its report folder; not to be changed."""
    folder = tmp_path_factory.mktemp("written") / "report"
    write_report(report, folder)
    return folder
