"""Disks with faults: a mapped image of which some bytes are read as others."""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from pybootcfg.source import FilePiece, Source

#: told of each read: (number of the disk, offset in bytes, length in bytes)
Witness = Callable[[int, int, int], None]


class MappedDisk(Source):
    """An image file, shared by all runs; `patches` are the bytes that stand over its own, by offset."""

    def __init__(self, path: Path, number: int) -> None:
        self.name = path.name
        self.number = number
        self.fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.size = os.fstat(self.fd).st_size
        self.map = mmap.mmap(self.fd, self.size, prot=mmap.PROT_READ)
        self.patches: list[tuple[int, bytes]] = []
        self.witness: Witness | None = None  #: of bytes that are read into memory
        self.log: list[tuple[int, int]] | None = None  #: of all that is read or copied, where there is one

    def _read(self, offset: int, length: int) -> bytes:
        if self.witness:
            self.witness(self.number, offset, length)
        if self.log is not None:
            self.log.append((offset, length))
        data = self.map[offset : offset + length]
        for at, patch in self.patches:
            if at < offset + length and offset < at + len(patch):
                start = max(at, offset)
                piece = patch[start - at : offset + length - at]
                data = data[: start - offset] + piece + data[start - offset + len(piece) :]
        return data

    def _pieces(self, offset: int, length: int) -> Iterator[FilePiece | bytes]:
        """Yield the image itself, whose contents of files nobody changed, but for patched places."""
        if self.log is not None:
            self.log.append((offset, length))
        stop = offset + length
        for at, patch in sorted(self.patches):
            if at < stop and offset < at + len(patch):
                if offset < at:
                    yield FilePiece(self.fd, offset, at - offset)
                    offset = at
                end = min(stop, at + len(patch))
                yield self._read(offset, end - offset)
                offset = end
        if offset < stop:
            yield FilePiece(self.fd, offset, stop - offset)

    def close(self) -> None:
        """Unmap and close the file; nothing of it must be read again."""
        self.map.close()
        os.close(self.fd)
