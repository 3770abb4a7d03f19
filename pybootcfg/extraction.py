"""Copy file contents out of a guest, run by run, in the kernel where it can.

Nothing here holds a file in memory: ranges of the image are copied with copy_file_range, else with
sendfile, else through one buffer; holes stay holes in a regular file.

Inside the kernel a copy goes page by page.  Where the pages of image and file do not lie alike, each
comes in two parts, which takes longer than reading and writing: such ranges go through the buffer at once.
"""

from __future__ import annotations

import errno
import functools
import os

from pybootcfg import limits
from pybootcfg.errors import ImageError
from pybootcfg.filesystems.base import Extent, Hole, Inline, Node, Run
from pybootcfg.source import FilePiece, unreadable
from pybootcfg.values import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

CHUNK = 1 << 20  #: bytes per read of what is not copied out
#: bytes that are copied at once where the kernel does not copy.  For a write of a MiB it looks for pieces of
#: memory as large, which, when what is free lies scattered, takes up to ten times as long as all the rest.
COPIED_AT_ONCE = 1 << 18
_PAGE = os.sysconf("SC_PAGESIZE")
_ZEROS = bytes(1 << 16)

#: what copy_file_range and sendfile answer when the two files are not of a kind they can serve
_CANNOT = {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.EBADF}
_CANNOT.add(errno.EIO)  # which of the two it was, and where, is found out by reading


class _Hash(Protocol):
    def update(self, data: bytes, /) -> object: ...


def copy_runs(runs: Iterable[Run], out: int, *, regular: bool) -> int:
    """Write the runs to descriptor `out` from its current position; return the bytes written.

    With `regular`, `out` is a fresh regular file and holes are left unwritten.  Raises OSError for
    what goes wrong with either file, and what the runs raise.
    """
    total = 0
    start = os.lseek(out, 0, os.SEEK_CUR) if regular else 0
    for run in runs:
        if isinstance(run, Hole) and regular:
            os.lseek(out, run.length, os.SEEK_CUR)
        else:
            limits.TOTAL_COPIED.add(run.length)
            _copy_run(run, out, start + total if regular else None)
        total += run.length
    if regular:
        # A hole at the end leaves the file short; its length is part of its contents.
        os.ftruncate(out, os.lseek(out, 0, os.SEEK_CUR))
    return total


def copy_file(node: Node, out: int, *, regular: bool = True) -> int:
    """Copy a whole file, at most limits.FILE_SIZE; return its size in bytes."""
    limits.FILE_SIZE.check(node.size)
    return copy_runs(node.runs(), out, regular=regular)


def hash_file(node: Node, hasher: _Hash) -> None:
    """Feed a file's contents to `hasher` in bounded pieces."""
    for chunk in chunks(node.runs()):
        hasher.update(chunk)


def chunks(runs: Iterable[Run]) -> Iterator[bytes]:
    """Yield the contents of the runs in pieces of at most CHUNK bytes."""
    for run in runs:
        if isinstance(run, Inline):
            yield run.data
        elif isinstance(run, Hole):
            yield from _zeros(run.length)
        else:
            for start in range(0, run.length, CHUNK):
                yield run.source.read(run.offset + start, min(CHUNK, run.length - start))


def _zeros(length: int) -> Iterator[bytes]:
    while length > 0:
        yield _ZEROS[: min(length, len(_ZEROS))]
        length -= len(_ZEROS)


def _copy_run(run: Run, out: int, at: int | None) -> None:
    """Copy one run to the offset `at` of a file; None in a pipe, which takes pages as they are."""
    if not isinstance(run, Extent):
        for data in chunks((run,)):
            _write(out, data)
        return
    for piece in run.source.pieces(run.offset, run.length):
        if isinstance(piece, bytes):
            _write(out, piece)
        else:
            _copy_piece(piece, out, alike=at is None or (piece.offset - at) % _PAGE == 0)
        if at is not None:
            at += len(piece) if isinstance(piece, bytes) else piece.length


def _copy_piece(piece: FilePiece, out: int, *, alike: bool) -> None:
    """Copy a range of an image; `alike` tells whether its pages lie as those of the file."""
    fd, offset, length = piece
    ways = (_copy_file_range, os.sendfile, _through_memory) if alike else (_through_memory,)
    for copy in ways:
        while length:
            try:
                done = copy(out, fd, offset, length)
            except OSError as error:
                if error.errno in _CANNOT and copy is not _through_memory:
                    break
                raise
            if done == 0:
                raise ImageError("the file became shorter while it was copied", offset=offset)
            offset += done
            length -= done
        if not length:
            return


def _copy_file_range(out: int, fd: int, offset: int, length: int) -> int:
    return os.copy_file_range(fd, out, length, offset)


def _through_memory(out: int, fd: int, offset: int, length: int) -> int:
    buffer = _buffer()[:length]
    try:
        done = os.preadv(fd, [buffer], offset)
    except OSError as error:
        raise unreadable(error, offset) from error
    _write(out, buffer[:done])
    return done


@functools.cache
def _buffer() -> memoryview:
    """Return the one buffer of all copies, made when the first of them needs it."""
    return memoryview(bytearray(COPIED_AT_ONCE))


def _write(out: int, data: bytes | memoryview) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(out, view) :]
