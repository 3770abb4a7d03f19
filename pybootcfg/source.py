"""Where bytes come from: files and block devices, windows onto them, overlays of replaced blocks.

A `Source` has a size and is read at any offset; a read returns all it was asked for or raises.
`pieces` says in which open file the bytes lie, so that extraction can copy inside the kernel.
"""

from __future__ import annotations

import os
import stat
from abc import ABC, abstractmethod

from pybootcfg import limits
from pybootcfg.errors import ImageError, UsageError
from pybootcfg.values import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class FilePiece(NamedTuple):
    """`length` bytes at `offset` of an open file."""

    fd: int
    offset: int
    length: int


class Source(ABC):
    """A fixed number of bytes that can be read at any offset."""

    name: str  #: for messages: a path, or `d1p2`
    size: int  #: bytes

    @abstractmethod
    def _read(self, offset: int, length: int) -> bytes:
        """Return exactly `length` bytes; offset and length are within bounds."""

    @abstractmethod
    def _pieces(self, offset: int, length: int) -> Iterator[FilePiece | bytes]:
        """Yield where the bytes lie, in order; offset and length are within bounds."""

    def read(self, offset: int, length: int, structure: str = "") -> bytes:
        """Return exactly `length` bytes at `offset`.

        Raises ImageError when they are not all there, LimitExceeded for lengths that no structure has.
        """
        limits.READ_SIZE.check(length, structure)
        self._check(offset, length, structure)
        return self._read(offset, length)

    def pieces(self, offset: int, length: int) -> Iterator[FilePiece | bytes]:
        """Yield the open files' ranges (or bytes in hand) that hold `length` bytes at `offset`."""
        self._check(offset, length, "")
        return self._pieces(offset, length)

    def _check(self, offset: int, length: int, structure: str) -> None:
        if offset < 0 or length < 0 or offset + length > self.size:
            raise ImageError(
                f"{length} bytes wanted, but the end is at byte {self.size:#x}",
                offset=offset,
                structure=structure,
                source=self.name,
                hint="the image is truncated, or a pointer in it is wrong",
            )


class FileSource(Source):
    """An image file or block device, open for reading.  Owns its descriptor."""

    def __init__(self, fd: int, name: str) -> None:
        self.fd = fd
        self.name = name
        mode = os.fstat(fd).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISBLK(mode)):
            raise UsageError(f"{name} is neither a regular file nor a block device")
        self.size = os.lseek(fd, 0, os.SEEK_END)  # st_size of a block device is 0

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> FileSource:
        """Open `path` read-only; raises OSError, and UsageError for what is not a disk."""
        # O_NONBLOCK: opening a FIFO must be refused, not wait for a writer.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            return cls(fd, os.fspath(path))
        except (UsageError, OSError):
            os.close(fd)
            raise

    def close(self) -> None:
        """Close the descriptor; the source must not be read again."""
        os.close(self.fd)

    def _read(self, offset: int, length: int) -> bytes:
        limits.TOTAL_READS.add()
        limits.TOTAL_READ.add(length)
        data = self._part(offset, length)
        if len(data) == length:
            return data
        chunks = [data]
        while data and (length := length - len(data)):
            offset += len(data)
            data = self._part(offset, length)
            chunks.append(data)
        if not data:
            raise ImageError("the file became shorter while it was read", offset=offset, source=self.name)
        return b"".join(chunks)

    def _part(self, offset: int, length: int) -> bytes:
        """Return up to `length` bytes; an OSError says where on the disk it happened."""
        try:
            return os.pread(self.fd, length, offset)
        except OSError as error:
            raise unreadable(error, offset, self.name) from error

    def _pieces(self, offset: int, length: int) -> Iterator[FilePiece | bytes]:
        yield FilePiece(self.fd, offset, length)


def unreadable(error: OSError, offset: int, name: str = "") -> OSError:
    """Return the error that the system gave for reading, with the byte of the disk at which that was."""
    return OSError(error.errno, f"{error.strerror} at byte {offset:#x}", *([name] if name else []))


class MemorySource(Source):
    """Bytes that are in hand already, such as the decoded contents of a small file."""

    def __init__(self, data: bytes, name: str) -> None:
        self.data = data
        self.name = name
        self.size = len(data)

    def _read(self, offset: int, length: int) -> bytes:
        return self.data[offset : offset + length]

    def _pieces(self, offset: int, length: int) -> Iterator[FilePiece | bytes]:
        yield self.data[offset : offset + length]


class Window(Source):
    """`size` bytes of another source from `start` on, such as a partition of a disk."""

    def __init__(self, base: Source, start: int, size: int, name: str) -> None:
        base._check(start, 0, name)
        self.base = base
        self.start = start
        self.size = min(size, base.size - start)  # a truncated image still shows what it has
        self.name = name

    def _read(self, offset: int, length: int) -> bytes:
        return self.base._read(self.start + offset, length)

    def _pieces(self, offset: int, length: int) -> Iterator[FilePiece | bytes]:
        return self.base._pieces(self.start + offset, length)


class Sectors(Source):
    """A source whose bytes lie piece by piece on another one, such as in raw sectors of a CD."""

    base: Source

    @abstractmethod
    def place(self, offset: int) -> int:
        """Return where a byte lies on `base`."""


class Overlay(Source):
    """Another source with some of its blocks replaced, such as a file system after journal replay.

    `blocks` maps a block number to the byte offset in `base` where the newer contents lie, or to
    the contents themselves (exactly `block_size` bytes).
    """

    def __init__(self, base: Source, block_size: int, blocks: Mapping[int, int | bytes]) -> None:
        self.base = base
        self.block_size = block_size
        self.blocks = blocks
        self.name = base.name
        self.size = base.size

    def _spans(self, offset: int, length: int) -> Iterator[tuple[int | bytes, int]]:
        """Yield (offset in base | bytes in hand, length), neighbours joined."""
        start, end = offset, offset  # the run of base bytes not yet yielded
        stop = offset + length
        while offset < stop:
            number, skip = divmod(offset, self.block_size)
            count = min(self.block_size - skip, stop - offset)
            newer = self.blocks.get(number)
            here = offset if newer is None else newer if isinstance(newer, bytes) else newer + skip
            if isinstance(here, bytes):
                if end > start:
                    yield start, end - start
                yield here[skip : skip + count], count
                start = end = offset + count
            elif here == end:
                end += count
            else:
                if end > start:
                    yield start, end - start
                start, end = here, here + count
            offset += count
        if end > start:
            yield start, end - start

    def _read(self, offset: int, length: int) -> bytes:
        return b"".join(
            where if isinstance(where, bytes) else self.base.read(where, count)
            for where, count in self._spans(offset, length)
        )

    def _pieces(self, offset: int, length: int) -> Iterator[FilePiece | bytes]:
        for where, count in self._spans(offset, length):
            if isinstance(where, bytes):
                yield where
            else:
                yield from self.base.pieces(where, count)
