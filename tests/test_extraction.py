"""Copying runs out: holes stay holes, the kernel copies where it can, and what goes wrong is said."""

from __future__ import annotations

import errno
import hashlib
import os
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from faulty_file import broken_at, reading, short

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
@pytest.mark.parametrize(("offset", "call"), [(4096, "copy_file_range"), (512, "write")])
def test_a_full_disk_is_no_reason_to_try_otherwise(
    disk: FileSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, offset: int, call: str
) -> None:
    monkeypatch.setattr(os, call, refusing(number))
    with pytest.raises(OSError, match=os.strerror(number)):
        copied([Extent(disk, offset, 100_000)], tmp_path / "out")


@pytest.mark.parametrize("offset", [4096, 4096 + 512])
def test_files_that_grow_shorter(disk: FileSource, tmp_path: Path, offset: int) -> None:
    os.truncate(tmp_path / "disk", 100_000)
    with pytest.raises(ImageError, match=r"the file became shorter while it was copied \[at byte 0x186a0\]"):
        copied([Extent(disk, offset, 200_000)], tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == DATA[offset:100_000]
    with pytest.raises(ImageError, match=r"the file became shorter while it was read \[at byte 0x186a0 of"):
        disk.read(0, 200_000)


#: (runs of the source, how often the kernel copies) where a page has 4096 bytes
PLACES = [
    ([(0, 100_000)], 1),
    ([(8192, 1)], 1),
    ([(512, 100_000)], 0),
    ([(4095, 200_000)], 0),
    (
        [(1024, 100_000), (8192 + 100_000 % 4096, 50_000), (0, 10)],
        1,
    ),  # the second one fits the first one's end
    ([(0, 1024), (4096, 100_000), (4096 + 103_048 % 4096, 7)], 1),
    ([(0, 512), (512, 4096), (4608, 100_000)], 3),
]


@pytest.mark.skipif(os.sysconf("SC_PAGESIZE") != 4096, reason="a page has another size")
@pytest.mark.parametrize(("places", "in_kernel"), PLACES)
def test_the_kernel_copies_where_pages_lie_alike(
    disk: FileSource,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    places: list[tuple[int, int]],
    in_kernel: int,
) -> None:
    """And whoever copies, it is the right bytes."""
    runs: list[Run] = [Extent(disk, offset, length) for offset, length in places]
    count = 0
    copy = os.copy_file_range

    def counted(*arguments: Any) -> int:
        nonlocal count
        count += 1
        return copy(*arguments)

    monkeypatch.setattr(os, "copy_file_range", counted)
    copied(runs, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == b"".join(DATA[start : start + n] for start, n in places)
    assert count == in_kernel


def test_a_file_goes_on_where_it_ends(disk: FileSource, tmp_path: Path) -> None:
    """As a second initrd does; the end decides how pages lie."""
    with (tmp_path / "out").open("wb", buffering=0) as out:
        out.write(b"first")
        for offset, length in ((4101, 100_000), (0, 1000)):
            extraction.copy_runs([Extent(disk, offset, length)], out.fileno(), regular=True)
    assert (tmp_path / "out").read_bytes() == b"first" + DATA[4101:104_101] + DATA[:1000]


def test_a_pipe_takes_pages_as_they_are(disk: FileSource, monkeypatch: pytest.MonkeyPatch) -> None:
    reading_end, writing = os.pipe()
    monkeypatch.setattr(os, "preadv", refusing(errno.EIO))
    extraction.copy_runs([Extent(disk, 513, 10_000)], writing, regular=False)
    os.close(writing)
    with os.fdopen(reading_end, "rb") as stream:
        assert stream.read() == DATA[513:10_513]


@pytest.mark.parametrize("offset", [0, 100, 512])
def test_reads_that_come_short_and_sectors_that_cannot_be_read(
    disk: FileSource, tmp_path: Path, offset: int
) -> None:
    run = Extent(disk, offset, 200_000)
    with reading([disk], short):
        copied([run], tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == DATA[offset : offset + 200_000]
    with (
        reading([disk], broken_at(150_000, disk)),
        pytest.raises(OSError, match=f"Input/output error at byte {150_000 // 512 * 512:#x}"),
    ):
        copied([run], tmp_path / "out")


def test_one_buffer_serves_all_copies(tmp_path: Path) -> None:
    """However much there is to copy, and in however many pieces."""
    with (tmp_path / "disk").open("wb") as file:
        file.truncate(64 << 20)
    disk = FileSource.open(tmp_path / "disk")
    copied([Extent(disk, 1, 10)], tmp_path / "out")
    tracemalloc.start()
    copied(
        [Extent(disk, 512, 48 << 20), *(Extent(disk, 4096 * n + 512, 512) for n in range(2000))],
        tmp_path / "out",
    )
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()
    disk.close()
    assert (tmp_path / "out").stat().st_size == (48 << 20) + 2000 * 512


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
