"""How inspect behaves on a terminal and in a pipe: colours, width, characters, pictures, memory."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

import ext_image
import pytest
from inspect_tools import Disk, Run, screen


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
    text = screen(columns, "inspect", sample, "mbr.boot_code")
    assert len(text.splitlines()[1].split("|")[1].split("…")[0].split()) == shown


def test_bytes_fit_the_terminal(sample: Path) -> None:
    text = screen(80, "inspect", sample, "p1.inode[2]")
    (line,) = [line for line in text.splitlines() if " i_block: " in line]
    assert len(line) <= 80
    assert line.endswith("… (60 bytes)")


@pytest.mark.parametrize(
    ("options", "environment", "coloured"),
    [
        ([], {"NO_COLOR": ""}, True),  # an empty one does not count (no-color.org)
        ([], {}, False),  # `screen` sets NO_COLOR
        (["--color", "always"], {}, True),
        (["--color", "never"], {"NO_COLOR": "", "FORCE_COLOR": "1"}, False),
        ([], {"NO_COLOR": "", "TERM": "dumb"}, False),
        ([], {"NO_COLOR": "", "TERM": "dumb", "FORCE_COLOR": "1"}, True),
        ([], {"FORCE_COLOR": "1"}, False),  # NO_COLOR comes first
    ],
)
def test_colours_of_a_terminal(
    sample: Path, options: list[str], environment: dict[str, str], coloured: bool
) -> None:
    environment = {"TERM": "xterm-256color", **environment}
    assert ("\x1b[" in screen(80, "inspect", *options, sample, "mbr", **environment)) == coloured


def test_a_pipe_has_no_colours_and_80_columns(pybootcfg: Run, sample: Path) -> None:
    names = ("NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE", "COLUMNS")
    plain = {name: value for name, value in os.environ.items() if name not in names}
    plain["PYTHONSAFEPATH"] = "1"
    piped = pybootcfg("inspect", sample, "mbr", env=plain).stdout
    assert "\x1b" not in piped
    assert piped == pybootcfg("inspect", sample, "mbr", env={**plain, "COLUMNS": "200"}).stdout
    assert piped == screen(80, "inspect", sample, "mbr")
    forced = pybootcfg("inspect", sample, "mbr", env={**plain, "FORCE_COLOR": "1"}).stdout
    assert "\x1b[" in forced


def test_it_ends_quietly_when_nobody_reads_on(disk: Disk) -> None:
    image = disk("ext/ext4-default.img")
    code = "import sys; from pybootcfg.cli.commands import main; sys.exit(main())"
    command = [sys.executable, "-P", "-c", code, "inspect", "--all", str(image)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(timeout=60) == -signal.SIGPIPE
        assert process.stderr.read() == b""


def test_output_is_the_same_each_time_and_everywhere(pybootcfg: Run, sample: Path) -> None:
    runs = [
        pybootcfg(
            "inspect", sample, "p1:/boot/grub/grub.cfg",
            env={**os.environ, "PYTHONSAFEPATH": "1", "PYTHONHASHSEED": seed, "TZ": zone},
        ).stdout
        for seed, zone in (("1", "UTC"), ("2", "Pacific/Auckland"))
    ]  # fmt: skip
    assert runs[0] == runs[1]
    assert re.search(r"mtime: \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", runs[0])


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_is_for_terminals_and_long_work(disk: Disk, tmp_path: Path, terminal: bool) -> None:
    """Standard error tells how far a dump into a file has come, if it is a terminal."""
    image = disk("ext/ext4-default.img")
    # time runs as fast as the program looks at it, so that the second is over at once
    code = (
        "import sys, time, itertools; ticks = itertools.count();"
        "time.monotonic = lambda: next(ticks) * 0.001;"
        "from pybootcfg.cli.commands import main; sys.exit(main())"
    )
    reader, writer = pty.openpty() if terminal else os.pipe()
    command = [sys.executable, "-P", "-c", code, "inspect", "--all", "--jsonl", str(image)]
    with (tmp_path / "dump").open("wb") as dump:
        subprocess.run(command, stdout=dump, stderr=writer, check=True, timeout=60)
    os.set_blocking(reader, False)
    told = b""
    with contextlib.suppress(OSError):
        told = os.read(reader, 65536)
    os.close(writer)
    os.close(reader)
    assert (b"structures" in told) == terminal
    assert told.endswith(b"\r\x1b[K") == terminal
    assert (tmp_path / "dump").read_bytes().count(b"\n") > 5000


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ext4 whose bitmaps say that all of its 50,000 inodes are in use; making as many files takes long."""
    options = ["-t", "ext4", "-b", "1024", "-N", "50000", "-O", "^metadata_csum,^uninit_bg"]
    image = ext_image.mke2fs(tmp_path_factory.mktemp("many") / "i", *options, size="32M")
    told = ext_image.run("dumpe2fs", image)
    per_group = int(re.search(r"Inodes per group: +(\d+)", told)[1])  # type: ignore[index]
    with image.open("r+b") as stream:
        for block in re.findall(r"Inode bitmap at (\d+)", told):
            stream.seek(int(block) * 1024)
            stream.write(b"\xff" * (per_group // 8))
    return image


def test_memory_stays_flat_over_50000_inodes(many: Path, sample: Path) -> None:
    """Nodes are written as they are read."""
    code = (
        "import sys; from pybootcfg.cli import commands, inspection;"
        "inspection.inspect(commands._parser().parse_args(['inspect', *sys.argv[1:]]));"
        "print(*[line for line in open('/proc/self/status') if 'VmHWM' in line], file=sys.stderr)"
    )
    few, lots = (
        subprocess.run(
            [sys.executable, "-P", "-c", code, *words],
            stdout=(many.parent / "dump").open("w"),
            stderr=subprocess.PIPE, text=True, check=True, timeout=300,
        )
        for words in (["--jsonl", str(sample), "mbr"], ["--jsonl", "--all", str(many)])
    )  # fmt: skip
    kilobytes = [int(done.stderr.split()[-2]) for done in (few, lots)]
    assert (many.parent / "dump").read_bytes().count(b'{"name": "p0.inode[') >= 50_000
    print(f"peak RSS: {kilobytes[0]} KB for a table, {kilobytes[1]} KB for 50,000 inodes")
    assert kilobytes[1] < kilobytes[0] + 16_000
