"""Copy file contents out of a guest, run by run, in the kernel where it can.

Nothing here holds a file in memory: ranges of the image are copied with copy_file_range, else with
sendfile, else through one buffer; holes stay holes in a regular file.
"""

from __future__ import annotations

import errno
import os

from pybootcfg import limits
from pybootcfg.errors import ImageError
from pybootcfg.filesystems.base import Extent, Hole, Inline, Node, Run
from pybootcfg.source import FilePiece, unreadable
from pybootcfg.values import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

CHUNK = 1 << 20  #: bytes per read where the kernel cannot copy
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
    for run in runs:
        if isinstance(run, Hole) and regular:
            os.lseek(out, run.length, os.SEEK_CUR)
        else:
            limits.TOTAL_COPIED.add(run.length)
            _copy_run(run, out)
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


def _copy_run(run: Run, out: int) -> None:
    if isinstance(run, Extent):
        for piece in run.source.pieces(run.offset, run.length):
            if isinstance(piece, bytes):
                _write(out, piece)
            else:
                _copy_piece(piece, out)
    else:
        for data in chunks((run,)):
            _write(out, data)


def _copy_piece(piece: FilePiece, out: int) -> None:
    fd, offset, length = piece
    for copy in (_copy_file_range, os.sendfile, _copy_through_memory):
        while length:
            try:
                done = copy(out, fd, offset, length)
            except OSError as error:
                if error.errno in _CANNOT and copy is not _copy_through_memory:
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


def _copy_through_memory(out: int, fd: int, offset: int, length: int) -> int:
    try:
        data = os.pread(fd, min(length, CHUNK), offset)
    except OSError as error:
        raise unreadable(error, offset) from error
    _write(out, data)
    return len(data)


def _write(out: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(out, view) :]
