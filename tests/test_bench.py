"""bench/: the tables are made of what was run and found right."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import PLAIN_ENVIRONMENT

from bench import guest, measure, report, scale

ROOT = Path(__file__).parent.parent
TOOLS = ("mke2fs", "debugfs", "e2fsck")


@pytest.mark.skipif(not shutil.which("mke2fs"), reason="mke2fs makes the image")
@pytest.mark.skipif(
    not Path(sys.executable).with_name("pygrub").exists(), reason="pygrub is not installed beside this Python"
)
def test_a_small_run(tmp_path: Path) -> None:
    document = tmp_path / "performance.md"
    document.write_text(f"# before\n\n{report.BEGIN}\nold\n{report.END}\n\nafter\n")
    command = [sys.executable, "-m", "bench", "--runs", "1", "--kernel", "70001", "--ramdisk", "300007"]
    command += ["--only", "ext4 1k", "--no-scale", "--work", str(tmp_path), "--write", str(document)]
    # `bench` is run from the checkout, which is where conftest.py keeps other processes from looking
    options = {"cwd": ROOT, "env": PLAIN_ENVIRONMENT, "timeout": 300}
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, done.stderr
    text = document.read_text()
    assert text.startswith("# before\n\n")
    assert text.endswith("\n\nafter\n")
    assert "old" not in text
    rows = [line for line in text.splitlines() if line.startswith("| **pybootcfg's pygrub** |")]
    assert len(rows) == 2  # with and without the copies
    assert "### Versions" in text
    assert not [path for path in tmp_path.iterdir() if path != document]


def _copy(source: Path, out: Path, change: str = "") -> list[str | Path]:
    return [
        "sh",
        "-c",
        f'cp "$1"/boot/vmlinuz "$1"/boot/initrd.img "$2"; cd "$2"; {change}',
        "sh",
        source,
        out,
    ]


@pytest.fixture
def made(tmp_path: Path) -> guest.Guest:
    return guest.make(tmp_path / "guest", kernel=5000, ramdisk=9000)


def test_what_is_right_is_counted(made: guest.Guest, tmp_path: Path) -> None:
    out = tmp_path / "out"
    check = measure.expect_files(out, [made.kernel, made.ramdisk])
    commands = [measure.Command(name, _copy(made.tree, out), check) for name in ("one", "other")]
    results = measure.run_in_turn(commands, out, runs=3)
    assert [(result.name, len(result.runs)) for result in results] == [("one", 3), ("other", 3)]
    assert all(run.cpu > 0 and run.memory > 0 for result in results for run in result.runs)


@pytest.mark.parametrize(
    "change",
    [
        "printf x | dd of=initrd.img bs=1 seek=8999 conv=notrunc 2>/dev/null",
        "truncate -s -1 vmlinuz",
        "rm vmlinuz",
        "cp vmlinuz another",
        "cp vmlinuz initrd.img",
        "exit 3",
    ],
)
def test_what_is_wrong_stops_the_measuring(made: guest.Guest, tmp_path: Path, change: str) -> None:
    out = tmp_path / "out"
    check = measure.expect_files(out, [made.kernel, made.ramdisk])
    command = measure.Command("a program", _copy(made.tree, out, change), check)
    with pytest.raises(measure.WrongResult, match="a program"):
        measure.run_once(command, out)


def test_a_missing_word_stops_the_measuring(tmp_path: Path) -> None:
    command = measure.Command("a program", ["echo", "this"], measure.expect_output([b"that"]))
    with pytest.raises(measure.WrongResult, match="that"):
        measure.run_once(command, tmp_path / "out")


@pytest.mark.skipif(not all(map(shutil.which, TOOLS)), reason="the tools of ext4 make the directory")
def test_the_huge_directory_is_one(tmp_path: Path) -> None:
    scale.huge_directory(tmp_path, 5000)
    command = ["debugfs", "-R", "htree_dump /large", tmp_path / "directory.img"]
    dump = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "Root node dump" in dump
    listing = ["debugfs", "-R", "ls -p /large", tmp_path / "directory.img"]
    names = subprocess.run(listing, capture_output=True, text=True, check=True).stdout.splitlines()
    assert len([line for line in names if "/file-" in line]) == 5000 - 2  # two became `.` and `..`
