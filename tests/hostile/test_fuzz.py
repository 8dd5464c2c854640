"""A few damaged files of the fuzzer's, and that it finds what it looks for. `make fuzz` makes thousands."""

from __future__ import annotations

import shutil
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the fuzzer weighs its children by /proc")


def test_damaged_files_are_refused_or_read_rightly(tmp_path):
    from hostile import fuzz

    summary = fuzz.fuzz(files=40, seed=11, processes=1, keep=str(tmp_path / "kept"), limit=60, share=50)
    assert not any(summary["findings"].values()), summary
    assert summary["refused because"]["the contract"] > 3
    assert summary["peak_MiB"] < 512


def test_the_fuzzer_sees_a_wrong_number(tmp_path, monkeypatch):
    """With the checksums switched off, changed numbers pass; it must say so."""
    from hostile import fuzz

    monkeypatch.setattr("ntkspec.store.digest.compare_crc", lambda *_: None)
    monkeypatch.setattr("ntkspec.store.digest.compare_digest", lambda *_: None)
    monkeypatch.setattr(fuzz.mutations, "BYTES", (fuzz.mutations.flip_bits,))
    monkeypatch.setattr(fuzz.bases, "make", lambda folder, make=fuzz.bases.make: make(folder)[:1])
    summary = fuzz.fuzz(files=12, seed=4, processes=1, keep=str(tmp_path / "kept"), limit=60, share=1000)
    assert summary["findings"]["wrong number"] > 0
    assert len(list((tmp_path / "kept").glob("*.h5"))) >= summary["findings"]["wrong number"]


@pytest.mark.parametrize("finding", ["traceback", "hang", "crash", "outside", "left", "stderr", "exit code"])
def test_the_fuzzer_sees_a(finding, tmp_path, monkeypatch):
    import os
    import time
    from pathlib import Path

    from hostile import fuzz

    def misbehave(argv):
        if finding == "traceback":
            raise ZeroDivisionError
        if finding == "hang":
            time.sleep(60)
        if finding == "crash":
            os.abort()
        if finding == "outside":
            Path("../elsewhere").write_text("x")
        if finding == "left":
            Path("out").mkdir()
        if finding == "stderr":
            print("a line of its own", file=sys.stderr)
        return 3 if finding == "exit code" else 0

    monkeypatch.setattr(fuzz.validate, "main", misbehave)
    shutil.rmtree(tmp_path / "arena", ignore_errors=True)
    (tmp_path / "arena").mkdir()
    outcome = fuzz.Outcome(0, "", "", "", 0)
    fuzz.examine(outcome, b"", tmp_path / "arena", fuzz.READ, 1 if finding == "hang" else 60)
    assert finding in outcome.findings
