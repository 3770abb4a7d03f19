"""A seed image with some of its bytes replaced, and what it is like when checksums always hold.

An address names a byte of a guest: the number of its disk in the bits from `DISK_SHIFT` on, the offset
below them.  From `DECODED` on it is a byte of a ZFS block as it is after decompression, which has no
address on the disk: what an attacker writes there is compressed and summed up afresh by whoever writes it.
"""

from __future__ import annotations

import contextlib
import functools
import sys
import types
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from pybootcfg.filesystems.zfs import checksum as zfs_checksum
from pybootcfg.filesystems.zfs.blkptr import BlockPointer
from pybootcfg.filesystems.zfs.block import BlockReader
from pybootcfg.source import FilePiece, Source

DISK_SHIFT = 48
DECODED = 1 << 62
_BLOCK_SHIFT = 24  # the largest block has 16 MiB
_SECTOR_SHIFT = 9
_CHUNK = 1 << 20


class Edit(NamedTuple):
    """Bytes to be put at an address."""

    address: int
    data: bytes


def disk_address(disk: int, offset: int) -> int:
    """Return the address of a byte of the disk with this number, from 0."""
    return disk << DISK_SHIFT | offset


def block_address(pointer: BlockPointer) -> int:
    """Return the address of the first byte of a ZFS block as it is after decompression."""
    dva = pointer.dvas[0]
    return DECODED | dva.vdev << 56 | dva.offset >> _SECTOR_SHIFT << _BLOCK_SHIFT


def patched(data: bytes, address: int, edits: Sequence[Edit]) -> bytes:
    """Return the bytes from `address` on with the edits that lie in them."""
    out = None
    for where, new in edits:
        at = where - address
        if -len(new) < at < len(data):
            out = bytearray(data) if out is None else out
            first, last = max(at, 0), min(at + len(new), len(data))
            out[first:last] = new[first - at : last - at]
    return data if out is None else bytes(out)


class Edited(Source):
    """Disk number `disk` of a guest with edits, and cut off behind `size` bytes when that is given."""

    def __init__(self, base: Source, disk: int, edits: Sequence[Edit], size: int | None = None) -> None:
        self.base = base
        self.name = base.name
        self.size = base.size if size is None else min(size, base.size)
        self.start = disk_address(disk, 0)
        self.edits = [edit for edit in edits if edit.address >> DISK_SHIFT == disk]
        self.note: Callable[[int, int], None] | None = None

    def _read(self, offset: int, length: int) -> bytes:
        if self.note:
            self.note(self.start + offset, length)
        return patched(self.base.read(offset, length), self.start + offset, self.edits)

    def _pieces(self, offset: int, length: int) -> Iterator[FilePiece | bytes]:
        for at in range(offset, offset + length, _CHUNK):
            yield self._read(at, min(_CHUNK, offset + length - at))


# --- ZFS: blocks after decompression ---------------------------------------------------------------

_original_read = BlockReader.read
_block_edits: list[Edit] = []
_note_block: list[Callable[[int, int], None]] = []


def _edited_read(self: BlockReader, pointer: BlockPointer) -> bytes:
    data = _original_read(self, pointer)
    if pointer.dvas and not pointer.hole:
        address = block_address(pointer)
        for note in _note_block:
            note(address, len(data))
        if _block_edits:
            data = patched(data, address, _block_edits)
    return data


@contextlib.contextmanager
def blocks_edited(edits: Sequence[Edit], note: Callable[[int, int], None] | None = None) -> Iterator[None]:
    """Let blocks of ZFS be read with the edits of their contents; `note` is told of each block."""
    BlockReader.read = _edited_read  # type: ignore[method-assign]
    _block_edits[:] = [edit for edit in edits if edit.address >= DECODED]
    _note_block[:] = [note] if note else []
    try:
        yield
    finally:
        BlockReader.read = _original_read  # type: ignore[method-assign]


# --- checksums that always hold ------------------------------------------------------------------------


class Holds(int):
    """A checksum that is equal to whatever it is compared with, as if the attacker had computed it."""

    def __eq__(self, _other: object) -> bool:
        return True

    def __ne__(self, _other: object) -> bool:
        return False

    def __hash__(self) -> int:
        return 0

    def __and__(self, _other: int) -> Holds:
        return self

    __xor__ = __rxor__ = __or__ = __rand__ = __and__


class HeldBytes(bytes):
    """The same for checksums side by side, as bytes."""

    def startswith(self, *_: object) -> bool:  # type: ignore[override]
        """Whether they are those that are stored: always."""
        return True


class HeldWords(tuple[Any, ...]):
    """The same for a checksum of several words."""

    __slots__ = ()

    def __eq__(self, _other: object) -> bool:
        return True

    def __ne__(self, _other: object) -> bool:
        return False

    def __hash__(self) -> int:
        return 0


def _holds(*_: object, **__: object) -> Holds:
    return Holds()


def _records_hold(data: bytes, size: int) -> list[Holds]:
    return [Holds()] * (len(data) // size)


@functools.cache
def _replacements() -> tuple[tuple[Any, str, Any], ...]:
    """Return every place that a checksum is computed through: module, name, what takes its place.

    A wrong one of an El Torito catalogue or a disklabel is only warned of, and stays as it is.
    """
    modules = [module for key, module in list(sys.modules.items()) if key.startswith("pybootcfg.")]
    found = [
        (module, name, _holds)
        for name in ("crc32c", "crc32c_word", "crc32c_zeros", "crc16", "crc32_be")
        for module in modules
        if name in vars(module) and module.__name__ != "pybootcfg.checksums"
    ]
    from pybootcfg.filesystems import exfat
    from pybootcfg.filesystems.ext import directory, glances, inode
    from pybootcfg.volumes import gpt, vtoc

    return (
        *found,
        *((module, "crc32c_records", _records_hold) for module in (directory, inode)),
        (glances, "crc32c_planes", lambda *_: HeldBytes()),
        (gpt, "zlib", types.SimpleNamespace(crc32=_holds)),
        (vtoc, "_checksum_holds", lambda _: True),
        (exfat, "checksum", _holds),
        (zfs_checksum, "checksum", lambda *_, **__: None),
        (zfs_checksum, "embedded", lambda _: HeldWords((0, 0, 0, 0))),
    )


@contextlib.contextmanager
def checksums_held() -> Iterator[None]:
    """Take every checksum for right."""
    before = []
    for module, name, new in _replacements():
        before.append((module, name, getattr(module, name)))
        setattr(module, name, new)
    try:
        yield
    finally:
        for module, name, old in reversed(before):
            setattr(module, name, old)
