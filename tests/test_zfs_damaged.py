"""Damaged and hostile pools: the redundancy that there is is used, and all else is a clear error in time."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from clock import seconds_used
from zfs_image import FRONT, Patched, disks, label_places, listing, pool, resealed, tree

from pybootcfg.errors import BootcfgError, ImageError, UnsupportedFeature
from pybootcfg.filesystems import open_filesystem
from pybootcfg.filesystems.base import Node, Options
from pybootcfg.filesystems.zfs import Zfs, block, compression, label
from pybootcfg.kind import Kind
from pybootcfg.source import Source, Window

VERSION = b"version\0\0\0\0\x08\0\0\0\x01" + bytes(7)
TIME = 20  #: seconds that no damage may cost


def uberblocks(disk: Source) -> list[label.Uberblock]:
    device = label.read_device(disk)
    assert device is not None
    return label.uberblocks(device, 9)


def test_no_label() -> None:
    (disk,) = disks("datasets-v15")
    damage = {place + 16384 + 20: b"?" for place in label_places(disk)}
    with pytest.raises(ImageError, match="no ZFS label is valid"):
        open_filesystem(Patched(disk, damage), Options())


def test_one_uberblock_less() -> None:
    """Without the newest uberblock the pool is as it was one transaction group before."""
    (disk,) = disks("datasets-v15")
    first, *_ = uberblocks(disk)
    same = [found for found in uberblocks(disk) if found.txg == first.txg]
    found = pool(Patched(disk, {one.offset: bytes(216) for one in same}))
    assert found.active_uberblock.txg < first.txg


def test_newest_uberblock_points_nowhere() -> None:
    """A sound uberblock whose objects cannot be read is passed over, and that is said."""
    (disk,) = disks("datasets-v15")
    newest = uberblocks(disk)[0]
    damage = {FRONT + dva.offset: bytes(512) for dva in newest.rootbp.dvas}
    found = pool(Patched(disk, damage))
    assert found.active_uberblock.txg < newest.txg
    assert f"transaction group {newest.txg} cannot be read" in found.warnings[0]


def test_no_uberblock() -> None:
    (disk,) = disks("datasets-v15")
    damage = {place + 131072: bytes(131072) for place in label_places(disk)}
    with pytest.raises(ImageError, match="no uberblock is valid"):
        pool(Patched(disk, damage))


def test_truncated_disk() -> None:
    (disk,) = disks("datasets-v15")
    for size in (300_000, 1 << 20, 4 << 20, FRONT + 4096):
        with pytest.raises(ImageError):
            pool(Window(disk, 0, size, "short"))


def test_damage_is_made_good_by_ditto_blocks() -> None:
    """Metadata is there two or three times: one copy of each may go."""
    (disk,) = disks("intent-log-v23")
    before = pool(disk)
    damage: dict[int, bytes] = {}
    original = block.BlockReader.read

    def first_copies(self: block.BlockReader, pointer: block.BlockPointer) -> bytes:
        if len(pointer.dvas) > 1:
            damage[FRONT + pointer.dvas[0].offset] = bytes(pointer.psize)
        return original(self, pointer)

    block.BlockReader.read = first_copies  # type: ignore[method-assign]
    try:
        tree(before.root)
        pool(disk)
    finally:
        block.BlockReader.read = original  # type: ignore[method-assign]
    assert len(damage) > 10
    found = pool(Patched(disk, damage))
    assert tree(found.root) == listing("intent-log-v23")
    assert any("damaged, stale or missing" in warning for warning in found.warnings)


def test_damaged_data_is_an_error() -> None:
    (disk,) = disks("datasets-v15")
    healthy = pool(disk)
    node = healthy.walk(b"/boot/vmlinuz")
    pointer = next(span.pointer for span in node.dnode.spans(node.size))  # type: ignore[attr-defined]
    found = pool(Patched(disk, {FRONT + pointer.dvas[0].offset + 3: b"\x5a\xa5"}))
    with pytest.raises(ImageError, match="no copy of a block is right"):
        found.walk(b"/boot/vmlinuz").read()
    assert found.walk(b"/boot/grub/grub.cfg").read() == b"changed\n"


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("checksums-v5000", b"com.delphix:hole_birth", b"com.example:hole_birth", "com.example:hole_birth"),
        ("raidz2-v23", b"raidz\0", b"draid\0", "vdev type draid"),
        ("datasets-v15", VERSION + b"\x0f", VERSION + b"\x1d", "pool version 29"),
    ],
)
def test_refused_by_name(name: str, old: bytes, new: bytes, message: str) -> None:
    with pytest.raises(UnsupportedFeature, match=message):
        pool(*(resealed(disk, old, new) for disk in disks(name)))


def test_features_in_the_pool_are_refused_too(monkeypatch: pytest.MonkeyPatch) -> None:
    from pybootcfg.filesystems.zfs.pool import Pool

    monkeypatch.setattr(Pool, "features", lambda *_: [("org.example:new", 1), ("org.example:unused", 0)])
    with pytest.raises(UnsupportedFeature, match=r"org\.example:new"):
        pool(*disks("checksums-v5000"))


@pytest.mark.no_cover
def test_random_damage() -> None:
    """Bytes anywhere: with the checksums in force each file is right or an error."""
    chance = random.Random(7)  # noqa: S311
    (disk,) = disks("datasets-v15")
    wanted = listing("datasets-v15")
    for _ in range(25):
        places = [chance.randrange(0, 12 << 20) for _ in range(400)]
        damaged = Patched(disk, {place: chance.randbytes(16) for place in places})
        try:
            found = open_filesystem(damaged, Options())
        except BootcfgError:
            continue
        if found is None:
            continue
        for path in (b"/boot/vmlinuz", b"/boot/text", b"/boot/grub/grub.cfg"):
            try:
                data = found.walk(path).read()
            except BootcfgError:
                continue
            assert len(data) in (wanted[path].size, 60)


# --- a guest that makes its checksums right -------------------------------------------------------


@pytest.fixture
def trusting(monkeypatch: pytest.MonkeyPatch) -> random.Random:
    """All checksums hold, and blocks are changed after they were read: what a hostile guest can do."""
    chance = random.Random()  # noqa: S311
    original = compression.decompress
    values = (0, 1, 0xFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 1 << 32, 1 << 40, (1 << 63) - 1, (1 << 64) - 1)

    def changed(function: int, data: bytes, size: int) -> bytes:
        plain = bytearray(original(function, data, size))
        if chance.random() < chance_of_change and 8 < len(plain) <= 131072:
            for _ in range(chance.choice((1, 2, 8))):
                at = chance.randrange(min(len(plain) - 8, chance.choice((600, len(plain) - 8))))
                kind = chance.randrange(3)
                if kind == 0:
                    plain[at] = chance.randrange(256)
                elif kind == 1:
                    plain[at : at + 8] = chance.choice(values).to_bytes(8, "little")
                else:
                    start = chance.randrange(len(plain))
                    piece = plain[start : start + chance.choice((8, 24, 64, 128))]
                    plain[at : at + len(piece)] = piece
            del plain[size:]
        return bytes(plain)

    chance_of_change = 0.05
    monkeypatch.setattr(compression, "decompress", changed)
    monkeypatch.setattr(block.BlockReader, "_right", lambda *_: True)
    return chance


def visit(root: Node, budget: list[int]) -> None:
    """Look at everything below a directory, within a budget of names and bytes."""
    try:
        for _, node in root.entries():
            budget[0] -= 1
            if budget[0] < 0:
                return
            try:
                if node.kind is Kind.DIRECTORY:
                    visit(node, budget)
                elif node.kind is Kind.SYMLINK:
                    node.target()
                elif node.kind is Kind.FILE:
                    for run in node.runs():
                        budget[1] -= min(run.length, 1 << 20)
                        if budget[1] < 0:
                            return
            except BootcfgError:
                continue
    except BootcfgError:
        return


@pytest.mark.no_cover
@pytest.mark.parametrize("name", ["datasets-v15", "intent-log-v23", "checksums-v5000"])
def test_hostile_pools(trusting: random.Random, name: str) -> None:
    errors = 0
    for seed in range(25):
        trusting.seed(seed)
        start = seconds_used()
        try:
            found = pool(*disks(name))
            visit(found.root, [2000, 64 << 20])
            for path in (b"/boot/vmlinuz", b"/many/nope"):
                found.walk(path)
            found.subvolume("rpool/ROOT/be@before")
        except BootcfgError:
            errors += 1
        assert seconds_used() - start < TIME
    assert errors


def test_dataset_tree_that_is_a_circle(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child directory that is its own parent ends at the cap, and the root is shown all the same."""
    from pybootcfg.filesystems.zfs.dsl import Directory

    original = Directory.children

    def circle(self: Directory) -> Iterator[Directory]:
        yield from original(self)
        yield Directory(self.pool, self.name + b"/again", self.object, self)

    monkeypatch.setattr(Directory, "children", circle)
    found = pool(*disks("datasets-v15"))
    assert isinstance(found, Zfs)
    assert found.walk(b"/boot/grub/grub.cfg").read() == b"changed\n"


def test_directory_with_a_damaged_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the hash leads nowhere the leaves are looked through; a name that is not there stays an error."""
    from pybootcfg.filesystems.zfs import zap

    found = pool(*disks("datasets-v15"))
    directory = found.walk(b"/many")
    names = [name for name, _ in directory.entries()]
    monkeypatch.setattr(zap.Zap, "_pointer", lambda *_: 12345)
    assert all(directory.lookup(name) is not None for name in names)
    with pytest.raises(ImageError, match="no leaf block 12345"):
        directory.lookup(b"nope")


def test_directory_with_a_damaged_leaf(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the other leaves hold is listed before the error."""
    from pybootcfg.filesystems.zfs import zap

    found = pool(*disks("datasets-v15"))
    directory = found.walk(b"/many")
    whole = len(list(directory.entries()))
    leaves = zap.Zap._leaves
    monkeypatch.setattr(zap.Zap, "_leaves", lambda self: iter([999, *leaves(self)]))
    entries = directory.entries()
    for _ in range(whole):
        next(entries)
    with pytest.raises(ImageError, match="no leaf block 999"):
        next(entries)


class Failing(Patched):
    """A disk with sectors that cannot be read behind its labels."""

    def _read(self, offset: int, length: int) -> bytes:
        if FRONT <= offset < self.size - 524288:
            raise OSError(5, "Input/output error")
        return super()._read(offset, length)


def test_unreadable_sectors_are_a_missing_copy() -> None:
    first, second, *rest = disks("raidz2-v23")
    assert tree(pool(Failing(first, {}), Failing(second, {}), *rest).root) == listing("raidz2-v23")
    (single,) = disks("datasets-v15")
    with pytest.raises(ImageError, match="no copy of a block is right"):
        pool(Failing(single, {}))


def test_labels_of_an_earlier_pool() -> None:
    """Half of the labels and uberblocks are of another pool, with greater txgs; those in front count."""
    (disk,) = disks("datasets-v15")
    (other,) = disks("checksums-v5000")
    tail = disk.size - 524288
    found = pool(Patched(disk, {tail: other.read(other.size - 524288, 524288)}))
    assert found.label == "rpool"
    assert found.walk(b"/boot/grub/grub.cfg").read() == b"changed\n"
    assert any("another pool" in warning for warning in found.warnings)


# --- labels that say something else ------------------------------------------------------------------------

STATE = b"state\0\0\0" + bytes(3) + b"\x08" + bytes(3) + b"\x01" + bytes(7)


@pytest.mark.parametrize(
    ("state", "error", "words"),
    [
        (2, ImageError, "the pool rpool was destroyed"),
        (3, UnsupportedFeature, "it is a spare or cache device, not a pool"),
        (4, UnsupportedFeature, "it is a spare or cache device, not a pool"),
    ],
)
def test_disks_that_are_no_pool_any_more(state: int, error: type[BootcfgError], words: str) -> None:
    """sys/fs/zfs.h, pool_state_t: destroyed, spare, cache."""
    (disk,) = disks("datasets-v15")
    body = disk.read(16384, 114688)
    was = body[body.index(STATE) + len(STATE)]
    with pytest.raises(error, match=words):
        pool(resealed(disk, STATE + bytes([was]), STATE + bytes([state])))


@pytest.mark.parametrize("parity", [0, 4, 9])
def test_a_raidz_that_makes_no_sense(parity: int) -> None:
    members = disks("raidz2-v23")
    nparity = b"nparity\0" + bytes(3) + b"\x08" + bytes(3) + b"\x01" + bytes(7)
    changed = [resealed(disk, nparity + b"\x02", nparity + bytes([parity])) for disk in members]
    with pytest.raises(ImageError, match="the description of raidz-0 makes no sense"):
        pool(*changed)


def test_a_hole_in_place_of_a_device() -> None:
    """Of a device that was removed before removals were mapped only a hole is left, which holds nothing."""
    (disk,) = disks("datasets-v15")
    with pytest.raises(ImageError):
        pool(resealed(disk, b"\x04file", b"\x04hole"))


def test_where_a_solaris_kernel_finds_its_disk_is_not_known_here() -> None:
    for name in ("datasets-v15", "raidz2-v23"):
        assert pool(*disks(name)).pool.phys_path == ""
