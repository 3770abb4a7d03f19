"""How inspect behaves on a terminal and in a pipe: colours, width, characters, pictures, memory."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from inspect_tools import Run


def test_depth_and_array_fold(pybootcfg: Run, sample: Path) -> None:
    shown = pybootcfg("inspect", sample, "mbr", "--depth", "1").stdout
    assert "4 fields (--depth)" in shown
    assert "boot_indicator" not in shown
    shown = pybootcfg("inspect", sample, "mbr", "--array", "1").stdout
    assert shown.count("boot_indicator") == 1
    assert "3 more (--array)" in shown


def test_pictures(pybootcfg: Run, sample: Path, tmp_path: Path) -> None:
    for number in (1, 2):
        done = pybootcfg(
            "inspect", sample, "--svg", tmp_path / f"{number}.svg", "--html", tmp_path / f"{number}.html"
        )
        assert (done.returncode, done.stdout) == (0, ""), done.stderr
    drawn = (tmp_path / "1.svg").read_text()
    assert drawn == (tmp_path / "2.svg").read_text()
    assert "metadata" in drawn
    assert "url(http" not in drawn  # nothing is fetched from elsewhere
    assert "p1:/boot/grub/grub.cfg" in (tmp_path / "1.html").read_text()


def test_colours_are_alike_on_field_and_bytes(pybootcfg: Run, sample: Path) -> None:
    shown = pybootcfg("inspect", "--color", "always", sample, "p1.superblock.s_magic").stdout
    assert shown.count("\x1b[36m") == 3
    environment = {**os.environ, "NO_COLOR": "1", "PYTHONSAFEPATH": "1"}
    assert "\x1b" not in pybootcfg("inspect", sample, env=environment).stdout


def test_ascii_where_the_locale_has_no_more(pybootcfg: Run, sample: Path) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONSAFEPATH": "1"}
    shown = pybootcfg("inspect", sample, "mbr", env=environment).stdout
    assert shown.isascii()
    assert "..." in shown


@pytest.mark.parametrize(("columns", "shown"), [(80, 8), (160, 16)])
def test_a_wide_terminal_gets_more_bytes(sample: Path, columns: int, shown: int) -> None:
    reader, writer = pty.openpty()
    termios.tcsetwinsize(writer, (24, columns))
    code = "import sys; from pybootcfg.cli.commands import main; sys.exit(main())"
    environment = {**os.environ, "NO_COLOR": "1", "PYTHONSAFEPATH": "1"}
    environment.pop("COLUMNS", None)
    command = [sys.executable, "-c", code, "inspect", str(sample), "mbr.boot_code"]
    subprocess.run(command, stdout=writer, check=True, timeout=60, env=environment)
    os.close(writer)
    text = os.read(reader, 10000).decode()
    os.close(reader)
    assert len(text.splitlines()[1].split("|")[1].split("…")[0].split()) == shown
