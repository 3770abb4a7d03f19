"""The shell completions, as the shells themselves run them."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "completions"

BASH = r"""
set -u
compopt() { :; }
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(( $# - 1 ))
"_$1"
printf '%s\n' "${COMPREPLY[@]}"
"""

needs_bash = pytest.mark.skipif(not shutil.which("bash"), reason="bash runs its completions")
needs_zsh = pytest.mark.skipif(
    not (shutil.which("zsh") and shutil.which("tmux")), reason="zsh completes on a terminal of tmux"
)
needs_fish = pytest.mark.skipif(not shutil.which("fish"), reason="fish runs its completions")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "disk image.img").touch()
    (tmp_path / "disks").mkdir()
    return tmp_path


@needs_bash
@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["pygrub", "--outp"], ["--output=", "--output-format=", "--output-directory="]),
        (["pygrub", "--output-format", "=", "si"], ["simple", "simple0"]),
        (["pygrub", "--output-format", "="], ["sxp", "simple", "simple0", "json"]),
        (["pygrub", "--output-directory", "=", "d"], ["disks"]),
        (["pygrub", "--kernel", "=", "d"], []),
        (["pygrub", "d"], ["disks", "disk image.img"]),
        (["pygrub", "-q", "--device", "=", "disk i"], ["disk image.img"]),
        (["pygrub", "--nonsense"], []),
        (["pybootcfg", "e"], ["entries", "extract"]),
        (["pybootcfg", "--ver"], ["--version"]),
        (["pybootcfg", "ls", "--rec"], ["--recursive"]),
        (["pybootcfg", "ls", "--color", "a"], ["auto", "always"]),
        (["pybootcfg", "--json", "volumes", "d"], ["disks", "disk image.img"]),
        (["pybootcfg", "extract", "disk image.img", "-o", "d"], ["disks"]),
        (["pybootcfg", "ls", "--sha"], ["--sha256"]),
        (["pybootcfg", "volumes", "--sha"], []),
    ],
)
def test_bash(folder: Path, words: list[str], found: list[str]) -> None:
    command = ["bash", "-c", BASH, "bash", str(ROOT / "bash" / words[0]), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder)
    assert done.stderr == ""
    assert sorted(done.stdout.split("\n")[:-1]) == sorted(found or [""])


@needs_fish
@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("pygrub --outp", ["--output", "--output-directory", "--output-format"]),
        ("pygrub --output-format=si", ["--output-format=simple", "--output-format=simple0"]),
        ("pygrub disk", ["disk image.img", "disks/"]),
        ("pygrub --output-directory d", ["disks/"]),
        ("pybootcfg e", ["entries", "extract"]),
        ("pybootcfg ls --rec", ["--recursive"]),
        ("pybootcfg ls --color a", ["always", "auto"]),
        ("pybootcfg volumes --sha", []),
    ],
)
def test_fish(folder: Path, line: str, found: list[str]) -> None:
    name = line.split()[0]
    script = f"source {ROOT / 'fish' / name}.fish; complete -C '{line}'"
    command = ["fish", "--no-config", "-c", script]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder / "home"), "LC_ALL": "C.UTF-8"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder, env=environment)
    assert done.stderr == ""
    shown = [row.split("\t")[0].replace("\\ ", " ") for row in done.stdout.splitlines()]
    assert sorted(shown) == sorted(found)


class Zsh:
    """A zsh on a terminal of tmux, with the completions and nothing else."""

    def __init__(self, folder: Path, path: str = "/usr/bin:/bin") -> None:
        self._socket = str(folder / "socket")
        self._environment = {
            "PATH": path,
            "HOME": str(folder),
            "TERM": "xterm-256color",
            "LC_ALL": "C.UTF-8",
        }
        self.run("new-session", "-d", "-x", "100", "-y", "40", "-s", "zsh", "-c", str(folder), "zsh", "-f")
        setup = f"PS1='ready>'; fpath=({ROOT / 'zsh'} $fpath); autoload -U compinit; compinit -D -u; clear"
        self.run("send-keys", "-t", "zsh", setup, "Enter")
        self.until("ready>", lines=1)

    def run(self, *arguments: str) -> str:
        command = ["tmux", "-u", "-f", "/dev/null", "-S", self._socket, *arguments]
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=60, env=self._environment
        )
        return done.stdout

    def until(self, text: str, lines: int = 0) -> str:
        end = time.monotonic() + 60
        while True:
            screen = self.run("capture-pane", "-p", "-t", "zsh")
            if text in screen and (not lines or len(screen.strip().splitlines()) == lines):
                return screen
            assert time.monotonic() < end, screen
            time.sleep(0.02)


@needs_zsh
def test_zsh(folder: Path) -> None:
    zsh = Zsh(folder)
    try:
        for typed, shown in [
            ("pygrub --require", "pygrub --require-sandbox"),
            ("pygrub --output-format=simple", "simple0"),
            ("pygrub disk\\ ", "pygrub disk\\ image.img"),
            ("pygrub --output-directory=d", "--output-directory=disks/"),
            ("pybootcfg vol", "pybootcfg volumes"),
            ("pybootcfg ls --rec", "pybootcfg ls --recursive"),
            ("pybootcfg entries --color=al", "--color=always"),
            ("pybootcfg ", "partitions and file systems"),
        ]:
            zsh.run("send-keys", "-t", "zsh", "-l", typed)
            zsh.run("send-keys", "-t", "zsh", "Tab")
            screen = zsh.until(shown)
            assert "error" not in screen
            assert "not found" not in screen
            zsh.run("send-keys", "-t", "zsh", "C-u", "C-l")
            zsh.until("ready>", lines=1)
    finally:
        with contextlib.suppress(subprocess.SubprocessError):
            zsh.run("kill-server")
