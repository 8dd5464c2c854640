"""The comparison of two reports sees what matters, and lists the rest."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ntkspec.report.to_json import to_json

from . import samples

sys.path.append(str(Path(__file__).parents[2] / "analysis" / "studies"))
from same_report import differences, main


def changed(report, change):
    """With `change` made to the first spectrum of the first snapshot."""
    run = report.runs[0]
    snapshot = run.snapshots[0]
    spectra = {**snapshot.spectra, "total": change(snapshot.spectra["total"])}
    run = replace(run, snapshots=(replace(snapshot, spectra=spectra), *run.snapshots[1:]))
    return replace(report, runs=(run, *report.runs[1:]))


def test_equal_reports_have_no_differences():
    assert list(differences(to_json(samples.six_runs(48)), to_json(samples.six_runs(48)))) == []


@pytest.mark.parametrize(
    ("change", "matters"),
    [
        (lambda s: replace(s, method="svd" if s.method != "svd" else "gram"), True),
        (lambda s: replace(s, eigenvalues=s.eigenvalues * 1.5), True),
        (lambda s: replace(s, eigenvalues=s.eigenvalues + s.error / 4), False),
        (lambda s: replace(s, floor=s.floor * (1 + 1e-12)), False),
        (lambda s: replace(s, floor=s.floor * 2), True),
    ],
)
def test_what_matters(change, matters):
    report = samples.six_runs(48)
    found = list(differences(to_json(report), to_json(changed(report, change))))
    assert found
    assert any(difference.matters for difference in found) == matters


def test_the_command(tmp_path, monkeypatch, capsys):
    from ntkspec.report.write import write_json_file

    one, two = tmp_path / "one.json", tmp_path / "two.json"
    write_json_file(samples.six_runs(48), one)
    write_json_file(changed(samples.six_runs(48), lambda s: replace(s, floor=s.floor * 2)), two)
    monkeypatch.setattr("sys.argv", ["same_report.py", str(one), str(one)])
    assert main() == 0
    monkeypatch.setattr("sys.argv", ["same_report.py", str(one), str(two)])
    assert main() == 1
    assert "MATTERS" in capsys.readouterr().out
