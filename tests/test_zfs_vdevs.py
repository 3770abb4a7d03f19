"""Devices of a pool that no carried image has: raidz that was or is being expanded, and removed devices.

What an expansion does is small enough to be acted out: sector i of the group, which lies on child i % old at
i // old, moves to child i % new at i // new (OpenZFS, module/zfs/vdev_raidz.c, "RAIDZ Expansion").
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from pybootcfg import limits
from pybootcfg.errors import ImageError, LimitExceeded
from pybootcfg.filesystems.zfs import pool as pools
from pybootcfg.filesystems.zfs.raidz import BOOT_SIZE, Expansion, Raidz
from pybootcfg.filesystems.zfs.vdev import Copy, Indirect, Leaf, Mirror, Missing, Segment, Vdev
from pybootcfg.formats import zfs as layout
from pybootcfg.source import MemorySource

SECTOR = 512
FRONT = 4 << 20  # labels and boot area
OLD, NEW = 5, 100  # transaction groups before and after the expansion


class Sectors(Vdev):
    """A device in memory, sector by sector; what was never written cannot be read."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.written: dict[int, bytes] = {}

    def copies(self, offset: int, size: int, birth: int) -> Iterator[Copy]:  # noqa: ARG002
        places = range(offset, offset + size, SECTOR)
        if all(place in self.written for place in places):
            yield Copy(b"".join(self.written[place] for place in places))


def children_of(count: int) -> list[Sectors]:
    return [Sectors(f"child {number}") for number in range(count)]


def group(size: int) -> list[bytes]:
    """The sectors of a group of devices, of which blocks are ranges."""
    chance = random.Random(size)  # noqa: S311
    return [chance.randbytes(SECTOR) for _ in range(size)]


def lay_out(children: Sequence[Sectors], sectors: Sequence[bytes], width: int, shift: int = 0) -> None:
    for number, sector in enumerate(sectors):
        children[number % width].written[number // width * SECTOR - shift] = sector


def first(vdev: Vdev, offset: int, size: int, birth: int) -> bytes | None:
    return next((copy.data for copy in vdev.copies(offset * SECTOR, size, birth)), None)


PLACES = [(0, 1), (3, 2), (7, 5), (8, 12), (21, 30), (40, 7)]  # first sector and data sectors of blocks


@pytest.mark.parametrize(("parity", "old"), [(1, 2), (1, 3), (2, 4), (3, 5)])
@pytest.mark.parametrize(("place", "count"), PLACES)
def test_blocks_from_before_an_expansion(parity: int, old: int, place: int, count: int) -> None:
    """They keep their width, and read as they did before."""
    sectors = group(300)
    before, after = children_of(old), children_of(old + 1)
    lay_out(before, sectors, old)
    lay_out(after, sectors, old + 1)
    size = count * SECTOR - 100
    expected = first(Raidz("old", before, parity, 9), place, size, OLD)
    assert expected is not None
    assert len(expected) == size
    expanded = Raidz("new", after, parity, 9, [(NEW, old + 1)])
    assert first(expanded, place, size, OLD) == expected
    assert expanded.width(NEW) == old + 1


@pytest.mark.parametrize("done", [0, 1, 7, 24, 60, 299])
@pytest.mark.parametrize(("place", "count"), PLACES)
def test_blocks_during_an_expansion(done: int, place: int, count: int) -> None:
    """Sectors before the mark have moved, the others have not."""
    old, parity, sectors = 4, 1, group(300)
    before, during = children_of(old), children_of(old + 1)
    lay_out(before, sectors, old)
    lay_out(during, sectors, old)
    lay_out(during, sectors[:done], old + 1)
    expected = first(Raidz("old", before, parity, 9), place, count * SECTOR, OLD)
    # a row that the mark is in has not moved as a whole, so that its old place counts
    rows = [place + row * old for row in range(-(-(count + -(-count // 3)) // old))]
    if any(start < done < start + old for start in rows):
        return
    found = Raidz("during", during, parity, 9, (), Expansion(done * SECTOR, scratch=False))
    assert first(found, place, count * SECTOR, OLD) == expected


def test_the_begin_of_an_expansion_lies_in_the_boot_area() -> None:
    old, sectors = 4, group(300)
    before, during = children_of(old), children_of(old + 1)
    lay_out(before, sectors, old)
    lay_out(during, sectors[:100], old + 1, shift=BOOT_SIZE)
    lay_out(during, sectors, old)
    found = Raidz("during", during, 1, 9, (), Expansion(100 * SECTOR, scratch=True))
    expected = first(Raidz("old", before, 1, 9), 8, 9 * SECTOR, OLD)
    for sector in range(100):  # what has not moved there is of no use
        during[sector % old].written.pop(sector // old * SECTOR)
    assert first(found, 8, 9 * SECTOR, OLD) == expected


def test_a_lost_child_of_an_expanded_group() -> None:
    sectors = group(300)
    before, after = children_of(3), children_of(4)
    lay_out(before, sectors, 3)
    lay_out(after, sectors, 4)
    # parity of a row is the sum of its sectors
    block = [sectors[9 + row * 3 : 12 + row * 3] for row in range(4)]
    for row, (_, one, other) in enumerate(block):
        parity = bytes(a ^ b for a, b in zip(one, other, strict=True))
        number = 9 + row * 3
        before[number % 3].written[number // 3 * SECTOR] = parity
        after[number % 4].written[number // 4 * SECTOR] = parity
    expected = first(Raidz("old", before, 1, 9), 9, 8 * SECTOR, OLD)
    for lost in range(4):
        left: list[Vdev] = [
            Missing("gone") if number == lost else child for number, child in enumerate(after)
        ]
        found = Raidz("new", left, 1, 9, [(NEW, 4)])
        assert first(found, 9, 8 * SECTOR, OLD) == expected
        assert not found.complete


def test_a_group_of_no_more_than_its_parity_has_nothing() -> None:
    assert list(Raidz("small", children_of(2), 2, 9).copies(0, SECTOR, OLD)) == []


def test_parity_changes_places_every_mebibyte() -> None:
    """vdev_raidz_map_alloc: with single parity, the first two columns are swapped where bit 20 is set."""
    children = children_of(2)
    for child, fill in zip(children, (b"0", b"1"), strict=True):
        child.written = dict.fromkeys((0, 1 << 19, 1 << 20), fill * SECTOR)
    vdev = Raidz("pair", children, 1, 9)
    assert first(vdev, 0, SECTOR, OLD) == b"1" * SECTOR
    assert first(vdev, (1 << 20) // SECTOR, SECTOR, OLD) == b"0" * SECTOR


# --- removed devices ---------------------------------------------------------------------------------------


def leaf(name: str, data: bytes) -> Leaf:
    return Leaf(name, MemorySource(bytes(FRONT) + data, name), stale=False)


DATA = random.Random(1).randbytes(64 * SECTOR)  # noqa: S311


class Mapping:
    """The mapping of a removed device: runs of (source, length, vdev, target), in sectors."""

    big = False
    block_size = 4096

    def __init__(self, *runs: tuple[int, int, int, int], count: int | None = None) -> None:
        self.data = b"".join(
            layout.vdev_indirect_mapping_entry_phys.build(
                {"vimep_src": source, "vimep_dst": [vdev << 32 | length, target]}
            )
            for source, length, vdev, target in runs
        )
        count = len(runs) if count is None else count
        self.bonus = b"".join(word.to_bytes(8, "little") for word in (0, 0, count))
        self.last_block = len(self.data) // self.block_size

    def read(self, offset: int, length: int) -> bytes:
        return self.data[offset : offset + length].ljust(length, b"\0")


def removed(*runs: tuple[int, int, int, int], tops: Sequence[Vdev], count: int | None = None) -> Indirect:
    mapping: Any = Mapping(*runs, count=count)

    def segments(offset: int, size: int) -> list[Segment]:
        return pools._segments(mapping, "indirect-1", offset, size)

    return Indirect("indirect-1", segments, lambda number: tops[number])


RUNS = [(0, 8, 0, 20), (8, 4, 1, 0), (12, 30, 0, 0), (50, 2, 0, 40)]


def test_blocks_of_a_removed_device_lie_elsewhere() -> None:
    other = DATA[::-1]
    vdev = removed(*RUNS, tops=[leaf("a", DATA), leaf("b", other)])
    assert first(vdev, 0, 2 * SECTOR, OLD) == DATA[20 * SECTOR : 22 * SECTOR]
    assert first(vdev, 9, SECTOR, OLD) == other[SECTOR : 2 * SECTOR]
    whole = DATA[26 * SECTOR : 28 * SECTOR] + other[: 4 * SECTOR] + DATA[: 3 * SECTOR]
    assert first(vdev, 6, 9 * SECTOR, OLD) == whole
    assert first(vdev, 50, 2 * SECTOR, OLD) == DATA[40 * SECTOR : 42 * SECTOR]


@pytest.mark.parametrize(("place", "count"), [(41, 2), (44, 1), (49, 2), (52, 1), (1 << 40, 1)])
def test_what_is_not_mapped_is_an_error(place: int, count: int) -> None:
    vdev = removed(*RUNS, tops=[leaf("a", DATA), leaf("b", DATA)])
    with pytest.raises(ImageError, match="of indirect-1 is not mapped"):
        first(vdev, place, count * SECTOR, OLD)


def test_a_mapping_that_begins_late_or_is_empty() -> None:
    for runs in ([(4, 8, 0, 0)], []):
        with pytest.raises(ImageError, match="byte 0x0 of indirect-1 is not mapped"):
            first(removed(*runs, tops=[leaf("a", DATA)]), 0, SECTOR, OLD)


def test_more_entries_are_not_believed_than_the_mapping_has() -> None:
    vdev = removed(*RUNS, tops=[leaf("a", DATA), leaf("b", DATA)], count=1)
    with pytest.raises(ImageError, match="is not mapped"):
        first(vdev, 9, SECTOR, OLD)


def test_each_part_may_have_another_right_copy() -> None:
    """A block in two parts, each on a mirror of which another side is damaged."""
    noise = bytes(len(DATA))
    tops = [
        Mirror("mirror-0", [leaf("a", noise), leaf("b", DATA)]),
        Mirror("mirror-1", [leaf("c", DATA), leaf("d", noise)]),
    ]
    vdev = removed((0, 1, 0, 0), (1, 1, 1, 1), tops=tops)
    found = [copy.data for copy in vdev.copies(0, 2 * SECTOR, OLD)]
    assert len(found) == 4
    assert DATA[: 2 * SECTOR] in found
    assert tops[0].complete
    assert not Mirror("mirror-2", [leaf("a", DATA), Missing("b")]).complete


def test_a_part_that_has_no_copy() -> None:
    vdev = removed((0, 1, 0, 0), (1, 1, 1, 0), tops=[leaf("a", DATA), Missing("b")])
    assert list(vdev.copies(0, 2 * SECTOR, OLD)) == []


def test_removed_devices_that_lead_to_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits.ZFS_INDIRECT_DEPTH, "value", 5)
    tops: list[Vdev] = []
    tops.append(removed((0, 8, 0, 0), tops=tops))
    with pytest.raises(LimitExceeded, match="zfs-indirect-depth"):
        list(tops[0].copies(0, SECTOR, OLD))


def test_combinations_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits.ZFS_COMBINATIONS, "value", 3)
    mirror = Mirror("mirror-0", [leaf("a", DATA), leaf("b", DATA)])
    vdev = removed((0, 1, 0, 0), (1, 1, 0, 0), tops=[mirror])
    assert len(list(itertools.islice(vdev.copies(0, 2 * SECTOR, OLD), 10))) == 3
