"""Unclean journals: debugfs writes them, debugfs and e2fsck replay a copy, what is read is the same."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from ext_image import (
    Seen,
    carried,
    debugfs,
    e2fsck,
    listing,
    mke2fs,
    open_bytes,
    open_image,
    require,
    run,
    tree_listing,
)

from pybootcfg.checksums import crc32c
from pybootcfg.filesystems.base import Extent
from pybootcfg.filesystems.ext import Ext
from pybootcfg.kind import Kind

MAGIC = bytes.fromhex("c03b3998")
BLOCKS = 120  # of the file that the journal changes
NOT_REPLAYED = "the log is not replayed"


class Dirty(NamedTuple):
    """An image with an unclean journal, and where the journal's blocks are."""

    path: Path
    block_size: int
    journal: list[int]

    def block(self, position: int) -> slice:
        """Return where a block of the journal lies, in bytes."""
        start = self.journal[position] * self.block_size
        return slice(start, start + self.block_size)

    def records(self, data: bytes) -> Iterator[tuple[int, int, int]]:
        """Yield (place in the journal, type, sequence) of the blocks that carry the journal's magic."""
        for position in range(1, len(self.journal)):
            magic, kind, sequence = struct.unpack_from(">III", data, self.block(position).start)
            if magic == 0xC03B3998:
                yield position, kind, sequence


def superblock_field(dirty: Dirty, data: bytearray, offset: int, value: int) -> None:
    """Change a field of the journal's superblock, and its checksum."""
    block = dirty.block(0)
    struct.pack_into(">I", data, block.start + offset, value)
    if struct.unpack_from(">I", data, block.start + 0x28)[0] & 0x18:
        struct.pack_into(">I", data, block.start + 0xFC, 0)
        struct.pack_into(
            ">I", data, block.start + 0xFC, crc32c(bytes(data[block.start : block.start + 1024]))
        )


def make(folder: Path, options: str, journal: str = "jo") -> Dirty:
    """Make an image whose journal holds four transactions on the blocks of one file."""
    (folder / "t").mkdir()
    size = int(options.split("-b ")[1].split()[0])
    noise = random.Random(5)  # noqa: S311
    (folder / "t" / "target").write_bytes(noise.randbytes(BLOCKS * size))
    (folder / "t" / "other").write_text("other")
    image = mke2fs(folder / "i", *options.split(), "-N", "64", tree=folder / "t", size="24M")
    data_blocks = debugfs(image, *(f"bmap /target {n}" for n in range(BLOCKS))).splitlines()[1::2]
    log = [int(word) for word in debugfs(image, "blocks <8>").splitlines()[-1].split() if word.isdecimal()]
    commands = []
    for number, (first, last, step) in enumerate([(0, 70, 1), (40, 110, 3), (20, 60, 2)]):
        chosen = data_blocks[first:last:step]
        payload = [
            MAGIC + noise.randbytes(size - 4) if n % 5 == 0 else noise.randbytes(size)
            for n, _ in enumerate(chosen)
        ]
        (folder / f"p{number}").write_bytes(b"".join(payload))
        commands += [journal, f"jw -b {','.join(chosen)} {folder / f'p{number}'}", "jc"]
        if number == 1:
            commands += [journal, f"jw -r {','.join(data_blocks[10:50:4])}", "jc"]
    debugfs(image, *commands, write=True)
    start = struct.unpack_from(">I", image.read_bytes(), log[0] * size + 0x1C)[0]
    assert start, "debugfs left no log behind"
    return Dirty(image, size, drop_mapping_blocks(log, image, size))


def drop_mapping_blocks(log: list[int], image: Path, size: int) -> list[int]:
    """Return the journal's data blocks: `blocks` lists those that map it too."""
    data = image.read_bytes()
    first = next(i for i, block in enumerate(log) if data[block * size : block * size + 4] == MAGIC)
    count = struct.unpack_from(">I", data, log[first] * size + 0x10)[0]
    mapping = {
        int(w) for line in debugfs(image, "stat <8>").splitlines() if "IND)" in line for w in indirect(line)
    }
    return [block for block in log if block not in mapping][-count:]


def indirect(line: str) -> list[str]:
    return [part.split(":")[1] for part in line.replace(" ", "").split(",") if "IND)" in part]


def replayed_by_debugfs(path: Path) -> bytes:
    copy = path.with_suffix(".replayed")
    copy.write_bytes(path.read_bytes())
    debugfs(copy, "jr", write=True)
    return copy.read_bytes()


def target(filesystem: Ext) -> bytes:
    return filesystem.walk(b"/target").read()


OPTIONS = [
    "-t ext4 -b 1024",
    "-t ext4 -b 4096",
    "-t ext4 -b 1024 -O ^64bit",
    "-t ext3 -b 2048",
    "-t ext4 -b 4096 -O ^extent,^64bit,^metadata_csum",
]


@pytest.mark.parametrize("journal", ["jo", "jo -c -v 2", "jo -c -v 3"])
@pytest.mark.parametrize("options", OPTIONS)
def test_a_log_is_replayed_as_debugfs_replays_it(options: str, journal: str, tmp_path: Path) -> None:
    dirty = make(tmp_path, options, journal)
    before = dirty.path.read_bytes()
    after = replayed_by_debugfs(dirty.path)
    filesystem = open_image(dirty.path)
    # Without metadata_csum debugfs writes checksums of version 1, and wrong ones for revoke blocks.
    copy = tmp_path / "copy"
    copy.write_bytes(before)
    assert ("was corrupt" in e2fsck(copy)) == bool(filesystem.warnings)
    reference = open_bytes(after)
    assert target(filesystem) == target(reference) != target(open_bytes(before, replay_journal=False))
    assert listing(filesystem) == listing(reference)
    size = dirty.block_size
    skip = {0, 1, *dirty.journal}  # superblock and journal: replaying changes them further
    for block in range(len(before) // size):
        if block not in skip:
            assert filesystem.source.read(block * size, size) == after[block * size : (block + 1) * size]


@pytest.mark.no_cover
@pytest.mark.parametrize("journal", ["jo", "jo -c -v 3"])
@pytest.mark.parametrize("turn", [1, 200, -1, -5, -30, -100])
def test_a_log_may_wrap_around(turn: int, journal: str, tmp_path: Path) -> None:
    dirty = make(tmp_path, "-t ext4 -b 1024", journal)
    expected = target(open_bytes(replayed_by_debugfs(dirty.path)))
    data = bytearray(dirty.path.read_bytes())
    length = len(dirty.journal) - 1
    ring = [bytes(data[dirty.block(1 + p)]) for p in range(length)]
    for position, block in enumerate(ring):
        data[dirty.block(1 + (position + turn) % length)] = block
    superblock_field(dirty, data, 0x1C, 1 + turn % length)
    dirty.path.write_bytes(data)
    assert target(open_bytes(replayed_by_debugfs(dirty.path))) == expected
    filesystem = open_bytes(data)
    assert target(filesystem) == expected
    assert filesystem.warnings == []


@pytest.mark.parametrize("shift", [2**32 - 2, 2**31 - 2])
def test_sequence_numbers_wrap_around(shift: int, tmp_path: Path) -> None:
    dirty = make(tmp_path, "-t ext4 -b 1024 -O ^metadata_csum")
    expected = target(open_bytes(replayed_by_debugfs(dirty.path)))
    data = bytearray(dirty.path.read_bytes())
    (first,) = struct.unpack_from(">I", data, dirty.block(0).start + 0x18)
    for position, _, sequence in list(dirty.records(data)):
        struct.pack_into(">I", data, dirty.block(position).start + 8, (sequence - first + shift) % 2**32)
    superblock_field(dirty, data, 0x18, shift)
    assert target(open_bytes(data)) == expected


def test_without_replay_the_image_is_read_as_it_is(tmp_path: Path) -> None:
    dirty = make(tmp_path, "-t ext4 -b 1024")
    filesystem = open_image(dirty.path, replay_journal=False)
    assert target(filesystem) == (tmp_path / "t" / "target").read_bytes()
    assert any(NOT_REPLAYED in warning for warning in filesystem.warnings)


def test_without_the_flag_nothing_is_replayed(tmp_path: Path) -> None:
    dirty = make(tmp_path, "-t ext4 -b 1024 -O ^metadata_csum")
    data = bytearray(dirty.path.read_bytes())
    (features,) = struct.unpack_from("<I", data, 1024 + 0x60)
    struct.pack_into("<I", data, 1024 + 0x60, features & ~4)
    filesystem = open_bytes(data)
    assert target(filesystem) == (tmp_path / "t" / "target").read_bytes()
    assert filesystem.warnings == []


def test_an_empty_log_is_nothing_to_warn_of(tmp_path: Path) -> None:
    image = mke2fs(tmp_path / "i", "-t", "ext4", size="24M")
    debugfs(image, "feature needs_recovery", write=True)
    assert open_image(image).warnings == []


def damaged(dirty: Dirty, kind: int, index: int, offset: int) -> bytearray:
    """Return the image with one byte changed in a block of the log of that kind."""
    data = bytearray(dirty.path.read_bytes())
    position = [p for p, k, _ in dirty.records(data) if k == kind][index]
    data[dirty.block(position).start + offset] ^= 0xFF
    return data


def repaired(dirty: Dirty, data: bytes) -> bytes:
    copy = dirty.path.with_suffix(".repaired")
    copy.write_bytes(data)
    e2fsck(copy)
    return copy.read_bytes()


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("kind", "index", "offset", "warning"),
    [
        (1, 0, 100, "bad checksum"),  # a descriptor: Linux replays nothing
        (1, 1, 500, "bad checksum"),
        (2, 1, 40, "the commit of transaction"),  # a commit: the log ends before it
        (2, 3, 40, "the commit of transaction"),
        (5, 0, 60, "bad checksum"),  # a revoke block
    ],
)
def test_bad_checksums_stop_the_replay_where_e2fsck_stops(
    kind: int, index: int, offset: int, warning: str, tmp_path: Path
) -> None:
    dirty = make(tmp_path, "-t ext4 -b 1024", "jo -c -v 3")
    data = damaged(dirty, kind, index, offset)
    filesystem = open_bytes(data)
    assert target(filesystem) == target(open_bytes(repaired(dirty, data)))
    assert len(filesystem.warnings) == 1
    assert warning in filesystem.warnings[0]


@pytest.mark.parametrize("version", [2, 3])
def test_a_data_block_with_a_bad_checksum_is_left_out(version: int, tmp_path: Path) -> None:
    dirty = make(tmp_path, "-t ext4 -b 1024", f"jo -c -v {version}")
    data = bytearray(dirty.path.read_bytes())
    first = next(p for p, kind, _ in dirty.records(data) if kind == 1)
    data[dirty.block(first + 3).start + 77] ^= 1
    filesystem = open_bytes(data)
    assert target(filesystem) == target(open_bytes(repaired(dirty, data)))
    assert "left out" in filesystem.warnings[0]


def test_an_interrupted_commit_ends_the_log(tmp_path: Path) -> None:
    dirty = make(tmp_path, "-t ext4 -b 1024", "jo -c -v 3")
    for index in range(4):
        data = damaged(dirty, 2, index, 0)  # no magic, no commit
        filesystem = open_bytes(data)
        assert target(filesystem) == target(open_bytes(repaired(dirty, data)))
        assert filesystem.warnings == []


def test_checksums_of_version_1(tmp_path: Path) -> None:
    """A CRC-32 over a transaction's blocks stands in its commit."""
    dirty = make(tmp_path, "-t ext4 -b 1024 -O ^metadata_csum,^64bit")
    data = bytearray(dirty.path.read_bytes())
    superblock_field(dirty, data, 0x24, 1)
    covered = b""
    previous = struct.unpack_from(">I", data, dirty.block(0).start + 0x1C)[0]
    for position, kind, _ in list(dirty.records(data)):
        if kind == 2:
            revokes = [
                p
                for p in range(previous, position)
                if data[dirty.block(p)][:8] == MAGIC + bytes([0, 0, 0, 5])
            ]
            covered = b"".join(
                bytes(data[dirty.block(p)]) for p in range(previous, position) if p not in revokes
            )
            mirrored = zlib.crc32(bytes(int(f"{b:08b}"[::-1], 2) for b in covered)) ^ 0xFFFFFFFF
            register = int(f"{mirrored:032b}"[::-1], 2)
            struct.pack_into(">BBxxI", data, dirty.block(position).start + 12, 1, 4, register)
            previous = position + 1
    expected = target(open_bytes(replayed_by_debugfs(dirty.path)))
    dirty.path.write_bytes(data)
    assert target(open_bytes(repaired(dirty, data))) == expected
    filesystem = open_bytes(data)
    assert target(filesystem) == expected
    assert filesystem.warnings == []
    position = [p for p, kind, _ in dirty.records(data) if kind == 2][1]
    data[dirty.block(position - 1).start + 9] ^= 1  # a data block of the second transaction
    filesystem = open_bytes(data)
    assert target(filesystem) == target(open_bytes(repaired(dirty, data))) != expected
    assert "the commit of transaction" in filesystem.warnings[0]
    superblock_field(dirty, data, 0x28, struct.unpack_from(">I", data, dirty.block(0).start + 0x28)[0] | 4)
    filesystem = open_bytes(data)  # asynchronous commits: the next commit shows that this one is damaged
    assert target(filesystem) == target(open_bytes(repaired(dirty, data))) != expected


@pytest.mark.parametrize(
    ("offset", "value", "why"),
    [
        (0x00, 0, "0xc03b3998 expected"),
        (0x04, 1, "block type 1"),
        (0x0C, 512, "blocks of 512 bytes"),
        (0x10, 0x7FFFFFFF, "2147483647 blocks"),
        (0x14, 0, "the log begins at block 0"),
        (0x1C, 0x7FFFFFFF, "the log starts at block"),
        (0x28, 0x12 | 0x400, "INCOMPAT 0x400"),
        (0x28, 0x18, "more than one version"),
        (0x30, 0x12345678, "bad checksum"),  # the UUID, which is part of all checksums
    ],
)
def test_a_damaged_journal_superblock_leaves_the_volume_as_it_is(
    offset: int, value: int, why: str, tmp_path: Path
) -> None:
    dirty = make(tmp_path, "-t ext4 -b 1024", "jo -c -v 3")
    data = bytearray(dirty.path.read_bytes())
    if offset == 0x30:
        data[dirty.block(0).start + offset] ^= 1
    else:
        superblock_field(dirty, data, offset, value)
    filesystem = open_bytes(data)
    assert target(filesystem) == (tmp_path / "t" / "target").read_bytes()
    assert len(filesystem.warnings) == 1
    assert "cannot be replayed" in filesystem.warnings[0]
    assert why in filesystem.warnings[0]


def rechecked(dirty: Dirty, data: bytearray, position: int, seconds: int, *, sound: bool) -> None:
    """Give a commit another time, and a checksum that is right or wrong."""
    block = dirty.block(position)
    struct.pack_into(">Q", data, block.start + 0x30, seconds)
    struct.pack_into(">I", data, block.start + 0x10, 0)
    uuid = bytes(data[dirty.block(0)][0x30:0x40])
    register = crc32c(bytes(data[block]), crc32c(uuid))
    struct.pack_into(">I", data, block.start + 0x10, register ^ (not sound))


@pytest.mark.parametrize("kind", ["descriptor", "commit"])
def test_what_an_older_log_left_behind_ends_the_log_in_silence(kind: str, tmp_path: Path) -> None:
    """A bad checksum in a transaction older than the one before it: the ring was used before."""
    dirty = make(tmp_path, "-t ext4 -b 1024", "jo -c -v 3")
    data = bytearray(dirty.path.read_bytes())
    commits = [p for p, k, _ in dirty.records(data) if k == 2]
    rechecked(dirty, data, commits[0], 1_700_000_000, sound=True)
    rechecked(dirty, data, commits[1], 1_600_000_000, sound=kind == "descriptor")
    if kind == "descriptor":
        second = next(p for p, k, _ in dirty.records(data) if k in (1, 5) and p > commits[0])
        data[dirty.block(second).start + 500] ^= 1
    filesystem = open_bytes(data)
    assert target(filesystem) == target(open_bytes(repaired(dirty, data)))
    assert target(filesystem) != target(open_bytes(data, replay_journal=False))
    assert filesystem.warnings == []


def test_a_revoke_block_that_claims_more_than_it_holds(tmp_path: Path) -> None:
    dirty = make(tmp_path, "-t ext4 -b 1024 -O ^metadata_csum")
    data = bytearray(dirty.path.read_bytes())
    position, sequence = next((p, sequence) for p, k, sequence in dirty.records(data) if k == 5)
    struct.pack_into(">I", data, dirty.block(position).start + 12, 1025)
    filesystem = open_bytes(data)
    assert filesystem.warnings == [
        f"journal: the log cannot be replayed: a revoke block of transaction {sequence} claims 1025 bytes"
    ]
    assert target(filesystem) == (tmp_path / "t" / "target").read_bytes()


def test_a_block_revoked_twice_is_revoked(tmp_path: Path) -> None:
    dirty = make(tmp_path, "-t ext4 -b 1024 -O ^metadata_csum,^64bit")
    data = bytearray(dirty.path.read_bytes())
    position = next(p for p, k, _ in dirty.records(data) if k == 5)
    records = dirty.block(position).start + 16
    data[records + 4 : records + 8] = data[records : records + 4]
    dirty.path.write_bytes(data)
    assert target(open_bytes(data)) == target(open_bytes(replayed_by_debugfs(dirty.path)))


def test_a_hole_in_the_journal_is_passed_over_by_inspect(tmp_path: Path) -> None:
    dirty = make(tmp_path, "-t ext3 -b 2048")
    data = bytearray(dirty.path.read_bytes())

    def shown() -> set[str]:
        names = (s.name for s in open_bytes(data, replay_journal=False).structures.every())
        return {name for name in names if name.startswith("journal.block[")}

    before = shown()
    where = debugfs(dirty.path, "imap <8>")
    block = int(where.split("located at block ")[1].split(",")[0])
    start = block * 2048 + int(where.split("offset ")[1].split()[0], 16) + 0x28
    assert struct.unpack_from("<I", data, start + 4)[0] == dirty.journal[1]
    struct.pack_into("<I", data, start + 4, 0)
    gone = {name for name in before if name.startswith("journal.block[1].")}
    assert gone
    assert shown() == before - gone


def test_a_log_ends_at_a_block_of_no_known_kind(tmp_path: Path) -> None:
    dirty = make(tmp_path, "-t ext4 -b 1024 -O ^metadata_csum")
    data = bytearray(dirty.path.read_bytes())
    second = [p for p, k, _ in dirty.records(data) if k == 1][1]
    struct.pack_into(">I", data, dirty.block(second).start + 4, 9)
    filesystem = open_bytes(data)
    assert target(filesystem) == target(open_bytes(repaired(dirty, data)))
    names = {structure.name for structure in filesystem.structures.every()}
    assert f"journal.block[{second}].header" in names


def test_a_block_that_the_volume_does_not_have_is_not_replayed(tmp_path: Path) -> None:
    dirty = make(tmp_path, "-t ext4 -b 1024 -O ^metadata_csum,^64bit")
    data = bytearray(dirty.path.read_bytes())
    first, sequence = next((p, sequence) for p, k, sequence in dirty.records(data) if k == 1)
    struct.pack_into(">I", data, dirty.block(first).start + 12, 1 << 30)  # t_blocknr of the first tag
    filesystem = open_bytes(data)
    assert filesystem.warnings == [
        f"journal: transaction {sequence} has block 1073741824, which is not there"
    ]
    assert target(filesystem) != (tmp_path / "t" / "target").read_bytes()


def test_a_journal_that_is_cut_off_is_shown_up_to_there(tmp_path: Path) -> None:
    dirty = make(tmp_path, "-t ext4 -b 1024 -O ^metadata_csum")
    data = dirty.path.read_bytes()
    cut = dirty.journal[5]
    assert cut == max(dirty.journal[:6])
    names = {s.name for s in open_bytes(data[: cut * 1024], replay_journal=False).structures.every()}
    assert "journal.block[1].header" in names
    assert "journal.block[5].fault" in names
    assert "inode[2]" in names


def test_a_log_without_end_is_not_replayed(tmp_path: Path) -> None:
    dirty = make(tmp_path, "-t ext4 -b 1024 -O ^metadata_csum")
    data = bytearray(dirty.path.read_bytes())
    (sequence,) = struct.unpack_from(">I", data, dirty.block(0).start + 0x18)
    for position in range(1, len(dirty.journal)):
        struct.pack_into(">IIII", data, dirty.block(position).start, 0xC03B3998, 5, sequence, 16)
    assert "it never ends" in open_bytes(data).warnings[0]


def test_the_superblock_has_a_copy_of_the_journals_map(tmp_path: Path) -> None:
    dirty = make(tmp_path, "-t ext4 -b 1024 -O ^metadata_csum")
    expected = target(open_image(dirty.path))
    data = bytearray(dirty.path.read_bytes())
    inode = int(debugfs(dirty.path, "imap <8>").split("located at block ")[1].split(",")[0])
    offset = int(debugfs(dirty.path, "imap <8>").split("offset ")[1].split()[0], 16)
    data[inode * 1024 + offset : inode * 1024 + offset + 128] = bytes(128)
    filesystem = open_bytes(data)
    assert target(filesystem) == expected
    assert "its copy in the superblock is used" in filesystem.warnings[0]


def test_an_external_journal_is_named(tmp_path: Path) -> None:
    dirty = make(tmp_path, "-t ext4 -b 1024 -O ^metadata_csum")
    data = bytearray(dirty.path.read_bytes())
    struct.pack_into("<II", data, 1024 + 0xE0, 0, 0x801)
    filesystem = open_bytes(data)
    assert target(filesystem) == (tmp_path / "t" / "target").read_bytes()
    assert "the journal is on another device" in filesystem.warnings[0]


def test_replay_copies_nothing(tmp_path: Path) -> None:
    """Files are read where they lie, be it in the log; or in the image itself."""
    filesystem = open_image(carried("ext4-dirty", tmp_path))
    for path in (b"/boot/grub/grub.cfg", b"/boot/vmlinuz-6.1.0-test"):
        for piece in filesystem.walk(path).runs():
            assert isinstance(piece, Extent)
            assert not any(
                isinstance(part, bytes) for part in piece.source.pieces(piece.offset, piece.length)
            )


# --- fast commits --------------------------------------------------------------------------------


def tagged(kind: int, value: bytes) -> bytes:
    return struct.pack("<HH", kind, len(value)) + value


class FastCommitted:
    """An image whose fast commit area a test fills; e2fsck replays a copy."""

    def __init__(self, folder: Path) -> None:
        (folder / "t" / "d").mkdir(parents=True)
        noise = random.Random(6)  # noqa: S311
        for name in ("one", "two", "three"):
            (folder / "t" / name).write_bytes(noise.randbytes(20 * 1024))
        (folder / "t" / "d" / "inner").write_text("inner")
        options = ["-t", "ext4", "-b", "1024", "-O", "fast_commit", "-J", "fast_commit_size=256", "-N", "64"]
        self.path = mke2fs(folder / "i", *options, tree=folder / "t", size="24M")
        self.log = [
            int(w) for w in debugfs(self.path, "blocks <8>").splitlines()[-1].split() if w.isdecimal()
        ]
        self.data = bytearray(self.path.read_bytes())

    def number(self, path: str) -> int:
        """Return an inode's number."""
        return int(debugfs(self.path, f"stat {path}").split("Inode: ")[1].split()[0])

    def inode(self, path: str) -> bytearray:
        """Return an inode's bytes."""
        where = debugfs(self.path, f"imap {path}")
        block = int(where.split("located at block ")[1].split(",")[0])
        start = block * 1024 + int(where.split("offset ")[1].split()[0], 16)
        return self.data[start : start + 160]

    def blocks(self, path: str) -> list[int]:
        """Return the blocks of a file."""
        return [
            int(w) for w in debugfs(self.path, f"blocks {path}").splitlines()[-1].split() if w.isdecimal()
        ]


@pytest.fixture
def fast(tmp_path: Path) -> FastCommitted:
    return FastCommitted(tmp_path)


def commit(
    fast: FastCommitted, *tags: bytes, damage: bool = False, head: int = 9, features: int = 0, later: int = 0
) -> bytes:
    """Return the image with the tags as one fast commit after an empty transaction.

    `head` is the kind of the first tag, which is for the transaction `later` after that.
    """
    journal = drop_mapping_blocks(fast.log, fast.path, 1024)
    dirty = Dirty(fast.path, 1024, journal)
    data = bytearray(fast.data)
    superblock = dirty.block(0).start
    tid = struct.unpack_from(">I", data, superblock + 0x18)[0]
    data[superblock + 0x28 : superblock + 0x2C] = struct.pack(
        ">I", 0x20 | struct.unpack_from(">I", data, superblock + 0x28)[0]
    )
    struct.pack_into(">I", data, superblock + 0x54, 256)
    superblock_field(dirty, data, 0x1C, 1)  # the log begins here, and holds nothing
    area = len(journal) - 256 + 1
    size = 1024
    blocks = [b""]
    register = 0
    for tag in [tagged(head, struct.pack("<II", features, tid + later)), *tags]:
        if len(blocks[-1]) + len(tag) + 4 > size:
            pad = tagged(7, bytes(size - len(blocks[-1]) - 4))
            register = crc32c(pad, register)
            blocks[-1] += pad
            blocks.append(b"")
        register = crc32c(tag, register)
        blocks[-1] += tag
    if len(blocks[-1]) + 12 > size:
        pad = tagged(7, bytes(size - len(blocks[-1]) - 4))
        register = crc32c(pad, register)
        blocks[-1] += pad
        blocks.append(b"")
    tail = struct.pack("<HHI", 8, size - len(blocks[-1]) - 4, tid)
    register = crc32c(tail, register) ^ damage
    blocks[-1] += tail + struct.pack("<I", register)
    for number, block in enumerate(blocks):
        data[dirty.block(area + number)] = block.ljust(size, b"\0")
    (features,) = struct.unpack_from("<I", data, 1024 + 0x60)
    struct.pack_into("<I", data, 1024 + 0x60, features | 4)
    struct.pack_into("<I", data, 1024 + 0x3FC, crc32c(bytes(data[1024 : 1024 + 0x3FC])))
    return bytes(data)


def by_e2fsck(data: bytes, folder: Path) -> dict[bytes, Seen]:
    """Return what is there after e2fsck has replayed a copy."""
    require("e2fsck")
    copy = folder / "replayed"
    copy.write_bytes(data)
    run("e2fsck", "-y", "-E", "journal_only", copy, status=(0, 1))
    out = folder / "out"
    out.mkdir(exist_ok=True)
    debugfs(copy, f"rdump / {out}")
    return tree_listing(out)


def entry(kind: int, parent: int, number: int, name: str) -> bytes:
    return tagged(kind, struct.pack("<II", parent, number) + name.encode())


def test_names_come_and_go(fast: FastCommitted, tmp_path: Path) -> None:
    one, two, d = fast.number("one"), fast.number("two"), fast.number("d")
    data = commit(
        fast,
        entry(5, 2, one, "one"),
        entry(4, d, one, "renamed"),
        entry(4, 2, two, "second"),
        entry(5, 2, one, "three"),  # no longer that inode's: stays
    )
    filesystem = open_bytes(data)
    assert filesystem.warnings == []
    assert listing(filesystem) == by_e2fsck(data, tmp_path)
    assert filesystem.root.lookup(b"one") is None
    assert filesystem.walk(b"/d/renamed").key == one
    assert sorted(name for name, _ in filesystem.root.entries()) == [
        b"d",
        b"lost+found",
        b"second",
        b"three",
        b"two",
    ]


def test_ranges_move_and_vanish(fast: FastCommitted, tmp_path: Path) -> None:
    one, two = fast.number("one"), fast.number("two")
    blocks = fast.blocks("three")
    moved = tagged(1, struct.pack("<IIHHI", one, 5, 4, 0, blocks[2]))
    unwritten = tagged(1, struct.pack("<IIHHI", one, 12, 32768 + 3, 0, blocks[8]))
    removed = tagged(2, struct.pack("<III", two, 3, 6))
    data = commit(fast, moved, unwritten, removed)
    filesystem = open_bytes(data)
    assert filesystem.warnings == []
    old, other = (filesystem.walk(b"/" + n).read() for n in (b"one", b"three"))
    assert listing(filesystem) == by_e2fsck(data, tmp_path)
    assert old[5 * 1024 : 9 * 1024] == other[2 * 1024 : 6 * 1024]
    assert old[12 * 1024 : 15 * 1024] == bytes(3072)
    assert filesystem.walk(b"/two").read()[3 * 1024 : 9 * 1024] == bytes(6 * 1024)


def test_ranges_over_ranges_keep_what_they_do_not_cover(fast: FastCommitted, tmp_path: Path) -> None:
    one, blocks = fast.number("one"), fast.blocks("three")
    wide = tagged(1, struct.pack("<IIHHI", one, 0, 12, 0, blocks[8]))
    unwritten = tagged(1, struct.pack("<IIHHI", one, 12, 32768 + 4, 0, blocks[4]))
    data = commit(
        fast,
        wide,
        unwritten,
        tagged(1, struct.pack("<IIHHI", one, 4, 2, 0, blocks[0])),  # in the midst of the first
        tagged(2, struct.pack("<III", one, 13, 1)),  # in the midst of the second, which is zeros
        tagged(1, struct.pack("<IIHHI", one, 10, 3, 0, blocks[2])),  # over the end and the beginning
    )
    filesystem = open_bytes(data)
    assert filesystem.warnings == []
    found, other = (filesystem.walk(b"/" + n).read() for n in (b"one", b"three"))
    piece = [other[n * 1024 : (n + 1) * 1024] for n in range(20)]
    expected = [*piece[8:12], *piece[0:2], *piece[14:18], *piece[2:5], *[bytes(1024)] * 3]
    assert found[: 16 * 1024] == b"".join(expected)
    assert found[16 * 1024 :] == (tmp_path / "t" / "one").read_bytes()[16 * 1024 :]
    # "three" lost blocks to "one", which e2fsck frees and fills
    assert listing(filesystem)[b"/one"] == by_e2fsck(data, tmp_path)[b"/one"]


def test_what_stands_in_the_inode_comes_with_it(fast: FastCommitted) -> None:
    """A link's target and a device's number are where other inodes have their blocks."""
    link, device = (bytearray(160) for _ in range(2))
    struct.pack_into("<HHI", link, 0, 0o120777, 0, 6)
    link[0x28:0x2E] = b"inner2"
    struct.pack_into("<H", device, 0, 0o020600)
    struct.pack_into("<I", device, 0x28, 0x0501)
    for inode in (link, device):
        struct.pack_into("<H", inode, 0x1A, 1)
        struct.pack_into("<H", inode, 0x80, 32)
    data = commit(
        fast,
        tagged(6, struct.pack("<I", 40) + link),
        entry(3, 2, 40, "link"),
        tagged(6, struct.pack("<I", 41) + device),
        entry(3, 2, 41, "device"),
    )
    filesystem = open_bytes(data)
    assert filesystem.warnings == []
    assert filesystem.walk(b"/link", follow=False).target() == b"inner2"
    assert filesystem.walk(b"/device").kind is Kind.CHAR


def test_files_and_directories_are_made(fast: FastCommitted, tmp_path: Path) -> None:
    inode = fast.inode("one")
    number = 40
    struct.pack_into("<I", inode, 4, 3000)
    blocks = fast.blocks("three")
    data = commit(
        fast,
        tagged(6, struct.pack("<I", number) + inode),
        tagged(1, struct.pack("<IIHHI", number, 0, 3, 0, blocks[4])),
        entry(3, 2, number, "new"),
    )
    filesystem = open_bytes(data)
    assert filesystem.warnings == []
    assert listing(filesystem) == by_e2fsck(data, tmp_path)
    assert filesystem.walk(b"/new").read() == filesystem.walk(b"/three").read()[4096 : 4096 + 3000]
    folder = fast.inode("d")
    data = commit(
        fast,
        tagged(6, struct.pack("<I", 41) + folder),
        entry(3, 2, 41, "folder"),
        entry(4, 41, fast.number("two"), "two"),
    )
    filesystem = open_bytes(data)
    assert filesystem.walk(b"/folder/two").key == fast.number("two")
    assert [name for name, _ in filesystem.walk(b"/folder").entries()] == [b"two"]


def test_many_tags_fill_several_blocks(fast: FastCommitted, tmp_path: Path) -> None:
    one = fast.number("one")
    names = [f"link-{n:03}-{'x' * (n % 90)}" for n in range(150)]
    data = commit(
        fast, *(entry(kind, 2, one, name) for name in names for kind in (4, 5)), entry(4, 2, one, "end")
    )
    filesystem = open_bytes(data)
    assert filesystem.warnings == []
    assert listing(filesystem) == by_e2fsck(data, tmp_path)
    assert sorted(name for name, node in filesystem.root.entries() if node.key == one) == [b"end", b"one"]


def test_a_torn_fast_commit_counts_for_nothing(fast: FastCommitted) -> None:
    data = commit(fast, entry(5, 2, fast.number("one"), "one"), damage=True)
    filesystem = open_bytes(data)
    assert filesystem.root.lookup(b"one") is not None
    assert filesystem.warnings == ["journal: the fast commits have a bad checksum; they are left out"]


def test_a_tag_that_cannot_be_applied_is_named(fast: FastCommitted) -> None:
    one = fast.number("one")
    data = commit(
        fast,
        entry(4, 99999, one, "x"),
        tagged(1, struct.pack("<IIHHI", one, 0, 4, 0, 2**31)),
        entry(4, one, one, "y"),
        entry(4, 2, one, "a/b"),
        entry(5, 2, one, "one"),
    )
    filesystem = open_bytes(data)
    assert filesystem.root.lookup(b"one") is None
    tags = [w.split("tag ")[1].split()[0] for w in filesystem.warnings]
    assert tags == ["link", "add_range", "link", "link"]


@pytest.mark.parametrize(
    ("change", "warnings"),
    [
        ({"head": 10}, []),  # no tag
        ({"head": 7}, []),  # padding
        ({"later": 1}, []),  # of another transaction: left behind
        (
            {"features": 4},
            ["journal: fast commits with features 0x4 are not supported; they are left out"],
        ),
    ],
)
def test_what_does_not_begin_as_a_fast_commit_must_counts_for_nothing(
    fast: FastCommitted, change: dict[str, int], warnings: list[str]
) -> None:
    data = commit(fast, entry(5, 2, fast.number("one"), "one"), **change)  # type: ignore[arg-type]
    filesystem = open_bytes(data)
    assert filesystem.root.lookup(b"one") is not None
    assert filesystem.warnings == warnings


def test_an_area_without_a_tail_is_read_to_its_end(fast: FastCommitted) -> None:
    unlink = entry(5, 2, fast.number("one"), "one")
    data = bytearray(commit(fast, unlink))
    dirty = Dirty(fast.path, 1024, drop_mapping_blocks(fast.log, fast.path, 1024))
    first = len(dirty.journal) - 255
    tail = dirty.block(first).start + 12 + len(unlink)
    assert struct.unpack_from("<H", data, tail) == (8,)
    struct.pack_into("<H", data, tail, 7)
    for position in range(first + 1, len(dirty.journal)):
        data[dirty.block(position)] = tagged(7, bytes(1020))
    filesystem = open_bytes(data)
    assert filesystem.root.lookup(b"one") is not None
    assert filesystem.warnings == []


def test_more_blocks_for_fast_commits_than_the_journal_has(fast: FastCommitted) -> None:
    data = bytearray(commit(fast, entry(5, 2, fast.number("one"), "one")))
    dirty = Dirty(fast.path, 1024, drop_mapping_blocks(fast.log, fast.path, 1024))
    superblock_field(dirty, data, 0x54, 1_000_000)
    filesystem = open_bytes(data)
    assert filesystem.root.lookup(b"one") is not None
    (warning,) = filesystem.warnings
    assert f"1000000 of {len(dirty.journal)} blocks are for fast commits" in warning


def test_an_area_for_fast_commits_that_is_not_there(fast: FastCommitted) -> None:
    """The journal's file is shorter than its superblock says: all but the fast commits is read."""
    data = bytearray(commit(fast, entry(5, 2, fast.number("one"), "one")))
    where = debugfs(fast.path, "imap <8>")
    start = int(where.split("located at block ")[1].split(",")[0]) * 1024
    tree = start + int(where.split("offset ")[1].split()[0], 16) + 0x28
    magic, count, _, depth = struct.unpack_from("<4H", data, tree)
    assert (magic, depth) == (0xF30A, 0)
    last = tree + 12 * count
    length = struct.unpack_from("<H", data, last + 4)[0]
    struct.pack_into("<H", data, last + 4, length - 256)  # ee_len
    filesystem = open_bytes(data)
    assert filesystem.root.lookup(b"one") is not None
    assert any("the fast commits end where they cannot be read" in w for w in filesystem.warnings)
    names = {structure.name for structure in filesystem.structures.every()}
    assert "journal.fast_commit[0].fault" in names
    assert "inode[2]" in names
