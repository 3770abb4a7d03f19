"""The programs that are compared: ours, the real pygrub, and what else fetches files from images."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from bench.guest import Guest
from bench.images import which
from bench.measure import Command, expect_files, expect_output

REAL_PYGRUB = "/usr/lib/xen-4.17/bin/pygrub"
OURS, REAL = "pybootcfg's pygrub", "the real pygrub"
WITH_LIBRARIES = Path(__file__).with_name("libraries.py")
EXT = ("ext4 4k", "ext4 1k")


class Job(NamedTuple):
    """Kernel and ramdisk of `guest` are to come out of `image`, of kind `kind`, into `out`."""

    kind: str
    image: Path
    guest: Guest
    out: Path
    work: Path


class Program(NamedTuple):
    """A program: its name, the file of it that must be there, the kinds of image it reads, its arguments."""

    name: str
    needs: str
    kinds: tuple[str, ...]
    arguments: Callable[[str, Job], list[str | Path]]
    version: tuple[str, ...]

    def command(self, job: Job) -> Command | None:
        """Return the command for a job; None when the program is not here, or cannot read the image."""
        path = which(self.needs)
        if path is None or (self.kinds and job.kind not in self.kinds):
            return None
        check = expect_files(job.out, [job.guest.kernel, job.guest.ramdisk])
        return Command(self.name, self.arguments(path, job), check)

    @property
    def installed_version(self) -> str:
        """The first line of what it says of its version, or what the package manager knows."""
        if which(self.needs) is None:
            return "not installed"
        done = subprocess.run(
            self.version, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL
        )
        lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        return lines[0] if lines else "unknown"


def our_pygrub() -> str:
    """Return the pygrub of the environment that this Python belongs to."""
    return str(Path(sys.executable).with_name("pygrub"))


def _pygrub(path: str, job: Job) -> list[str | Path]:
    return [path, "-q", "--output-directory", job.out, job.image]


def _cp(path: str, job: Job) -> list[str | Path]:
    return [path, *job.guest.files, job.out]


def _debugfs(path: str, job: Job) -> list[str | Path]:
    script = job.work / "debugfs.commands"
    script.write_text("".join(f"dump /boot/{file.name} {job.out / file.name}\n" for file in job.guest.files))
    return [path, "-f", script, job.image]


def _mcopy(path: str, job: Job) -> list[str | Path]:
    return [path, "-Q", "-i", job.image, *(f"::/boot/{file.name}" for file in job.guest.files), job.out]


def _bsdtar(path: str, job: Job) -> list[str | Path]:
    return [path, "-x", "-f", job.image, "-C", job.out, *(f"boot/{file.name}" for file in job.guest.files)]


def _seven_zip(path: str, job: Job) -> list[str | Path]:
    return [path, "e", "-y", "-bd", f"-o{job.out}", job.image, *(f"boot/{f.name}" for f in job.guest.files)]


def _grub_fstest(path: str, job: Job) -> list[str | Path]:
    one = '"$1" "$2" cp "(loop0)/boot/$4" "$3/$4"'
    two = '"$1" "$2" cp "(loop0)/boot/$5" "$3/$5"'
    names = [file.name for file in job.guest.files]
    return ["/bin/sh", "-c", f"{one} && {two}", "sh", path, job.image, job.out, *names]


def _library(name: str) -> Callable[[str, Job], list[str | Path]]:
    def arguments(_path: str, job: Job) -> list[str | Path]:
        python = interpreter(name) or sys.executable
        paths = [f"/boot/{file.name}" for file in job.guest.files]
        return [python, WITH_LIBRARIES, name, job.image, job.out, *paths]

    return arguments


@functools.cache
def interpreter(module: str) -> str | None:
    """Return the first Python of `$BENCH_PYTHONS`, ours, and the system's that has a module."""
    for python in (*os.environ.get("BENCH_PYTHONS", "").split(":"), sys.executable, "/usr/bin/python3"):
        if python and shutil.which(python):
            found = subprocess.run([python, "-c", f"import {module}"], capture_output=True)
            if found.returncode == 0:
                return python
    return None


def _package(name: str) -> tuple[str, ...]:
    return ("dpkg-query", "-W", "-f", "${Package} ${Version}", name)


PROGRAMS = (
    Program(OURS, our_pygrub(), (), _pygrub, (str(Path(sys.executable).with_name("pybootcfg")), "--version")),
    Program(REAL, REAL_PYGRUB, (), _pygrub, _package("xen-utils-4.17")),
    Program("cp of the files", "cp", (), _cp, ("cp", "--version")),
    Program("debugfs", "debugfs", EXT, _debugfs, (which("debugfs") or "debugfs", "-V")),
    Program("mcopy", "mcopy", ("FAT32",), _mcopy, ("mcopy", "--version")),
    Program("bsdtar", "bsdtar", ("ISO 9660",), _bsdtar, ("bsdtar", "--version")),
    Program("7-Zip", "7z", (*EXT, "FAT32", "ISO 9660"), _seven_zip, ("7z", "i")),
    Program("grub-fstest", "grub-fstest", (), _grub_fstest, ("grub-fstest", "--version")),
)

#: libraries for Python, by the module that a program imports, and the kinds of image that they read
LIBRARIES = {
    "pytsk3": (*EXT, "FAT32", "UFS1"),
    "dissect.extfs": EXT,
    "dissect.fat": ("FAT32",),
}


def commands(job: Job) -> list[Command]:
    """Return the commands that can do a job here, ours and the real pygrub first."""
    return [command for program in programs() if (command := program.command(job))]


def programs() -> Iterator[Program]:
    """Yield what is compared, the libraries that are installed included."""
    yield from PROGRAMS
    for library, kinds in LIBRARIES.items():
        python = interpreter(library)
        if python:
            script = f"import importlib.metadata as m; print('{library}', m.version('{library}'))"
            yield Program(library, python, kinds, _library(library), (python, "-c", script))


def not_really(job: Job) -> list[Command]:
    """Return the commands that look for the same files without copying them."""
    check = expect_output([b"(kernel ", b"ro console=hvc0 quiet"])
    return [
        Command(program.name, [*_pygrub(path, job), "-n"], check)
        for program in PROGRAMS[:2]
        if (path := which(program.needs))
    ]
