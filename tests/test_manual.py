"""The manual pages: current, complete, and as the formatters want them."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from pybootcfg.cli import manual, programs

ROOT = Path(__file__).parent.parent
PAGES = sorted((ROOT / "docs/man").iterdir())
Run = Callable[..., "CompletedProcess[str]"]


@pytest.mark.parametrize("path", manual.files())
def test_what_is_made_is_current(path: str) -> None:
    hint = "run: python -m pybootcfg.cli.manual ."
    assert (ROOT / path).read_text() == manual.files()[path], hint


def test_there_is_nothing_else() -> None:
    there = [file for name in ("docs/man", "completions") for file in (ROOT / name).rglob("*")]
    made = {str(file.relative_to(ROOT)) for file in there if file.is_file()}
    assert made == set(manual.files())


def test_pygrubs_options_are_those_of_its_usage(pygrub: Run, sample: Path) -> None:
    usage = pygrub("--help", sample).stderr
    assert usage.startswith("usage: pygrub")
    told = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", usage)) | {"-h", "--help"}
    assert told == {name for option in programs.PYGRUB.options for name in option.names}


def test_pygrubs_options_are_taken(pygrub: Run, sample: Path) -> None:
    for option in programs.PYGRUB.options:
        for name in option.names:
            given = f"{name}={option.choices[0] if option.choices else 1}" if option.value else name
            done = pygrub("--help", given, sample)
            assert "not recognized" not in done.stderr, given
            assert "requires argument" not in done.stderr, given


def test_pybootcfgs_commands_are_in_its_help(pybootcfg: Run) -> None:
    page = (ROOT / "docs/man/pybootcfg.1").read_text()
    shown = pybootcfg("--help").stdout
    for command in programs.pybootcfg().commands:
        assert command.name in shown
        assert re.search(rf"^\.SS {command.name}\b", page, re.MULTILINE)
        for option in command.options:
            assert all(name.replace("-", r"\-") in page for name in option.names)


@pytest.mark.skipif(not shutil.which("mandoc"), reason="mandoc judges the pages")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_mandoc_has_nothing_to_say(page: Path) -> None:
    done = subprocess.run(["mandoc", "-T", "lint", page], capture_output=True, text=True, check=False)
    assert done.stdout + done.stderr == ""


@pytest.mark.skipif(not shutil.which("groff"), reason="groff formats the pages")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_groff_has_nothing_to_say(page: Path) -> None:
    done = subprocess.run(
        ["groff", "-ww", "-man", "-Tascii", "-P-cbou", page], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    for heading in ("NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "EXAMPLES", "SEE ALSO"):
        assert re.search(rf"^{heading}\b", done.stdout, re.MULTILINE)
