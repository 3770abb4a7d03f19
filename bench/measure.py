"""Running programs by turns and counting what the operating system says each has used."""

from __future__ import annotations

import hashlib
import os
import shutil
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple


class WrongResult(Exception):
    """A program failed, or what it brought out is not what was put in; its time would mean nothing."""


class Usage(NamedTuple):
    """What one run took: processor seconds (user and system, children included), peak memory in bytes.

    The peak is that of the largest single process, and never below that of the measuring process.
    """

    cpu: float
    memory: int


class Command(NamedTuple):
    """A program with its arguments, and what checks a run of it: given its standard output, by raising."""

    name: str
    argv: Sequence[str | Path]
    check: Callable[[bytes], None]


class Result(NamedTuple):
    """The runs of one command."""

    name: str
    runs: list[Usage]

    @property
    def cpu(self) -> float:
        """The median of processor seconds."""
        return statistics.median(run.cpu for run in self.runs)

    @property
    def memory(self) -> int:
        """The median of peak memory in bytes."""
        return int(statistics.median(run.memory for run in self.runs))

    def ratio(self, other: Result) -> float:
        """Return the median of the ratios of processor time, run by run beside the other's."""
        return statistics.median(
            ours.cpu / theirs.cpu for ours, theirs in zip(self.runs, other.runs, strict=True)
        )


def expect_files(folder: Path, digests: Sequence[str]) -> Callable[[bytes], None]:
    """Return a check that a folder holds files of these SHA-256 digests, no more and no fewer."""

    def check(_output: bytes) -> None:
        found = sorted(digest(file) for file in folder.rglob("*") if file.is_file())
        if found != sorted(digests):
            raise WrongResult(f"{folder} holds {len(found)} files, and not the {len(digests)} expected")

    return check


def expect_output(words: Sequence[bytes]) -> Callable[[bytes], None]:
    """Return a check that each of the words stands in what a program printed."""

    def check(output: bytes) -> None:
        missing = [word for word in words if word not in output]
        if missing:
            raise WrongResult(f"{missing} not in the output")

    return check


def digest(file: Path) -> str:
    """Return a file's SHA-256 digest."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def run_in_turn(commands: Sequence[Command], out: Path, *, runs: int, warm_up: int = 1) -> list[Result]:
    """Run every command once, then every command again, and so on; each into an empty folder `out`.

    Every run is checked.  The first `warm_up` rounds are not counted.
    """
    results = [Result(command.name, []) for command in commands]
    for turn in range(warm_up + runs):
        for command, result in zip(commands, results, strict=True):
            usage = run_once(command, out)
            if turn >= warm_up:
                result.runs.append(usage)
    return results


def run_once(command: Command, out: Path) -> Usage:
    """Run a command with `out` emptied before it; raise WrongResult unless its result is right."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    printed, complaints = out.with_name("stdout"), out.with_name("stderr")
    status, usage = _spawn([os.fspath(word) for word in command.argv], printed, complaints)
    try:
        if status:
            raise WrongResult(f"status {status}")
        command.check(printed.read_bytes())
    except WrongResult as error:
        said = complaints.read_text(errors="replace")[-1000:]
        raise WrongResult(f"{command.name}: {error}\n{said}") from None
    return usage


def _spawn(argv: list[str], printed: Path, complaints: Path) -> tuple[int, Usage]:
    writing = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    pid = os.posix_spawnp(
        argv[0],
        argv,
        {**os.environ, "LC_ALL": "C.UTF-8", "MTOOLS_SKIP_CHECK": "1"},
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, os.fspath(printed), writing, 0o600),
            (os.POSIX_SPAWN_OPEN, 2, os.fspath(complaints), writing, 0o600),
        ],
    )
    _, status, used = os.wait4(pid, 0)
    return os.waitstatus_to_exitcode(status), Usage(used.ru_utime + used.ru_stime, used.ru_maxrss * 1024)
