"""Copying runs out: holes stay holes, the kernel copies where it can, and what goes wrong is said."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pybootcfg import extraction, limits
from pybootcfg.errors import ImageError, LimitExceeded
from pybootcfg.filesystems.base import Extent, Hole, Inline, Run
from pybootcfg.source import FileSource, MemorySource, Overlay, Source, Window

DATA = bytes(range(256)) * 1024  # 256 KiB
RUNS = b"in hand" + DATA[4096:200_000] + bytes(100_000) + DATA[:10]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[FileSource]:
    (tmp_path / "disk").write_bytes(DATA)
    source = FileSource.open(tmp_path / "disk")
    yield source
    source.close()


def runs_of(source: Source) -> list[Run]:
    return [Inline(b"in hand"), Extent(source, 4096, 200_000 - 4096), Hole(100_000), Extent(source, 0, 10)]


def copied(runs: list[Run], file: Path, *, regular: bool = True) -> int:
    with file.open("wb", buffering=0) as out:
        return extraction.copy_runs(runs, out.fileno(), regular=regular)


def test_holes_stay_holes(disk: FileSource, tmp_path: Path) -> None:
    runs: list[Run] = [Extent(disk, 0, 4096), Hole(1 << 30), Inline(b"end"), Hole(1 << 30)]
    assert copied(runs, tmp_path / "out") == 4096 + (2 << 30) + 3
    status = (tmp_path / "out").stat()
    assert status.st_size == 4096 + (2 << 30) + 3
    assert status.st_blocks * 512 < 1 << 20


def test_a_pipe_gets_zeros_for_holes(disk: FileSource) -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as stream:
        child = os.fork()
        if child == 0:
            extraction.copy_runs(runs_of(disk), writing, regular=False)
            os._exit(0)
        os.close(writing)
        assert stream.read() == RUNS
        assert os.waitpid(child, 0)[1] == 0


def refusing(number: int) -> Callable[..., int]:
    def refuse(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    return refuse


@pytest.mark.parametrize("number", [errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM])
@pytest.mark.parametrize("refused", [("copy_file_range",), ("copy_file_range", "sendfile")])
def test_files_that_the_kernel_cannot_copy(
    disk: FileSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: tuple[str, ...], number: int
) -> None:
    for name in refused:
        monkeypatch.setattr(os, name, refusing(number))
    assert copied(runs_of(disk), tmp_path / "out") == len(RUNS)
    assert (tmp_path / "out").read_bytes() == RUNS


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EFBIG])
def test_a_full_disk_is_no_reason_to_try_otherwise(
    disk: FileSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(os, "copy_file_range", refusing(number))
    with pytest.raises(OSError, match=os.strerror(number)):
        copied(runs_of(disk), tmp_path / "out")


def test_files_that_grow_shorter(disk: FileSource, tmp_path: Path) -> None:
    os.truncate(tmp_path / "disk", 100_000)
    with pytest.raises(ImageError, match=r"the file became shorter while it was copied \[at byte 0x186a0\]"):
        copied(runs_of(disk), tmp_path / "out")
    with pytest.raises(ImageError, match=r"the file became shorter while it was read \[at byte 0x186a0 of"):
        disk.read(0, 200_000)


def test_a_read_that_comes_in_pieces(disk: FileSource, monkeypatch: pytest.MonkeyPatch) -> None:
    """pread(2) may return less than it was asked for."""
    whole = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, length, offset: whole(fd, min(length, 1000), offset))
    assert disk.read(10, 50_000) == DATA[10:50_010]


def test_windows_and_replaced_blocks(disk: FileSource, tmp_path: Path) -> None:
    """Runs on a partition, and behind a replayed journal: from another place, or from memory."""
    window = Window(disk, 4096, 100_000, "p1")
    overlay = Overlay(window, 1024, {1: 50 * 1024, 2: b"r" * 1024, 3: 4 * 1024})
    expected = bytearray(DATA[4096 : 4096 + 20_000])
    expected[1024:2048] = DATA[4096 + 50 * 1024 :][:1024]
    expected[2048:3072] = b"r" * 1024
    expected[3072:4096] = DATA[4096 + 4096 :][:1024]
    assert overlay.read(0, 20_000) == expected
    for start, length in ((0, 20_000), (2048, 1024), (1500, 1000), (2500, 10), (0, 0)):
        copied([Extent(overlay, start, length)], tmp_path / "out")
        assert (tmp_path / "out").read_bytes() == expected[start : start + length]
    memory = MemorySource(bytes(expected), "memory")
    copied([Extent(memory, 5, 5000)], tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == expected[5:5005]


def test_digests_are_of_what_would_be_copied(disk: FileSource) -> None:
    class File:
        def runs(self) -> Iterator[Run]:
            yield from runs_of(disk)

    hasher = hashlib.sha256()
    extraction.hash_file(File(), hasher)  # type: ignore[arg-type]
    assert hasher.hexdigest() == hashlib.sha256(RUNS).hexdigest()


def test_what_is_copied_has_a_total(
    disk: FileSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits.TOTAL_COPIED, "value", len(RUNS) - 100_000)
    limits.begin(1)
    copied(runs_of(disk), tmp_path / "out")  # the hole costs nothing
    limits.begin(1)
    with pytest.raises(LimitExceeded, match="total-copied"):
        copied(runs_of(disk), tmp_path / "out2", regular=False)
    monkeypatch.undo()
    limits.begin(1)
