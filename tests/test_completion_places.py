"""Completion of places inside an image: what the shells offer, and that nothing on a disk disturbs them."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from test_completion import ROOT, Zsh, needs_bash, needs_fish, needs_zsh

Run = Callable[..., "CompletedProcess[str]"]


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A `pybootcfg` for the shells' PATH, which runs the installed package."""
    folder = tmp_path / "bin"
    folder.mkdir()
    command = folder / "pybootcfg"
    code = "import sys; from pybootcfg.cli.commands import main; sys.exit(main())"
    command.write_text(f"#!/bin/sh\nexec {sys.executable} -P -c '{code}' \"$@\"\n")
    command.chmod(0o755)
    return folder


def offered(pybootcfg: Run, image: Path, place: str) -> list[str]:
    done = pybootcfg("inspect", "--complete", image, place)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    ("place", "some"),
    [
        ("", ["mbr", "p1.", "p1:/"]),
        ("mbr.p", ["mbr.partition_record"]),
        ("mbr.partition_record[", [f"mbr.partition_record[{number}]" for number in range(4)]),
        ("mbr.partition_record[0].os", ["mbr.partition_record[0].os_type"]),
        ("p1.", ["p1.superblock", "p1.group[", "p1.inode[", "p1.journal."]),
        ("p1.group[0]", ["p1.group[0].descriptor", "p1.group[0].inode_bitmap"]),
        ("p1.superblock.s_mag", ["p1.superblock.s_magic"]),
        ("p1.inode[2].d", ["p1.inode[2].directory_block["]),
        ("p1:/", ["p1:/boot/", "p1:/lost+found/"]),
        ("p1:/boot/g", ["p1:/boot/grub/"]),
    ],
)
def test_a_place_goes_on(pybootcfg: Run, sample: Path, place: str, some: list[str]) -> None:
    found = offered(pybootcfg, sample, place)
    assert set(some) <= set(found)
    assert all(name.startswith(place) for name in found)
    assert len(found) == len(set(found)) <= 200


@pytest.mark.parametrize(
    "place", ["p9.", "p1.nothing", "p1:/nothing/", "p1.inode[99999999].", "nonsense", "[[["]
)
def test_what_is_not_there_is_no_error(pybootcfg: Run, sample: Path, place: str) -> None:
    assert offered(pybootcfg, sample, place) == []


def test_no_image_is_no_error(pybootcfg: Run, tmp_path: Path) -> None:
    assert offered(pybootcfg, tmp_path / "missing.img", "p1.") == []
    (tmp_path / "empty.img").touch()
    assert offered(pybootcfg, tmp_path / "empty.img", "p1.") == []


def test_damaged_images_are_no_error(pybootcfg: Run, sample: Path, tmp_path: Path) -> None:
    chance = random.Random(7)  # noqa: S311
    data = sample.read_bytes()
    for number in range(6):
        broken = bytearray(data)
        for _ in range(400):
            broken[(1 << 20) + chance.randrange(200_000)] = chance.randrange(256)
        image = tmp_path / f"{number}.img"
        image.write_bytes(broken)
        for place in ("p1.", "p1.inode[2].", "p1:/boot/"):
            offered(pybootcfg, image, place)


def test_names_that_a_terminal_would_obey_are_left_out(pybootcfg: Run, tmp_path: Path) -> None:
    for name in ("plain", "with space", "bell\a", "escape\x1b[31m", "line\nbreak"):
        (tmp_path / name).touch()
    assert sorted(offered(pybootcfg, tmp_path, "p0:/")) == ["p0:/plain", "p0:/with space"]


def test_it_stops_by_itself(pybootcfg: Run, tmp_path: Path) -> None:
    for number in range(50_000):
        (tmp_path / f"file{number}").touch()
    started = time.monotonic()
    offered(pybootcfg, tmp_path, "p0:/")
    assert time.monotonic() - started < 5


BASH = r"""
set -u
nospace=
compopt() { [[ $2 == nospace ]] && nospace=yes; return 0; }
source "$1"; shift
COMP_LINE="$1"; COMP_POINT=${#COMP_LINE}
read -a COMP_WORDS <<< "${COMP_LINE//:/ : }"
[[ $COMP_LINE == *[[:space:]] ]] && COMP_WORDS+=("")
COMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 ))
_pybootcfg
printf '%s\n' "$nospace" "${COMPREPLY[@]}"
"""


@needs_bash
@pytest.mark.parametrize(
    ("words", "nospace", "found"),
    [
        ("disk.img p1.gr", "yes", ["p1.group["]),
        ("disk.img p1.superblock.s_mag", "", ["p1.superblock.s_magic"]),
        ("disk.img p1:/bo", "yes", ["/boot/"]),  # bash has p1 and the colon already
        ("--depth 2 disk.img mb", "", ["mbr"]),
        (r"disk\ image.img p1.gr", "yes", ["p1.group["]),
        ("di", "", ["disk image.img", "disk.img"]),
        ("disk.img p7.", "", []),
    ],
)
def test_bash(
    sample: Path, program: Path, tmp_path: Path, words: str, nospace: str, found: list[str]
) -> None:
    for name in ("disk.img", "disk image.img"):
        (tmp_path / name).symlink_to(sample)
    command = ["bash", "-c", BASH, "bash", str(ROOT / "bash" / "pybootcfg"), f"pybootcfg inspect {words}"]
    environment = {**os.environ, "PATH": f"{program}:/usr/bin:/bin"}
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=tmp_path, env=environment, timeout=60
    )
    assert done.stderr == ""
    flag, *shown = done.stdout.split("\n")[:-1]
    assert (flag, sorted(shown)) == (nospace, found)


@needs_fish
@pytest.mark.parametrize(
    ("words", "found"), [("p1.gr", ["p1.group["]), ("p1:/bo", ["p1:/boot/"]), ("mbr.b", ["mbr.boot_code"])]
)
def test_fish(sample: Path, program: Path, tmp_path: Path, words: str, found: list[str]) -> None:
    script = f"source {ROOT / 'fish' / 'pybootcfg.fish'}; complete -C 'pybootcfg inspect {sample} {words}'"
    environment = {"PATH": f"{program}:/usr/bin:/bin", "HOME": str(tmp_path / "home"), "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        ["fish", "--no-config", "-c", script],
        capture_output=True, text=True, check=True, cwd=tmp_path, env=environment, timeout=60,
    )  # fmt: skip
    assert done.stderr == ""
    assert [row.split("\t")[0] for row in done.stdout.splitlines()] == found


@needs_zsh
def test_zsh(sample: Path, program: Path, tmp_path: Path) -> None:
    (tmp_path / "disk.img").symlink_to(sample)
    zsh = Zsh(tmp_path, f"{program}:/usr/bin:/bin")
    try:
        for typed, shown in [
            ("pybootcfg inspect disk.img p1.gr", "p1.group"),
            ("pybootcfg inspect disk.img p1.superblock.s_mag", "p1.superblock.s_magic"),
            ("pybootcfg inspect disk.img p1:/bo", "p1:/boot/"),
        ]:
            zsh.run("send-keys", "-t", "zsh", "-l", typed)
            zsh.run("send-keys", "-t", "zsh", "Tab")
            screen = zsh.until(shown)
            assert "error" not in screen
            zsh.run("send-keys", "-t", "zsh", "C-u", "C-l")
            zsh.until("ready>", lines=1)
    finally:
        with contextlib.suppress(subprocess.SubprocessError):
            zsh.run("kill-server")
