"""A file of a guest as a source of its own, such as the ISO image that `loopback` names."""

from __future__ import annotations

import bisect

from pybootcfg import limits
from pybootcfg.errors import GuestFileMissing, ImageError
from pybootcfg.filesystems.base import Extent, Hole, Inline, Node, Run
from pybootcfg.kind import Kind
from pybootcfg.source import FilePiece, Source
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class NodeSource(Source):
    """The contents of a regular file at any offset; its runs are held, its bytes are not."""

    def __init__(self, node: Node, name: str) -> None:
        if node.kind is not Kind.FILE:
            raise GuestFileMissing(name, f"not a file, but a {node.kind}")
        self.name = name
        self.size = node.size
        self._starts: list[int] = []
        self._runs: list[Run] = []
        position = 0
        # Not run to its end: some nodes close then what they have opened.
        self._unfinished = node.runs()
        while position < self.size and (run := next(self._unfinished, None)):
            limits.LOOPBACK_RUNS.check(len(self._runs), name)
            self._starts.append(position)
            self._runs.append(run)
            position += run.length
        if position < self.size:
            raise ImageError(f"the file has {self.size} bytes, but only {position} are there", source=name)

    def _spans(self, offset: int, length: int) -> Iterator[Run]:
        """Yield what of the runs covers the range."""
        index = bisect.bisect_right(self._starts, offset) - 1
        while length:
            run, skip = self._runs[index], offset - self._starts[index]
            count = min(run.length - skip, length)
            if isinstance(run, Extent):
                yield Extent(run.source, run.offset + skip, count)
            else:
                yield Inline(run.data[skip : skip + count]) if isinstance(run, Inline) else Hole(count)
            offset += count
            length -= count
            index += 1

    def _read(self, offset: int, length: int) -> bytes:
        return b"".join(
            span.source.read(span.offset, span.length)
            if isinstance(span, Extent)
            else span.data
            if isinstance(span, Inline)
            else bytes(span.length)
            for span in self._spans(offset, length)
        )

    def _pieces(self, offset: int, length: int) -> Iterator[FilePiece | bytes]:
        for span in self._spans(offset, length):
            if isinstance(span, Extent):
                yield from span.source.pieces(span.offset, span.length)
            elif isinstance(span, Inline):
                yield span.data
            else:
                for start in range(0, span.length, limits.MIB):
                    yield bytes(min(limits.MIB, span.length - start))
