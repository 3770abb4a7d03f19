"""source.py against plain bytes: every read and every piece must be what a slice would be."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybootcfg import limits
from pybootcfg.errors import ImageError, LimitExceeded, UsageError
from pybootcfg.source import FilePiece, FileSource, MemorySource, Overlay, Source, Window

DATA = bytes(i * 7 % 251 for i in range(5000))


@pytest.fixture
def disk(tmp_path: Path) -> FileSource:
    (tmp_path / "disk.img").write_bytes(DATA)
    return FileSource.open(tmp_path / "disk.img")


def joined(pieces: Iterable[FilePiece | bytes]) -> bytes:
    return b"".join(
        piece if isinstance(piece, bytes) else os.pread(piece.fd, piece.length, piece.offset)
        for piece in pieces
    )


# --- files ---------------------------------------------------------------------------------------


def test_file(disk: FileSource) -> None:
    assert (disk.size, os.path.basename(disk.name)) == (5000, "disk.img")
    for offset, length in ((0, 5000), (0, 0), (5000, 0), (4999, 1), (123, 456)):
        assert disk.read(offset, length) == DATA[offset : offset + length]
        assert list(disk.pieces(offset, length)) == [FilePiece(disk.fd, offset, length)]


@pytest.mark.parametrize(
    ("offset", "length"), [(0, 5001), (5000, 1), (5001, 0), (-1, 1), (1 << 70, 1), (4999, 2)]
)
def test_nothing_is_read_beyond_the_end(disk: FileSource, offset: int, length: int) -> None:
    for read in (disk.read, disk.pieces):
        with pytest.raises(ImageError, match="the end is at byte 0x1388") as error:
            read(offset, length)
        assert (error.value.offset, error.value.source) == (offset, disk.name)


def test_negative_and_huge_lengths(disk: FileSource) -> None:
    for length in (-1, limits.READ_SIZE.value + 1, 1 << 64):
        with pytest.raises(LimitExceeded, match="read-size"):
            disk.read(0, length, "superblock")
    with pytest.raises(ImageError):
        disk.pieces(0, -1)


def test_error_names_the_structure(disk: FileSource) -> None:
    with pytest.raises(ImageError) as error:
        disk.read(4096, 1024, "superblock")
    assert error.value.structure == "superblock"
    assert "truncated" in error.value.hint


@pytest.mark.parametrize("most", [1, 7, 1000, 4999])
def test_short_reads_are_continued(disk: FileSource, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    pread = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, length, offset: pread(fd, min(length, most), offset))
    assert disk.read(3, 4990) == DATA[3:4993]


@pytest.mark.parametrize("left", [0, 100, 4998])
def test_a_file_that_shrinks_is_an_error(disk: FileSource, left: int) -> None:
    os.truncate(disk.name, left)
    with pytest.raises(ImageError, match="became shorter") as error:
        disk.read(3, 4996)
    assert error.value.offset == max(3, left)


def test_errors_of_the_disk_come_through(disk: FileSource, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "pread", fail)
    with pytest.raises(OSError, match="Input/output error"):
        disk.read(0, 1)


def test_block_device_has_the_size_of_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """st_size of a block device is 0."""
    (tmp_path / "sda").write_bytes(DATA)
    monkeypatch.setattr(os, "fstat", lambda _: SimpleNamespace(st_mode=stat.S_IFBLK | 0o600, st_size=0))
    assert FileSource.open(tmp_path / "sda").size == 5000


def test_what_is_no_disk_is_refused_and_closed(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    before = len(os.listdir("/proc/self/fd"))
    for name in (tmp_path / "fifo", tmp_path, "/dev/null"):
        with pytest.raises(UsageError, match="neither a regular file nor a block device"):
            FileSource.open(name)
    assert len(os.listdir("/proc/self/fd")) == before
    with pytest.raises(FileNotFoundError):
        FileSource.open(tmp_path / "missing")


def test_descriptor_is_not_inherited_and_closes(disk: FileSource) -> None:
    assert not os.get_inheritable(disk.fd)
    disk.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        disk.read(0, 1)


def test_offsets_above_four_gibibytes(tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.seek(5 << 30)
        file.write(b"end")
    source = FileSource.open(tmp_path / "sparse")
    assert source.size == (5 << 30) + 3
    assert source.read(5 << 30, 3) == b"end"
    assert Window(source, (5 << 30) - 1, 4, "w").read(0, 4) == b"\0end"


# --- windows -------------------------------------------------------------------------------------


@given(st.data())
def test_windows_are_slices(data: st.DataObject) -> None:
    source: Source = MemorySource(DATA, "disk")
    model = DATA
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(model)))
        size = data.draw(st.integers(0, len(model) + 10))
        source, model = Window(source, start, size, "window"), model[start : start + size]
        assert source.size == len(model)
    offset = data.draw(st.integers(0, len(model)))
    length = data.draw(st.integers(0, len(model) - offset))
    assert source.read(offset, length) == model[offset : offset + length]
    assert joined(source.pieces(offset, length)) == model[offset : offset + length]
    with pytest.raises(ImageError) as error:
        source.read(offset, len(model) - offset + 1)
    assert error.value.source == "window"


def test_window_shows_what_a_truncated_disk_has() -> None:
    window = Window(MemorySource(DATA, "disk"), 4000, 1 << 40, "p1")
    assert window.size == 1000
    with pytest.raises(ImageError):
        window.read(999, 2)


@pytest.mark.parametrize("start", [-1, 5001])
def test_window_outside_of_its_base(start: int) -> None:
    with pytest.raises(ImageError):
        Window(MemorySource(DATA, "disk"), start, 10, "p1")


# --- overlays ------------------------------------------------------------------------------------

BLOCK = 16
COUNT = 12
BASE = bytes(range(200)) * 2

blocks = st.dictionaries(
    st.integers(0, COUNT + 2),
    st.integers(0, len(BASE) // BLOCK - 1).map(lambda number: number * BLOCK)
    | st.binary(min_size=BLOCK, max_size=BLOCK),
    max_size=COUNT,
)


def model_of(replaced: dict[int, int | bytes]) -> bytes:
    model = bytearray(BASE)
    for number, newer in replaced.items():
        contents = newer if isinstance(newer, bytes) else BASE[newer : newer + BLOCK]
        model[number * BLOCK : (number + 1) * BLOCK] = contents
    return bytes(model)


@given(blocks, st.data())
def test_overlays_are_replaced_blocks(replaced: dict[int, int | bytes], data: st.DataObject) -> None:
    overlay = Overlay(MemorySource(BASE, "base"), BLOCK, replaced)
    model = model_of(replaced)
    offset = data.draw(st.integers(0, len(model)))
    length = data.draw(st.integers(0, len(model) - offset))
    assert overlay.read(offset, length) == model[offset : offset + length]
    pieces = list(overlay.pieces(offset, length))
    assert joined(pieces) == model[offset : offset + length]
    assert b"" not in pieces


@given(blocks)
def test_neighbours_are_one_piece(replaced: dict[int, int | bytes]) -> None:
    """Base bytes that lie side by side are read at once, whatever block they stand for."""

    class Counting(MemorySource):
        reads: list[tuple[int, int]] = []

        def _read(self, offset: int, length: int) -> bytes:
            self.reads.append((offset, length))
            return super()._read(offset, length)

    base = Counting(BASE, "base")
    base.reads = []
    overlay = Overlay(base, BLOCK, replaced)
    overlay.read(0, len(BASE))
    places = []
    for number in range(len(BASE) // BLOCK):
        newer = replaced.get(number, number * BLOCK)
        places.append(None if isinstance(newer, bytes) else newer)
    runs = sum(
        here is not None and (index == 0 or places[index - 1] is None or places[index - 1] + BLOCK != here)
        for index, here in enumerate(places)
    )
    assert len(base.reads) == runs


@given(blocks, st.integers(0, 300), st.integers(0, 300), st.data())
def test_window_onto_an_overlay(
    replaced: dict[int, int | bytes], start: int, size: int, data: st.DataObject
) -> None:
    window = Window(Overlay(MemorySource(BASE, "base"), BLOCK, replaced), start, size, "p1")
    model = model_of(replaced)[start : start + size]
    offset = data.draw(st.integers(0, len(model)))
    length = data.draw(st.integers(0, len(model) - offset))
    assert window.read(offset, length) == model[offset : offset + length]
    assert joined(window.pieces(offset, length)) == model[offset : offset + length]


def test_overlay_of_a_file_yields_its_ranges(disk: FileSource) -> None:
    overlay = Overlay(disk, 1000, {1: 4000, 3: b"x" * 1000})
    assert list(overlay.pieces(500, 4000)) == [
        FilePiece(disk.fd, 500, 500),
        FilePiece(disk.fd, 4000, 1000),
        FilePiece(disk.fd, 2000, 1000),
        b"x" * 1000,
        FilePiece(disk.fd, 4000, 500),
    ]
    assert overlay.name == disk.name


def test_overlay_block_beyond_the_end_is_an_error() -> None:
    overlay = Overlay(MemorySource(DATA, "disk"), 1000, {1: 4500})
    with pytest.raises(ImageError):
        overlay.read(1000, 1000)
    assert overlay.read(1000, 500) == DATA[4500:]
