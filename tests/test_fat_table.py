"""Chains of clusters against a table that is written here entry by entry, and followed one by one."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from pybootcfg import schema
from pybootcfg.errors import ImageError
from pybootcfg.filesystems.fat.table import WINDOW, EntryFormat, FileAllocationTable
from pybootcfg.source import FileSource, MemorySource

_fat, _exfat = schema.load("fat"), schema.load("exfat")

FORMATS = {
    12: EntryFormat(_fat.fat12_pair, 3, 2, 0xFFF, _fat.FAT12_BAD_CLUSTER),
    16: EntryFormat(_fat.fat16_entry, 2, 1, 0xFFFF, _fat.FAT16_BAD_CLUSTER),
    32: EntryFormat(_fat.fat32_entry, 4, 1, _fat.FAT32_MASK, _fat.FAT32_BAD_CLUSTER),
}
ENDS = {12: 0xFFF, 16: 0xFFFF, 32: 0x0FFFFFFF}
LARGE = {12: 4001, 16: 5 * WINDOW + 77, 32: 5 * WINDOW + 77}  #: clusters


def packed(entries: list[int], bits: int) -> bytes:
    """Return the table; of FAT12 as the specification has it, two entries in three bytes."""
    if bits != 12:
        return b"".join(entry.to_bytes(bits // 8, "little") for entry in entries)
    data = bytearray(len(entries) * 3 // 2 + 2)
    for number, entry in enumerate(entries):
        place = number * 3 // 2
        if number % 2:
            data[place] = data[place] & 0x0F | (entry & 0xF) << 4
            data[place + 1] = entry >> 4
        else:
            data[place] = entry & 0xFF
            data[place + 1] = data[place + 1] & 0xF0 | entry >> 8
    return bytes(data)


def table(entries: list[int], bits: int) -> FileAllocationTable:
    source = MemorySource(packed(entries, bits), "table")
    return FileAllocationTable(source, (0,), FORMATS[bits], len(entries), lambda _: None)


def counting(bits: int) -> list[int]:
    """Return a table in which one chain takes all clusters, in order."""
    return [0, 0, *range(3, LARGE[bits] + 2), ENDS[bits]]


def clusters(entries: list[int], bits: int, first: int) -> list[int]:
    return [
        cluster
        for run in table(entries, bits).chain(first, "file")
        for cluster in range(run.first, run.first + run.length)
    ]


@pytest.mark.parametrize("bits", FORMATS)
def test_a_chain_of_all_clusters_is_one_run(bits: int) -> None:
    runs = list(table(counting(bits), bits).chain(2, "file"))
    assert runs == [(2, LARGE[bits])]


@pytest.mark.parametrize("bits", FORMATS)
@pytest.mark.parametrize("seed", range(6))
def test_chains_are_followed_to_the_letter(bits: int, seed: int) -> None:
    """Long stretches in order, in any order of theirs, up to every cluster by itself."""
    chance = random.Random(seed)  # noqa: S311
    last = LARGE[bits] + 1
    cuts = sorted(chance.sample(range(3, last), (0, 1, 3, 20, 300, last - 100)[seed]))
    stretches = [
        range(start, stop) for start, stop in zip([2, *cuts], [*cuts, last + 1], strict=True) if start < stop
    ]
    chance.shuffle(stretches)
    order = [cluster for stretch in stretches for cluster in stretch]
    entries = [0] * (last + 1)
    for cluster, following in zip(order, [*order[1:], ENDS[bits]], strict=True):
        entries[cluster] = following
    assert clusters(entries, bits, order[0]) == order


@pytest.mark.parametrize("bits", FORMATS)
@pytest.mark.parametrize("back_to", [2, 3, 1000, -1])
@pytest.mark.parametrize("place", [2000, -1])
def test_a_long_chain_that_leads_back(bits: int, back_to: int, place: int) -> None:
    """From the middle of a window, from the last cluster of all; to before, into itself, to itself."""
    entries = counting(bits)
    cluster = place % len(entries)
    entries[cluster] = back_to if back_to > 0 else cluster
    with pytest.raises(ImageError, match="leads back into itself"):
        clusters(entries, bits, 2)


@pytest.mark.parametrize("bits", FORMATS)
@pytest.mark.parametrize("beyond", [0, 1, 10])
@pytest.mark.parametrize("place", [2, 2047, -1])
def test_a_long_chain_that_leads_to_no_cluster(bits: int, beyond: int, place: int) -> None:
    """One more than the last cluster is what the entry of that one would be, were there another."""
    entries = counting(bits)
    entries[place] = len(entries) + beyond
    with pytest.raises(ImageError, match=rf"cluster {len(entries) + beyond}, which does not exist, follows"):
        clusters(entries, bits, 2)


@pytest.mark.parametrize("bits", FORMATS)
def test_one_free_cluster_in_a_long_chain(bits: int) -> None:
    entries = counting(bits)
    entries[3000] = 0
    with pytest.raises(ImageError, match=r"a free cluster follows \[FAT entry of cluster 3000 "):
        clusters(entries, bits, 2)


def test_every_cluster_that_a_number_can_name(tmp_path: Path) -> None:
    """A sparse exFAT claims more clusters than 32 bits can count; its last entries name one another."""
    bad: int = _exfat.BAD_CLUSTER
    first = bad - bad % WINDOW
    with (tmp_path / "table").open("wb") as file:
        file.seek(4 * first)
        file.write(packed([cluster + 1 for cluster in range(first, (1 << 32) - 1)], 32))
        file.truncate(4 << 32)
    source = FileSource.open(tmp_path / "table")
    layout = EntryFormat(_exfat.fat_entry, 4, 1, _exfat.ENTRY_MASK, bad)
    whole = FileAllocationTable(source, (0,), layout, (1 << 32) + 1, lambda _: None)
    with pytest.raises(ImageError, match=r"a cluster marked bad follows \[FAT entry of cluster 4294967286 "):
        list(whole.chain(first, "file"))
    with pytest.raises(ImageError, match=r"cluster 4294967287 does not exist; the last one is 4294967286"):
        list(whole.chain(bad, "file"))
    source.close()
