"""The bytes of a file as they are stored: its sections, each in one piece or interleaved."""

from __future__ import annotations

import bisect
import functools

from pybootcfg import limits
from pybootcfg.errors import ImageError
from pybootcfg.filesystems.base import Extent
from pybootcfg.source import Source
from pybootcfg.values import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator


class Section(NamedTuple):
    """One file section (ECMA-119 clause 6.4): what one directory record points at.

    `location`, `unit` and `gap` are in logical blocks, `length` in bytes.  With `unit` not zero the
    section is interleaved: `unit` blocks of it, then `gap` blocks of something else, and so on.
    """

    location: int
    length: int
    unit: int = 0
    gap: int = 0


class Contents:
    """The sections of one file, in order."""

    def __init__(self, source: Source, block_size: int, sections: tuple[Section, ...]) -> None:
        self.source = source
        self.block_size = block_size
        self.sections = sections
        self.size = sum(section.length for section in sections)

    def extents(self) -> Iterator[Extent]:
        """Yield where the bytes lie, neighbours joined; ImageError for what lies outside the image."""
        start = end = 0
        for offset, length in self._pieces():
            if offset + length > self.source.size:
                raise ImageError(
                    f"a file section of {length} bytes ends behind the end of the image"
                    f" at byte {self.source.size:#x}",
                    offset=offset,
                    structure="file section",
                    source=self.source.name,
                    hint="the image is truncated, or its directory is damaged",
                )
            if offset != end:
                if end > start:
                    yield Extent(self.source, start, end - start)
                start = offset
            end = offset + length
        if end > start:
            yield Extent(self.source, start, end - start)

    def read(self, offset: int, length: int) -> bytes:
        """Return `length` bytes at `offset` of the file; ImageError when they are not all there."""
        extents, ends = self._index
        chunks = []
        wanted = length
        for number in range(bisect.bisect_right(ends, offset), len(extents)):
            if not wanted:
                break
            extent = extents[number]
            skip = offset - (ends[number] - extent.length)
            count = min(wanted, extent.length - skip)
            chunks.append(self.source.read(extent.offset + skip, count))
            offset, wanted = offset + count, wanted - count
        if wanted:
            raise ImageError(
                f"{length} bytes of a file wanted, but {length - wanted} left", source=self.source.name
            )
        return b"".join(chunks)

    @functools.cached_property
    def _index(self) -> tuple[list[Extent], list[int]]:
        """All extents, and where each ends in the file; for reads at random."""
        budget = limits.ISO9660_EXTENTS.budget("interleaved file")
        extents, ends, end = [], [], 0
        for extent in self.extents():
            budget.spend()
            end += extent.length
            extents.append(extent)
            ends.append(end)
        return extents, ends

    def _pieces(self) -> Iterator[tuple[int, int]]:
        """Yield (byte offset in the source, length), in order."""
        for section in self.sections:
            offset, left = section.location * self.block_size, section.length
            if not section.unit:
                if left:
                    yield offset, left
                continue
            unit = section.unit * self.block_size
            step = unit + section.gap * self.block_size
            while left:
                length = min(unit, left)
                yield offset, length
                offset, left = offset + step, left - length
