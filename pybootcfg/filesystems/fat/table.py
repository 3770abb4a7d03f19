"""The file allocation table: chains of clusters, followed as runs; common to FAT and exFAT.

The table is read in windows of a few thousand entries, a bounded number of which is kept.  A window
in which each cluster is followed by the next one is compared with what it must be, as a whole; one of
any other kind is decoded, once, and its breaks are found in bulk.  So a contiguous file costs one step
per window and not one per cluster.

Where a volume has several copies of its table, they are compared as they are read.  A damaged
stretch of the first copy is made good from another one.
"""

from __future__ import annotations

import functools
from bisect import bisect_left

from pybootcfg import limits
from pybootcfg.errors import ImageError
from pybootcfg.schema import Decoder
from pybootcfg.source import Source
from pybootcfg.values import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Sequence

WINDOW = 4096  #: entries per window: 16 KiB of a FAT32
_WINDOWS_KEPT = 32
_COPIES_COMPARED = 4  #: real volumes have two; the field allows 255
_CHAIN_ENDS_KEPT = 16384
_FIRST_CLUSTER = 2


class EntryFormat(NamedTuple):
    """How a table stores its entries: `decoder` reads a unit of `unit_size` bytes, `unit_entries` entries."""

    decoder: Decoder
    unit_size: int
    unit_entries: int
    mask: int  #: the bits that count
    bad: int  #: the mark of a bad cluster; greater values end a chain


class ClusterRun(NamedTuple):
    """`length` clusters that lie side by side from `first` on."""

    first: int
    length: int


class _Window(NamedTuple):
    entries: Sequence[int]
    breaks: list[int]  #: clusters whose entry is not the following cluster


@functools.lru_cache(4)
def _numbers(bits: int, count: int) -> tuple[int, int]:
    """Return two tables of `count` entries of so many bits, as numbers: 1, 1, 1, ... and 1, 2, 3, ..."""
    ones = ((1 << bits * count) - 1) // ((1 << bits) - 1)
    return ones, ((count << bits * count) - ones) // ((1 << bits) - 1)


def _counting(first: int, count: int, bits: int, size: int) -> bytes:
    """Return the `size` bytes of a table in which each of `count` clusters from `first` on names the next.

    In all its forms, that of three bytes for two entries too, a table is one little-endian number with a
    digit of `bits` bits for each cluster.  Two sums make it, in place of a step for each entry.
    """
    ones, upwards = _numbers(bits, count)
    return (first * ones + upwards).to_bytes(size, "little")


class FileAllocationTable:
    """All copies of the table of one volume, the one that counts first.

    `offsets` are in bytes of `source`; `end` is one more than the last valid cluster number, unless
    numbers end before it.
    """

    def __init__(
        self,
        source: Source,
        offsets: tuple[int, ...],
        layout: EntryFormat,
        end: int,
        warn: Callable[[str], None],
        *,
        media: int | None = None,
        sector_size: int = 512,
    ) -> None:
        self.source = source
        self.offsets = offsets[:_COPIES_COMPARED]
        self.layout = layout
        self.end = min(end, layout.bad)
        self.warn = warn
        self.media = media
        # Copies are judged stretch by stretch; an entry of FAT12 may lie across two sectors, not across six.
        self._stretch = sector_size * (3 if layout.unit_entries == 2 else 1)
        self._window = functools.lru_cache(_WINDOWS_KEPT)(self._load)
        self._ends: dict[int, Hashable] = {}
        self._told: set[int] = set()

    def chain(self, first: int, owner: Hashable, needed: int | None = None) -> Iterator[ClusterRun]:
        """Yield the clusters of the chain that begins at `first` as runs, to its end.

        `needed` is the number of clusters that the file's size asks for: damage of the chain beyond
        them is only a warning.  `owner` tells files apart, to find chains that share clusters.
        Raises ImageError for damage and for a chain that leads back into itself.
        """
        loaded = self._window.cache_info().misses
        start, count, done = first, 0, 0
        cluster, window_number = first, -1
        anchor, steps, power = 0, 0, 1  # Brent's cycle finding, over the places where the walk jumps
        self._check(first)
        while True:
            number = cluster // WINDOW
            last = self._stretch_end(cluster)
            if number != window_number:
                limits.FAT_CHAIN_WINDOWS.check(self._window.cache_info().misses - loaded)
                window_number = number
            if start + count != cluster:
                yield ClusterRun(start, count)
                start, count = cluster, 0
            count += last - cluster + 1
            done += last - cluster + 1
            wanted = needed is None or done < needed
            following = self._follow(last, wanted=wanted, end_expected=needed is None)
            if following is None:
                break
            if following in (anchor, cluster):
                yield ClusterRun(start, count)
                raise self._error("the chain of clusters leads back into itself", last)
            steps += 1
            if steps == power:
                anchor, steps, power = following, 0, power * 2
            cluster = following
        yield ClusterRun(start, count)
        self._note_end(last, owner, first)

    def _stretch_end(self, cluster: int) -> int:
        """Return the last cluster of those that follow `cluster` side by side, within its window."""
        base = cluster - cluster % WINDOW
        window = self._window(cluster // WINDOW)
        place = bisect_left(window.breaks, cluster)
        if place < len(window.breaks):
            return window.breaks[place]
        return base + len(window.entries) - 1

    def _follow(self, cluster: int, *, wanted: bool, end_expected: bool) -> int | None:
        """Return the cluster after `cluster`; None at the end of the chain.

        Where the entry makes no sense, the other copies are asked.
        """
        value = self._window(cluster // WINDOW).entries[cluster % WINDOW]
        if _FIRST_CLUSTER <= value < self.end:
            return value
        ends = value > self.layout.bad
        if ends and (end_expected or not wanted):
            return None
        for number, offset in enumerate(self.offsets[1:], 2):
            other = self._entry(offset, cluster)
            if _FIRST_CLUSTER <= other < self.end or (other > self.layout.bad and end_expected):
                self._tell(number, f"the FAT is damaged at cluster {cluster}; copy {number} is used there")
                return None if other > self.layout.bad else other
        if ends:
            return None  # the caller says that the chain is too short
        fault = self._fault(value)
        if not wanted:
            self.warn(f"the chain of a file does not end properly: {fault} follows cluster {cluster}")
            return None
        raise self._error(f"the chain of clusters is broken: {fault} follows", cluster)

    def _fault(self, value: int) -> str:
        if value == 0:
            return "a free cluster"
        if value == self.layout.bad:
            return "a cluster marked bad"
        return f"cluster {value}, which does not exist,"

    def _check(self, first: int) -> None:
        if not _FIRST_CLUSTER <= first < self.end:
            raise ImageError(
                f"cluster {first} does not exist; the last one is {self.end - 1}",
                structure="directory entry",
                source=self.source.name,
            )

    def _error(self, message: str, cluster: int) -> ImageError:
        unit, size = self.layout.unit_entries, self.layout.unit_size
        return ImageError(
            message,
            offset=self.offsets[0] + cluster * size // unit,
            structure=f"FAT entry of cluster {cluster}",
            source=self.source.name,
            hint="fsck.fat shows and repairs such damage",
        )

    def _tell(self, number: int, message: str) -> None:
        """Warn of the first place only at which copy `number` is preferred."""
        if number not in self._told:
            self._told.add(number)
            self.warn(message)

    def _note_end(self, last: int, owner: Hashable, first: int) -> None:
        """Remember whose chain ends in `last`: of two chains that share clusters both end in the same."""
        known = self._ends.get(last)
        if known is None:
            if len(self._ends) < _CHAIN_ENDS_KEPT:
                self._ends[last] = owner
        elif known != owner:
            self.warn(f"two files are cross-linked: both chains end in cluster {last}, one begins at {first}")

    def _entry(self, offset: int, cluster: int) -> int:
        """Return the entry of one cluster from the copy at `offset`."""
        base = cluster - cluster % self.layout.unit_entries
        return self._decode(self._read(offset, base, cluster - base + 1), cluster - base + 1)[-1]

    def _read(self, offset: int, first: int, count: int) -> bytes:
        """Read `count` entries from `first` on, which begins a unit."""
        unit, size = self.layout.unit_entries, self.layout.unit_size
        start = offset + first // unit * size
        exact = -(-count * size // unit)  # an odd last entry of FAT12 has two bytes, not three
        data = self.source.read(start, exact, "file allocation table")
        return data + bytes(-len(data) % size)

    def _decode(self, data: bytes, count: int) -> tuple[int, ...]:
        layout = self.layout
        values = layout.decoder.array(data, -(-count // layout.unit_entries))
        if layout.unit_entries == 1:
            return values
        return tuple(entry for pair in values for entry in (pair & 0xFFF, pair >> 12))[:count]

    def _load(self, number: int) -> _Window:
        first = number * WINDOW
        count = min(WINDOW, self.end - first)
        data = self._read(self.offsets[0], first, count)
        if len(self.offsets) > 1:
            others = [self._read(offset, first, count) for offset in self.offsets[1:]]
            if any(other != data for other in others):
                data = self._best(first, [data, *others])
        bits = self.layout.unit_size * 8 // self.layout.unit_entries
        if data == _counting(first, count, bits, len(data)):
            entries: Sequence[int] = range(first + 1, first + 1 + count)
            breaks = []
        else:
            mask = self.layout.mask
            entries = self._decode(data, count)
            breaks = [cluster for cluster, value in enumerate(entries, first) if value != cluster + 1]
            if mask != 0xFFFFFFFF and max(entries) > mask:
                entries = tuple(value & mask for value in entries)
        # The last cluster's entry can name `end`, which does not exist.
        if entries[-1] == self.end and first + count == self.end:
            breaks.append(self.end - 1)
        return _Window(entries, breaks)

    def _best(self, first: int, copies: list[bytes]) -> bytes:
        """Put the window together from the most plausible stretch of each place; the first copy wins ties."""
        unit, size = self.layout.unit_entries, self.layout.unit_size
        chosen = []
        for start in range(0, len(copies[0]), self._stretch):
            stretches = [copy[start : start + self._stretch] for copy in copies]
            begin = first + start // size * unit
            ranks = [self._implausible(stretch, begin) for stretch in stretches]
            best = ranks.index(min(ranks))
            chosen.append(stretches[best])
            if best:
                number = best + 1
                self._tell(number, f"the FAT is damaged from cluster {begin} on; copy {number} is used there")
            elif any(stretch != stretches[0] for stretch in stretches):
                self._tell(1, f"the copies of the FAT differ from cluster {begin} on; copy 1 is used there")
        return b"".join(chosen)

    def _implausible(self, stretch: bytes, first: int) -> tuple[int, bool]:
        """Rank a stretch of the table: impossible entries and shared successors, then absence of any link."""
        layout = self.layout
        count = len(stretch) // layout.unit_size * layout.unit_entries
        entries = [value & layout.mask for value in self._decode(stretch, count)]
        faults = 0
        if first == 0:
            head, entries = entries[0], entries[_FIRST_CLUSTER:]
            if self.media is not None and head != (layout.mask & ~0xFF | self.media):
                faults = count
        entries = entries[: self.end - max(first, _FIRST_CLUSTER)]
        links = [value for value in entries if _FIRST_CLUSTER <= value < self.end]
        plain = sum(1 for value in entries if value == 0 or value >= layout.bad)
        faults += len(entries) - len(links) - plain + len(links) - len(set(links))
        return faults, not links
