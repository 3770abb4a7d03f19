"""Files that fail under whoever reads them: system calls are replaced, nothing of the package."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pybootcfg.source import FileSource

#: makes of (descriptor, offset, wanted length, number of the call) how many bytes may be read, or raises
Allowance = Callable[[int, int, int, int], int]
#: makes of (offset, data, number of the call) what is read
Alteration = Callable[[int, bytes, int], bytes]


@contextmanager
def reading(sources: list[FileSource], allow: Allowance, alter: Alteration | None = None) -> Iterator[None]:
    """Let reads of these files, by whatever system call, give what `allow` and `alter` say."""
    fds = {source.fd for source in sources}
    calls = 0
    pread, preadv, sendfile, copy_file_range = os.pread, os.preadv, os.sendfile, os.copy_file_range

    def faulty_pread(fd: int, length: int, offset: int) -> bytes:
        nonlocal calls
        if fd not in fds:
            return pread(fd, length, offset)
        calls += 1
        data = pread(fd, allow(fd, offset, length, calls), offset)
        return alter(offset, data, calls) if alter else data

    def faulty_preadv(fd: int, buffers: list[memoryview], offset: int) -> int:
        if fd not in fds:
            return preadv(fd, buffers, offset)
        (buffer,) = buffers
        data = faulty_pread(fd, len(buffer), offset)
        buffer[: len(data)] = data
        return len(data)

    def faulty_sendfile(out: int, fd: int, offset: int, length: int) -> int:
        nonlocal calls
        if fd not in fds:
            return sendfile(out, fd, offset, length)
        calls += 1
        length = allow(fd, offset, length, calls)
        if alter:
            return os.write(out, alter(offset, pread(fd, length, offset), calls))
        return sendfile(out, fd, offset, length) if length else 0

    def faulty_copy(_fd: int, _out: int, _length: int, _offset: int) -> int:
        raise OSError(errno.EXDEV, "not here")

    os.pread, os.preadv = faulty_pread, faulty_preadv  # type: ignore[assignment]
    os.sendfile, os.copy_file_range = faulty_sendfile, faulty_copy  # type: ignore[assignment]
    try:
        yield
    finally:
        os.pread, os.preadv, os.sendfile, os.copy_file_range = pread, preadv, sendfile, copy_file_range


def short(_fd: int, _offset: int, length: int, number: int) -> int:
    """Give a part of what is wanted, mostly."""
    return max(1, length // (1 + number % 3)) if length else 0


def broken_at(broken: int, disk: FileSource) -> Allowance:
    """Let the sector that holds byte `broken` of one disk be unreadable."""
    start = broken // 512 * 512

    def allow(fd: int, offset: int, length: int, _number: int) -> int:
        if fd != disk.fd or offset >= start + 512 or offset + length <= start:
            return length
        if offset >= start:
            raise OSError(errno.EIO, "Input/output error")
        return start - offset  # up to there all is well

    return allow


def shrinking(after: int, end: int) -> Allowance:
    """Let files end at byte `end` once they have been read `after` times."""
    return lambda _fd, offset, length, number: (
        length if number <= after else max(0, min(length, end - offset))
    )


def changing(after: int, period: int) -> Alteration:
    """Let every `period`-th byte be another one once the file has been read `after` times."""

    def alter(offset: int, data: bytes, number: int) -> bytes:
        if number <= after:
            return data
        changed = bytearray(data)
        for at in range(-offset % period, len(data), period):
            changed[at] ^= (at + offset + number) % 255 + 1
        return bytes(changed)

    return alter


def everything(_fd: int, _offset: int, length: int, _number: int) -> int:
    """Give what is wanted."""
    return length
