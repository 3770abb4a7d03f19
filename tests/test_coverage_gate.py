"""The gate of `make test`: what it lets pass, what it does not, and when it does not judge."""

from __future__ import annotations

import json
import re
from pathlib import Path

import coverage_gate
import pytest
from conftest import ROOT


def measured(folder: Path, lines: int, branches: int) -> str:
    """Return a report in the form of `coverage json`, on 200 lines and 100 branches."""
    file = {
        "missing_lines": [*range(lines, 200)],
        "missing_branches": [[n, n + 1] for n in range(branches, 100)],
    }
    totals = {
        "covered_lines": lines,
        "num_statements": 200,
        "covered_branches": branches,
        "num_branches": 100,
    }
    report = folder / "report.json"
    report.write_text(json.dumps({"files": {"pybootcfg/x.py": file}, "totals": totals}))
    return str(report)


@pytest.fixture
def everything_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in coverage_gate.FOLDERS:
        monkeypatch.setenv(name, "x")
    monkeypatch.setattr(coverage_gate.shutil, "which", lambda program: program)


@pytest.mark.usefixtures("everything_is_there")
@pytest.mark.parametrize(
    ("lines", "branches", "status", "words"),
    [
        (200, 100, 0, "100.00 % of 200 lines"),
        (200, 95, 0, "95->96, 96->97"),
        (200, 94, 1, "TOO LITTLE"),
        (199, 100, 1, "pybootcfg/x.py: 199"),
    ],
)
def test_less_than_is_wanted_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], lines: int, branches: int, status: int, words: str
) -> None:
    assert coverage_gate.main(measured(tmp_path, lines, branches), "100", "95") == status
    assert words in capsys.readouterr().out


@pytest.mark.usefixtures("everything_is_there")
@pytest.mark.parametrize("lacking", ["PYBOOTCFG_CORPUS", "mtools"])
def test_what_tests_were_skipped_for_is_said_and_nothing_judged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, lacking: str
) -> None:
    monkeypatch.delenv(lacking, raising=False)
    absent = coverage_gate.JUDGES.get(lacking)
    monkeypatch.setattr(coverage_gate.shutil, "which", lambda program: None if program == absent else program)
    assert coverage_gate.main(measured(tmp_path, 100, 50), "100", "95") == 0
    assert re.search(rf"NOT JUDGED, since .* for want of \$?{lacking}$", capsys.readouterr().out.strip())


def test_the_judges_are_those_of_the_makefile() -> None:
    """Those that are always to be had; a first command, of several lines."""
    found = re.search(r"^judges:\n((?:.*\\\n)*.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert found is not None
    words = found[1].replace("\\\n", " ").split()
    assert words[words.index("--no-install-recommends") + 1 :] == list(coverage_gate.JUDGES)
