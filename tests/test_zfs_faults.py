"""Single faults of pools whose checksums are right, as a hostile guest makes them: each has its own words.

Most change a block after it was decompressed, which is what a guest that writes its own checksums can do.
"""

from __future__ import annotations

import hashlib
import struct
import sys
from collections.abc import Callable, Iterator
from itertools import islice
from types import SimpleNamespace
from typing import Any

import pytest
from test_zfs_functions import words
from test_zfs_replay import NEW, Before, record
from test_zfs_vdevs import Mapping, leaf
from zfs_image import FRONT, Patched, disks, label_places, listing, lying, pool, resealed, tree

from pybootcfg import limits, schema
from pybootcfg.errors import ImageError, LimitExceeded, UnsupportedFeature
from pybootcfg.filesystems.base import Hole
from pybootcfg.filesystems.zfs import Zfs, blkptr, block, compression, dsl, fletcher, label, reader, zil
from pybootcfg.filesystems.zfs.replay import ReplayedFileSystem
from pybootcfg.filesystems.zfs.vdev import Copy, Vdev
from pybootcfg.filesystems.zfs.view import MountedDirectory, MountPoint
from pybootcfg.filesystems.zfs.zap import Entry
from pybootcfg.filesystems.zfs.znode import Znode
from pybootcfg.formats import zfs_zil as log_layout
from pybootcfg.kind import Kind

Edit = Callable[[bytes], bytes]


@pytest.fixture
def rewrite(monkeypatch: pytest.MonkeyPatch) -> Callable[[Edit], None]:
    """Change all blocks that are read from now on by a function."""
    original = compression.decompress

    def start(edit: Edit) -> None:
        monkeypatch.setattr(compression, "decompress", lambda *given: edit(original(*given)))

    return start


def replacing(old: bytes, new: bytes) -> Edit:
    assert len(old) == len(new)
    assert old != new
    return lambda plain: plain.replace(old, new)


def with_word(data: bytes, number: int, value: int) -> bytes:
    """Return bytes with one of their 64-bit words changed."""
    return data[: 8 * number] + value.to_bytes(8, "little") + data[8 * number + 8 :]


def directory(found: Zfs, *names: bytes) -> dsl.Directory:
    here: dsl.Directory | None = dsl.root(found.pool)
    for name in names:
        assert here is not None
        here = here.child(name)
    assert here is not None
    return here


@pytest.fixture(scope="module")
def before() -> Before:
    return Before()


# --- block pointers ---------------------------------------------------------------------------------------


def pointer(*, lsize: int = 1, psize: int = 1, crypt: int = 0, gang: int = 0) -> blkptr.BlockPointer:
    """A pointer to plain file contents at the begin of device 0; sizes are in sectors (spa.h)."""
    prop = lsize - 1 | psize - 1 << 16 | 2 << 32 | 2 << 40 | 19 << 48 | crypt << 61 | 1 << 63
    return blkptr.decode(
        words(psize, gang << 63, *[0] * 4, prop, 0, 0, 0, 9, *[0] * 5, order="little"), big=False
    )


def test_a_block_larger_than_any_is_refused() -> None:
    blocks = block.BlockReader("pool", print)
    with pytest.raises(LimitExceeded, match="zfs-block-size"):
        blocks.read(pointer(lsize=1 << 16))
    assert pointer(lsize=1 << 15).lsize == 16 << 20  # SPA_MAXBLOCKSIZE, which is none too large
    with pytest.raises(ImageError, match="no copy of a block is right"):
        blocks.read(pointer(lsize=1 << 15))


def test_an_encrypted_block_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedFeature, match="encrypted dataset"):
        block.BlockReader("pool", print).read(pointer(crypt=1))


class Scattered(Vdev):
    """A device whose first sector is the header of a gang block of given pieces, noise behind it."""

    name = "scattered"
    complete = True
    ashift = 9

    def __init__(self, *sectors: int) -> None:
        self.noise = hashlib.shake_128(b"gang").digest(64 * 512)
        pieces = b""
        at = 1
        for count in sectors:
            prop = count - 1 | count - 1 << 16 | 2 << 32 | 2 << 40 | 1 << 63
            pieces += words(count, at, *[0] * 4, prop, 0, 0, 0, 9, *[0] * 5, order="little")
            at += count
        body = pieces.ljust(512 - 40, b"\0") + (0x0210DA7AB10C7A11).to_bytes(8, "little")
        digest = hashlib.sha256(body + words(0, 0, 9, 0, order="little")).digest()
        self.header = body + b"".join(digest[start : start + 8][::-1] for start in range(0, 32, 8))

    def copies(self, offset: int, size: int, birth: int) -> Iterator[Copy]:  # noqa: ARG002
        yield Copy((self.header + self.noise)[offset : offset + size])


def test_a_gang_block_is_put_together() -> None:
    blocks = block.BlockReader("pool", print)
    blocks.tops = {0: Scattered(3, 2, 1)}
    assert blocks.read(pointer(lsize=6, psize=6, gang=1)) == Scattered().noise[: 6 * 512]


@pytest.mark.parametrize(("sectors", "found"), [((3, 2), 5), ((), 0), ((3, 4), 7)])
def test_a_gang_block_whose_pieces_have_another_length(sectors: tuple[int, ...], found: int) -> None:
    blocks = block.BlockReader("pool", print)
    blocks.tops = {0: Scattered(*sectors)}
    with pytest.raises(ImageError, match=f"a gang block of 3072 bytes has pieces of {found * 512}"):
        blocks.read(pointer(lsize=6, psize=6, gang=1))


def test_behind_the_end_of_an_object_are_zeros(before: Before) -> None:
    dnode = before.kernel.dnode
    assert dnode.read(dnode.size - 3, 10)[3:] == bytes(7)
    assert dnode.read(dnode.size << 20, 5) == bytes(5)


# --- labels and devices -----------------------------------------------------------------------------------


def test_a_label_whose_list_cannot_be_right() -> None:
    (disk,) = disks("datasets-v15")
    name = b"\0\0\0\x07version\0"
    with pytest.raises(ImageError, match="no ZFS label is valid"):
        pool(resealed(disk, name, b"\xff" * 4 + name[4:]))


GUID = b"\0\0\0\x04guid\0\0\0\x08\0\0\0\x01"


def test_a_device_that_the_pool_does_not_know() -> None:
    first, *others = disks("raidz2-v23")
    body = first.read(16384, 114688)
    at = body.index(GUID, body.index(b"top_guid")) + len(GUID)
    guid = body[at : at + 8]
    stranger = resealed(first, GUID + guid, GUID + guid[::-1])
    # its own description in the tree of devices is changed with it, but not the one in the pool
    found = pool(stranger, *others)
    assert any("the device is no longer part of the pool stripes" in warning for warning in found.warnings)
    assert tree(found.root) == listing("raidz2-v23")


def test_a_device_whose_tree_does_not_tell_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    found = pool(*disks("datasets-v15"))
    config = {**found.pool.devices[0].config, "guid": 12345}
    monkeypatch.setattr(label.Device, "config", property(lambda _: config))
    assert found.pool.phys_path == ""


def test_a_device_that_missed_the_last_transaction_groups() -> None:
    first, *others = disks("raidz2-v23")
    device = label.read_device(first)
    assert device is not None
    blocks = label.uberblocks(device, 9)
    newest = blocks[0].txg
    ring = {place + 131072: first.read(place + 131072, 131072) for place in label_places(first)}
    stale = {
        start + at: bytes(216)
        for start, data in ring.items()
        for at in range(0, 131072, 1024)
        if struct.unpack_from("<Q", data, at + 16)[0] == newest
    }
    assert stale
    found = pool(Patched(first, stale), *others)
    assert f"the device is stale, it missed transaction groups up to {newest}" in str(found.warnings)
    assert tree(found.root) == listing("raidz2-v23")


def test_a_removed_device_by_its_description(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = pool(*disks("datasets-v15")).pool
    mapping = Mapping((0, 8, 0, 20), (8, 4, 0, 0))
    wanted: list[int] = []
    monkeypatch.setattr(opened.mos, "object", lambda number: wanted.append(number) or mapping)
    data = hashlib.shake_128(b"device").digest(64 * 512)
    opened.blocks.tops = {0: leaf("a", data)}
    vdev = opened._vdev({"type": "indirect", "com.delphix:indirect_object": 77}, "1")
    assert vdev.name == "indirect-1"
    for _ in range(2):
        (copy,) = vdev.copies(7 * 512, 3 * 512, 9)
        assert copy.data == data[27 * 512 : 28 * 512] + data[: 2 * 512]
    assert wanted == [77]


def test_a_removed_device_without_a_mapping_has_nothing() -> None:
    vdev = pool(*disks("datasets-v15")).pool._vdev({"type": "indirect"}, "1")
    with pytest.raises(ImageError, match="the mapping of indirect-1 does not cover 512 bytes"):
        list(vdev.copies(0, 512, 9))


@pytest.mark.parametrize(("state", "scratch"), [(0, False), (1, True), (2, False), (4, False)])
def test_how_far_an_expansion_came_stands_in_the_uberblock(state: int, scratch: bool) -> None:
    """ub_raidz_reflow_info (OpenZFS, sys/uberblock_impl.h): 55 bits of sectors, 9 of a state."""
    opened = pool(*disks("raidz2-v23")).pool
    opened.uberblock = opened.uberblock._replace(raidz_reflow_info=state << 55 | 1000)
    members: list[Any] = [leaf(str(number), b"") for number in range(5)]
    tree = {"nparity": 2, "ashift": 9, "raidz_expanding": True, "raidz_expand_txgs": (50,)}
    group: Any = opened._raidz(tree, "raidz-0", members)
    assert (group.expansion.offset, group.expansion.scratch) == (1000 * 512, scratch)
    assert group.widths == ((50, 4),)
    assert [group.width(birth) for birth in (10, 60)] == [3, 4]


def test_reconstructions_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, *others = disks("raidz2-v23")
    monkeypatch.setattr(limits.ZFS_RECONSTRUCTIONS, "value", 3)
    with pytest.raises(ImageError, match="no copy of a block is right"):
        tree(pool(lying(first), lying(second), *others).root)


# --- datasets ---------------------------------------------------------------------------------------------


def test_a_dataset_without_children_or_properties(rewrite: Callable[[Edit], None]) -> None:
    bonus = directory(pool(*disks("datasets-v15")), b"data").dnode.bonus
    rewrite(
        replacing(bonus, with_word(with_word(bonus, 4, 0), 10, 0))
    )  # dd_child_dir_zapobj, dd_props_zapobj
    again = directory(pool(*disks("datasets-v15")), b"data")
    assert list(again.children()) == []
    assert again.child(b"none") is None
    assert again.setting(b"mountpoint") is None
    assert again.mountpoint == b"/guest/m/rpool/data"  # inherited
    assert again.canmount == 1


def test_the_root_dataset_is_mounted_at_its_name(rewrite: Callable[[Edit], None]) -> None:
    top = directory(pool(*disks("raidz2-v23")))
    assert top.mountpoint == b"/guest/m/stripes"
    rewrite(replacing(top.dnode.bonus, with_word(top.dnode.bonus, 10, 0)))
    assert directory(pool(*disks("raidz2-v23"))).mountpoint == b"/stripes"


def test_a_dataset_that_was_not_received_completely(rewrite: Callable[[Edit], None]) -> None:
    dnode = directory(pool(*disks("datasets-v15")), b"data").head().dnode
    rewrite(replacing(dnode.bonus, with_word(dnode.bonus, 15, 1)))  # ds_flags
    with pytest.raises(ImageError, match="the dataset rpool/data was not received completely"):
        pool(*disks("datasets-v15")).subvolume("rpool/data")


@pytest.mark.parametrize(
    ("kind", "words"), [(3, "rpool/data is a volume, not a file system"), (4, "rpool/data is no file system")]
)
def test_a_dataset_of_another_kind(kind: int, words: str, rewrite: Callable[[Edit], None]) -> None:
    """os_type of dmu_objset.h: 2 is a file system, 3 a volume."""
    found = pool(*disks("datasets-v15"))
    data = directory(found, b"data").head().open().data
    assert struct.unpack_from("<Q", data, 704) == (2,)
    rewrite(replacing(data, data[:704] + kind.to_bytes(8, "little") + data[712:]))
    found = pool(*disks("datasets-v15"))
    with pytest.raises(UnsupportedFeature, match=words):
        found.subvolume("rpool/data")


def booting(found: Zfs, number: int) -> Edit:
    """Make the pool boot the dataset whose object has that number."""
    tail = bytes(6) + b"bootfs\0"
    return replacing(found.bootfs_object.to_bytes(8, "little") + tail, number.to_bytes(8, "little") + tail)


def test_a_snapshot_may_be_what_boots(rewrite: Callable[[Edit], None]) -> None:
    found = pool(*disks("datasets-v15"))
    snapshot = directory(found, b"ROOT", b"be").snapshot(b"before")
    rewrite(booting(found, snapshot.object))
    again = pool(*disks("datasets-v15"))
    assert again.bootfs == "rpool/ROOT/be@before"
    assert again.walk(b"/boot/grub/grub.cfg").read().startswith(b"set timeout=5")


def test_datasets_that_have_no_name(rewrite: Callable[[Edit], None], monkeypatch: pytest.MonkeyPatch) -> None:
    found = pool(*disks("datasets-v15"))
    be = directory(found, b"ROOT", b"be")
    snapshot = be.snapshot(b"before")
    monkeypatch.setattr(dsl.Directory, "children", lambda _: iter(()))
    with pytest.raises(ImageError, match=f"dataset {be.head().object} has no name"):
        dsl.by_object(found.pool, be.head().object)
    monkeypatch.undo()
    head = be.head().dnode.bonus
    other = directory(found, b"data").head().dnode.bonus  # has a list of snapshots of its own, an empty one
    rewrite(replacing(head, with_word(head, 4, struct.unpack_from("<Q", other, 32)[0])))
    again = pool(*disks("datasets-v15"))
    with pytest.raises(ImageError, match=f"dataset {snapshot.object} has no name"):
        dsl.by_object(again.pool, snapshot.object)


def test_a_dataset_of_another_tree(rewrite: Callable[[Edit], None]) -> None:
    found = pool(*disks("datasets-v15"))
    be = directory(found, b"ROOT", b"be")
    rewrite(replacing(be.dnode.bonus, with_word(be.dnode.bonus, 2, 0)))  # dd_parent_obj
    again = pool(*disks("datasets-v15"))
    with pytest.raises(ImageError, match=f"dataset {be.head().object} is not below the root dataset"):
        dsl.by_object(again.pool, be.head().object)


def settings(monkeypatch: pytest.MonkeyPatch, places: dict[bytes, bytes], canmount: dict[bytes, int]) -> Zfs:
    """A pool that names no dataset for booting, with other properties."""

    def setting(self: dsl.Directory, name: bytes) -> Entry | None:
        if name == b"mountpoint" and self.name in places:
            return Entry(name, 1, places[self.name] + b"\0")
        if name == b"canmount" and self.name in canmount:
            return Entry(name, 8, canmount[self.name].to_bytes(8, "big"))
        return None

    monkeypatch.setattr(dsl.Directory, "setting", setting)
    monkeypatch.setattr(dsl, "bootfs", lambda _: 0)
    return pool(*disks("datasets-v15"))


BE, CLONE = b"rpool/ROOT/be", b"rpool/ROOT/clone"


@pytest.mark.parametrize(
    ("canmount", "shown"),
    [
        ({b"rpool": 0, BE: 2, CLONE: 1}, CLONE),  # the one that is mounted automatically
        ({b"rpool": 0, BE: 2, CLONE: 0}, BE),  # the only one
        ({b"rpool": 0, BE: 2, CLONE: 2}, b"rpool"),  # two: nobody can tell
        ({b"rpool": 1, BE: 1, CLONE: 1}, b"rpool"),  # it is mounted itself
    ],
)
def test_what_stands_in_for_a_root_dataset_that_is_never_mounted(
    canmount: dict[bytes, int], shown: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = {b"rpool": b"/", b"rpool/ROOT": b"none", BE: b"/", CLONE: b"/", b"rpool/data": b"none"}
    found = settings(monkeypatch, places, canmount)
    root = found.root
    while isinstance(root, MountedDirectory):
        assert root.under is not None
        root = root.under
    names = {
        directory.name: directory.head().object for directory in found._directories(dsl.root(found.pool))
    }
    names[b"rpool"] = dsl.root(found.pool).head().object
    assert isinstance(root, Znode)
    assert root.filesystem.key == names[shown]


def test_a_dataset_that_needs_a_missing_library_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "blake3", None)
    found = pool(*disks("checksums-v5000"))
    wanted = {path: seen for path, seen in listing("checksums-v5000").items() if b"blake3/" not in path}
    assert tree(found.root) == wanted
    assert any("BLAKE3 checksums need the Python package" in warning for warning in found.warnings)
    with pytest.raises(UnsupportedFeature, match="BLAKE3"):
        list(found.walk(b"/blake3").entries())


def test_datasets_that_are_looked_at_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits.ZFS_DATASETS, "value", 3)
    found = pool(*disks("datasets-v15"))
    assert found.walk(b"/boot/grub/grub.cfg").read() == b"changed\n"
    assert any("not all datasets are looked at" in warning for warning in found.warnings)


def test_only_some_datasets_stay_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "OPENED", 2)
    found = pool(*disks("checksums-v5000"))
    assert tree(found.root) == listing("checksums-v5000")
    assert len(found._opened) == 2


def test_a_place_that_nothing_is_mounted_at() -> None:
    """A directory that ZFS makes when it mounts something below it."""
    top = MountPoint(b"/")
    top.at([b"var", b"lib"])
    node = MountedDirectory(top, None)
    assert (node.under, node.kind, node.size, node.mode, node.mtime) == (None, Kind.DIRECTORY, 0, 0o755, None)
    assert node.key == ("mount point", b"/")
    assert [name for name, _ in node.entries()] == [b"var"]
    assert node.lookup(b"none") is None
    assert list(node.runs()) == []


# --- ZAP --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [b"", b"n" * 50, b"n" * 300])
def test_names_that_a_small_directory_cannot_have(name: bytes, before: Before) -> None:
    assert before.boot.lookup(b"vmlinuz") is not None
    assert before.boot.lookup(name) is None


LEAF_MAGIC = (0x2AB1EAF).to_bytes(4, "little")


def leaves(change: Callable[[bytearray, int], None]) -> Edit:
    """Change the leaves of fat ZAPs; a function takes each with the place of its first chunk."""

    def edit(plain: bytes) -> bytes:
        if plain[24:28] != LEAF_MAGIC:
            return plain
        data = bytearray(plain)
        change(data, 48 + (2 << len(data).bit_length() - 1 - 5))
        return bytes(data)

    return edit


def chunks(data: bytearray, start: int, kind: int) -> range | list[int]:
    return [at for at in range(start, len(data) - 23, 24) if data[at] == kind]


def hash_chains_that_go_in_circles(data: bytearray, start: int) -> None:
    for number, at in enumerate(range(start, len(data) - 23, 24)):
        if data[at] == 252:
            struct.pack_into("<H", data, at + 2, number)  # le_next: itself
            data[at + 16] ^= 1  # and another hash


def lists_that_go_in_circles(data: bytearray, start: int) -> None:
    for at in chunks(data, start, 252):
        struct.pack_into("<H", data, at + 6, 0xFFFF)  # le_name_numints
    for number, at in enumerate(range(start, len(data) - 23, 24)):
        if data[at] == 251:
            struct.pack_into("<H", data, at + 22, number)  # la_next: itself


def values_of_odd_integers(data: bytearray, start: int) -> None:
    for at in chunks(data, start, 252):
        data[at + 1] = 3  # le_value_intlen


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (hash_chains_that_go_in_circles, "hash chain"),
        (lists_that_go_in_circles, "array"),
        (values_of_odd_integers, "value"),
    ],
)
def test_a_leaf_of_a_directory_that_makes_no_sense(
    change: Callable[[bytearray, int], None], words: str, rewrite: Callable[[Edit], None]
) -> None:
    found = pool(*disks("datasets-v15"))
    many = found.walk(b"/many")
    names = [name for name, _ in many.entries()]
    found.pool.blocks.forget()
    rewrite(leaves(change))
    others = [b"none%d" % number for number in range(2000)]  # some of them share a chain with a name
    with pytest.raises(ImageError, match=words):
        _ = [many.lookup(name) for name in (names[0], *others)]


def test_a_pointer_table_behind_the_end(rewrite: Callable[[Edit], None]) -> None:
    found = pool(*disks("datasets-v15"))
    many = found.walk(b"/many")
    header = many.dnode.block(0)[0]  # type: ignore[attr-defined]
    changed = bytearray(header)
    struct.pack_into("<QQ", changed, 16, 1 << 30, 8)  # zt_blk, zt_numblks
    found.pool.blocks.forget()
    rewrite(replacing(header, bytes(changed)))
    many = pool(*disks("datasets-v15")).walk(b"/many")
    with pytest.raises(ImageError, match="the pointer table of its fat ZAP ends after the object"):
        list(many.entries())


# --- attributes -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def modern() -> Znode:
    """A file with system attributes."""
    node = pool(*disks("checksums-v5000")).subvolume("tank/sha256")
    assert isinstance(node, Znode)
    return node


@pytest.mark.parametrize(
    ("info", "room", "words"),
    [
        (999 | 1 << 10, 400, "a layout that is not registered"),
        (None, 20, "longer than their buffer"),
        (None, 0, "a wrong magic number"),
    ],
)
def test_system_attributes_that_make_no_sense(info: int | None, room: int, words: str, modern: Znode) -> None:
    """sa_hdr_phys of sys/sa_impl.h: magic, then 10 bits of the layout's number and 6 of the header's size."""
    bonus = modern.dnode.bonus
    assert struct.unpack_from("<I", bonus) == (0x2F505A,)
    known = struct.unpack_from("<H", bonus, 4)[0]
    data = struct.pack("<IH", 0x2F505A if room else 1, known if info is None else info) + bonus[6:]
    registry = modern.filesystem.registry
    assert registry is not None
    with pytest.raises(ImageError, match=words):
        registry.attributes(data[: room or len(data)], modern.dnode, big=False)


def test_a_link_shorter_than_its_size(before: Before) -> None:
    node = Znode(before.root.filesystem, before.boot.number)
    node.__dict__["attributes"] = before.boot.attributes._replace(mode=0o120777, size=9, target=b"target")
    with pytest.raises(ImageError, match="a symbolic link is shorter than its size"):
        node.target()
    node.__dict__["attributes"] = node.attributes._replace(size=3)
    assert node.target() == b"tar"


# --- the intent log ---------------------------------------------------------------------------------------


def set_mode(number: int, mode: int) -> zil.Record:
    fields = {
        "lr_foid": number,
        "lr_mask": 0x41,  # mode and ctime, as Linux numbers them
        "lr_mode": mode,
        "lr_uid": 0,
        "lr_gid": 0,
        "lr_size": 0,
        "lr_atime": [0, 0],
        "lr_mtime": [0, 0],
    }
    names = [part.name for part in log_layout.lr_setattr.subcons]
    return record(log_layout.TX_SETATTR, "lr_setattr", {name: fields[name] for name in names})


def test_a_file_with_another_mode_keeps_its_contents(before: Before) -> None:
    found = before.after(set_mode(before.kernel.number, 0o600))
    node = found.find("boot", "vmlinuz")
    assert node is not None
    assert node.mode == 0o600
    assert found.read("boot", "vmlinuz") == before.data
    assert list(node.runs()) == list(before.kernel.runs())


def test_a_large_hole_in_a_file_with_another_mode_costs_nothing(before: Before) -> None:
    found = before.after(set_mode(before.kernel.number, 0o600))
    node = found.find("boot", "vmlinuz")
    assert isinstance(node, Znode)
    node._base.__dict__["attributes"] = before.kernel.attributes._replace(size=1 << 60)  # type: ignore[attr-defined]
    assert node.size == 1 << 60
    *_, last = node.runs()
    assert isinstance(last, Hole)
    assert last.length > 1 << 59


def test_a_name_below_what_is_not_there_is_told_by_its_number(before: Before) -> None:
    found: ReplayedFileSystem = before.after().filesystem
    assert found.path(NEW, b"lost") == f"object {NEW}/lost"
    assert found.path(before.boot.number, b"there") == "/boot/there"


def log_pointer(number: int, checksum: int = 9) -> bytes:
    """A pointer to block `number` of a log on device 0, of a page; ZIO_CHECKSUM_ZILOG2 is 9 (zio.h).

    The words of its checksum are no sums: the last one counts the blocks.
    """
    prop = 7 | 7 << 16 | 2 << 32 | checksum << 40 | 9 << 48 | 1 << 63
    return words(8, number * 8, *[0] * 4, prop, 0, 0, 0, 9, 1, 1, 2, 3, number, order="little")


def log_block(number: int, records: bytes, following: bytes) -> bytes:
    """A block of pools from version 26 on: the chain first, under fletcher4 (zil.h)."""
    used = 184 + len(records)
    chain = bytes(8) + following + words(used, 0x0210DA7AB10C7A11, order="little")
    body = (chain + words(1, 2, 3, number, order="little") + records).ljust(4096, b"\0")
    sums = fletcher.fletcher4(body, "little")
    return body[:152] + words(*sums, order="little") + body[184:]


def log_record(sequence: int, *, txg: int = 20, length: int = 40, kind: int = log_layout.TX_WRITE) -> bytes:
    return words(kind, length, txg, sequence, sequence, order="little")


class Log(Vdev):
    """A device with the blocks of a log, from number 1 on, a page each."""

    name = "log"
    complete = True

    def __init__(self, *blocks: bytes) -> None:
        self.data = bytes(4096) + b"".join(blocks)

    def copies(self, offset: int, size: int, birth: int) -> Iterator[Copy]:  # noqa: ARG002
        yield Copy(self.data[offset : offset + size])


def logged(*blocks: bytes, checksum: int = 9, **fields: int) -> Any:
    """An object set with a log of these blocks; `fields` are those of zil_header (zil.h)."""
    reader = block.BlockReader("pool", print)
    reader.tops = {0: Log(*blocks)}
    header = words(fields.get("claim_txg", 0), fields.get("replay_seq", 0), order="little")
    header += log_pointer(1, checksum)
    header += words(fields.get("claim_blk_seq", 0), 0, fields.get("claim_lr_seq", 0), order="little")
    data = (bytes(512) + header).ljust(2048, b"\0")
    phys = schema.load("zfs_dmu").objset_phys.little.decode(data)
    return SimpleNamespace(name="pool", data=data, big=False, blocks=reader, phys=phys)


def sequences(objects: Any, last_txg: int = 10) -> list[int]:
    return [found.sequence for found in zil.pending(objects, last_txg)]


CHAIN = [
    log_block(1, log_record(1) + log_record(2), log_pointer(2)),
    log_block(2, log_record(3), log_pointer(3)),
    log_block(3, log_record(4) + log_record(5), log_pointer(4)),
    bytes(4096),  # allocated, and never written
]


def test_a_log_goes_on_to_the_first_block_that_was_not_written() -> None:
    assert sequences(logged(*CHAIN)) == [1, 2, 3, 4, 5]
    assert sequences(logged(*CHAIN), last_txg=20) == []  # they are in the pool
    assert sequences(logged(*CHAIN, replay_seq=3)) == [4, 5]


def test_a_log_that_was_claimed_ends_where_the_claim_does() -> None:
    assert sequences(logged(*CHAIN, claim_txg=15, claim_blk_seq=3, claim_lr_seq=5)) == [1, 2, 3, 4, 5]
    assert sequences(logged(*CHAIN, claim_txg=15, claim_blk_seq=2, claim_lr_seq=5)) == [1, 2, 3]
    assert sequences(logged(*CHAIN, claim_txg=15, claim_blk_seq=3, claim_lr_seq=2)) == [1, 2]
    assert sequences(logged(*CHAIN, claim_txg=21, claim_blk_seq=3, claim_lr_seq=5)) == []


def test_a_log_ends_at_a_block_of_another_chain() -> None:
    other = log_block(2, log_record(3), log_pointer(7))
    assert sequences(logged(CHAIN[0], other, *CHAIN[2:])) == [1, 2, 3]
    damaged = CHAIN[1][:200] + b"?" + CHAIN[1][201:]
    assert sequences(logged(CHAIN[0], damaged, *CHAIN[2:])) == [1, 2]


@pytest.mark.parametrize("length", [0, 31, 80, (1 << 64) - 1])
def test_a_record_of_a_length_that_cannot_be(length: int) -> None:
    bad = log_block(2, log_record(3, length=length), log_pointer(3))
    with pytest.raises(ImageError, match=f"a record of {length} bytes") as error:
        sequences(logged(CHAIN[0], bad))
    assert error.value.offset == 184


def test_a_log_of_an_old_pool_has_its_chain_at_the_end_of_each_block() -> None:
    """Under fletcher2, before version 26."""
    records = log_record(1) + log_record(2)
    body = records.ljust(4096 - 184, b"\0") + bytes(8) + log_pointer(2, 5)
    body += words(len(records), 0x0210DA7AB10C7A11, order="little")
    sums = fletcher.fletcher2(body + words(1, 2, 3, 1, order="little"), "little")
    assert sequences(logged(body + words(*sums, order="little"), bytes(4096), checksum=5)) == [1, 2]


# --- structures --------------------------------------------------------------------------------------------

LEVELS, BONUS_TYPE, MAX_BLOCK = 2, 4, 16  # offsets in dnode_phys (dnode.h)


def editing_dnode(bonus: bytes, pointers: int, at: int, new: bytes) -> Edit:
    """Change bytes of the dnode that has this bonus buffer, behind that many block pointers."""

    def edit(plain: bytes) -> bytes:
        place = plain.find(bonus)
        if place < 0:
            return plain
        start = place - 64 - 128 * pointers + at
        return plain[:start] + new + plain[start + len(new) :]

    return edit


def names(found: Zfs, *, every: bool = True) -> list[str]:
    structures = found.structures
    return [structure.name for structure in (structures.every() if every else structures.listed())]


def mos_numbers(shown: list[str]) -> list[int]:
    """The numbers of the objects of the Meta Object Set in a list of names."""
    return [int(name.split("[")[1].split("]")[0]) for name in shown if name.startswith("zfs.mos.object[")]


def test_datasets_below_what_is_damaged_are_faults(rewrite: Callable[[Edit], None]) -> None:
    bonus = directory(pool(*disks("datasets-v15")), b"ROOT").dnode.bonus
    rewrite(replacing(bonus, with_word(bonus, 4, 1 << 40)))  # dd_child_dir_zapobj
    found = pool(*disks("datasets-v15"))
    for every in (False, True):
        shown = names(found, every=every)
        assert "zfs.dataset[rpool/ROOT].fault" in shown
        assert "zfs.dataset[rpool/data].objset_phys" in shown
        assert "zfs.dataset[rpool/ROOT/be].objset_phys" not in shown


def test_no_root_dataset_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    found = pool(*disks("datasets-v15"))

    def broken(_: object) -> dsl.Directory:
        raise ImageError("there is no such object", structure="MOS: object 9999")

    monkeypatch.setattr(dsl, "root", broken)
    for every in (False, True):
        shown = names(found, every=every)
        assert [name for name in shown if name.startswith("zfs.dataset")] == ["zfs.dataset.fault"]
        assert "zfs.mos.objset_phys" in shown


def test_an_object_that_is_damaged_is_a_fault(rewrite: Callable[[Edit], None]) -> None:
    one = directory(pool(*disks("datasets-v15")), b"data")
    rewrite(editing_dnode(one.dnode.bonus, len(one.dnode.pointers), LEVELS, b"\xff"))
    for every in (False, True):
        shown = names(pool(*disks("datasets-v15")), every=every)
        assert f"zfs.mos.object[{one.object}].fault" in shown
        assert f"zfs.mos.object[{one.object + 1}]" in shown


def test_an_object_with_redacted_blocks_is_a_fault(rewrite: Callable[[Edit], None]) -> None:
    one = directory(pool(*disks("datasets-v15")), b"data")
    redacted = words(1 << 39 | 2 << 40, order="little")  # embedded, of type 2
    rewrite(editing_dnode(one.dnode.bonus, len(one.dnode.pointers), 64 + 48, redacted))
    for every in (False, True):
        shown = names(pool(*disks("datasets-v15")), every=every)
        assert f"zfs.mos.object[{one.object}].fault" in shown
        assert f"zfs.mos.object[{one.object + 1}]" in shown


def test_a_block_of_dnodes_that_cannot_be_read_hides_no_other() -> None:
    (disk,) = disks("datasets-v15")
    found = pool(disk)
    before = names(found, every=False)
    per_block = found.pool.mos.meta.block_size // 512
    pointer = found.pool.mos.meta.pointer(1)
    assert pointer is not None
    patched = Patched(disk, {FRONT + dva.offset: bytes(pointer.psize) for dva in pointer.dvas})
    again = pool(disk)
    again.pool.blocks.tops[0].source = patched  # type: ignore[attr-defined]
    again.pool.blocks.forget()
    shown = [structure.name for structure in again.structures.mos.listed(64)]
    assert f"zfs.mos.object[{per_block - 1}]" in shown
    assert max(mos_numbers(shown)) < per_block <= max(mos_numbers(before))


def test_no_more_objects_are_listed_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits.ZFS_OBJECTS_SHOWN, "value", 10)
    shown = names(pool(*disks("datasets-v15")), every=False)
    assert max(mos_numbers(shown)) < 10


def test_system_attributes_that_no_registry_orders(rewrite: Callable[[Edit], None]) -> None:
    """In the Meta Object Set there are none, and of a file system of an unknown version nothing is known."""
    one = directory(pool(*disks("checksums-v5000")), b"sha256")
    number = one.object
    name = f"zfs.mos.object[{number}].bonus"
    rewrite(editing_dnode(one.dnode.bonus, len(one.dnode.pointers), BONUS_TYPE, bytes([44])))  # DMU_OT_SA
    found = pool(*disks("checksums-v5000"))
    shown = [structure.name for structure in found.structures.below(f"zfs.mos.object[{number}]")]
    assert f"{name}.sa_header" in shown
    assert not [one for one in shown if "ZPL_" in one]
    tail = bytes(6) + b"VERSION\0"
    rewrite(replacing(words(5, order="little") + tail, words(99, order="little") + tail))
    found = pool(*disks("checksums-v5000"))
    below = f"zfs.dataset[tank/sha512].object[{modern_file(found)}]"
    shown = [structure.name for structure in found.structures.below(below)]
    assert f"{below}.bonus.sa_header" in shown
    assert not [one for one in shown if "ZPL_" in one]


def modern_file(found: Zfs) -> int:
    """The number of a root directory's object: the first one with system attributes."""
    objects = directory(found, b"sha512").head().open()
    return next(number for number in range(1, 100) if objects.object(number).bonus_type == 44)


def test_the_mapping_of_a_removed_device_is_shown() -> None:
    found = pool(*disks("datasets-v15"))
    number = directory(found, b"data").object  # the third word of its bonus buffer is an entry count then
    found.pool.trees[0]["com.delphix:indirect_object"] = number
    shown = [structure.name for structure in found.structures.below(f"zfs.mos.object[{number}]")]
    assert f"zfs.mos.object[{number}].mapping[0]" in shown
    number += 2
    shown = [structure.name for structure in found.structures.below(f"zfs.mos.object[{number}]")]
    assert not [name for name in shown if "mapping" in name]


def test_a_record_of_a_log_that_cannot_end_is_the_last_one_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    data = log_record(1) + log_record(2, length=31) + log_record(3)
    following = blkptr.decode(bytes(128), 0, big=False)
    found = zil.LogBlock(data.ljust(4096, b"\0"), 0, len(data), False, following)
    monkeypatch.setattr(zil, "log_blocks", lambda *_: iter([found]))
    shown = [structure.name for structure in pool(*disks("datasets-v15")).structures.mos.heads()]
    assert [name for name in shown if name.endswith("]") and ".record[" in name] == [
        "zfs.mos.zil.block[0].record[0]",
        "zfs.mos.zil.block[0].record[1]",
    ]


def test_a_pointer_table_in_a_block_of_its_own_and_a_hole_behind_it(
    rewrite: Callable[[Edit], None],
) -> None:
    found = pool(*disks("datasets-v15"))
    node = found.walk(b"/many")
    while isinstance(node, MountedDirectory):
        assert node.under is not None
        node = node.under
    assert isinstance(node, Znode)
    header = node.dnode.block(0)[0]
    changed = bytearray(header)
    struct.pack_into("<QQ", changed, 16, 1, 1)  # zt_blk, zt_numblks
    last = node.dnode.last_block
    more = editing_dnode(
        node.dnode.bonus, len(node.dnode.pointers), MAX_BLOCK, (last + 1).to_bytes(8, "little")
    )
    table = replacing(header, bytes(changed))
    rewrite(lambda plain: more(table(plain)))
    again = pool(*disks("datasets-v15"))
    name = f"zfs.dataset[rpool/ROOT/be].object[{node.number}]"
    shown = [structure.name for structure in again.structures.below(name)]
    assert f"{name}.zap.pointers[1]" in shown
    assert f"{name}.zap.pointers" not in shown
    assert f"{name}.zap.leaf[1].header" not in shown
    assert not [one for one in shown if f".zap.leaf[{last + 1}]" in one]


def test_an_indirect_block_that_leads_to_itself(rewrite: Callable[[Edit], None]) -> None:
    """Its pointers are of its own level, and so on for ever; without a checksum a guest can write that."""
    found = pool(*disks("datasets-v15"))
    node = found.walk(b"/boot/text")
    assert isinstance(node, Znode)
    block, offset = divmod(node.number << 9, node.filesystem.objects.meta.block_size)
    own = node.filesystem.objects.meta.block(block)[0][offset + 64 : offset + 192]
    (first,) = node.dnode.pointers[:1]
    assert blkptr.decode(own, big=False) == first
    assert first.level == 1
    indirect = found.pool.blocks.read(first)
    rewrite(replacing(indirect, own * (len(indirect) // 128)))
    again = pool(*disks("datasets-v15"))
    name = f"zfs.dataset[rpool/ROOT/be].object[{node.number}]"
    shown = again.structures.below(name)
    assert next(shown).name == name
    with pytest.raises(ImageError, match="a block pointer is of level 1 where 0 must be"):
        _ = [structure.name for structure in islice(shown, 20)]


# --- more of what cannot be read ---------------------------------------------------------------------------


def test_a_hole_is_zeros() -> None:
    prop = 7 | 7 << 16 | 1 << 63
    hole = blkptr.decode(words(*[0] * 6, prop, *[0] * 9, order="little"), big=False)
    assert block.BlockReader("pool", print).read(hole) == bytes(4096)


def test_a_gang_block_whose_header_is_damaged() -> None:
    top = Scattered(3, 2, 1)
    top.header = top.header[:-1] + bytes([top.header[-1] ^ 1])
    blocks = block.BlockReader("pool", print)
    blocks.tops = {0: top}
    with pytest.raises(ImageError, match=r"no copy of a block is right \(scattered at 0x0\)"):
        blocks.read(pointer(lsize=6, psize=6, gang=1))


@pytest.mark.parametrize(
    ("at", "new", "words"),
    [
        (10, b"\xff\xff", "its bonus buffer is longer than its dnode"),  # dn_bonuslen
        (4, b"\0", "it is no file, its bonus buffer is of type 0"),  # dn_bonustype
        (1, b"\x0c", "an indirect block has 16384 bytes instead of 4096"),  # dn_indblkshift
    ],
)
def test_a_dnode_that_says_something_else(
    at: int, new: bytes, words: str, rewrite: Callable[[Edit], None]
) -> None:
    node = pool(*disks("datasets-v15")).walk(b"/boot/text")
    assert isinstance(node, Znode)
    rewrite(editing_dnode(node.dnode.bonus, len(node.dnode.pointers), at, new))
    found = pool(*disks("datasets-v15"))
    with pytest.raises(ImageError, match=words):
        found.walk(b"/boot/text").read()
    assert found.walk(b"/boot/grub/grub.cfg").read() == b"changed\n"


def test_a_dataset_without_an_object_set(rewrite: Callable[[Edit], None]) -> None:
    one = directory(pool(*disks("datasets-v15")), b"data").head()
    bonus = one.dnode.bonus
    rewrite(replacing(bonus, bonus[:128] + bytes(128) + bonus[256:]))  # ds_bp
    found = pool(*disks("datasets-v15"))
    with pytest.raises(ImageError, match="there is no object set"):
        found.subvolume("rpool/data")
    assert not directory(found, b"data").head().volume
    assert not [name for name in names(found, every=False) if name.startswith("zfs.dataset[rpool/data]")]


def test_an_object_set_whose_first_dnode_is_no_list_of_dnodes(rewrite: Callable[[Edit], None]) -> None:
    data = directory(pool(*disks("datasets-v15")), b"data").head().open().data
    rewrite(replacing(data, b"\x13" + data[1:]))  # DMU_OT_PLAIN_FILE_CONTENTS
    with pytest.raises(ImageError, match="it is of type 19 with blocks of"):
        pool(*disks("datasets-v15")).subvolume("rpool/data")


def test_the_pools_own_configuration_cannot_be_read(rewrite: Callable[[Edit], None]) -> None:
    found = pool(*disks("datasets-v15")).pool
    number = found.directory().number(b"config")
    data = found.mos.object(number).block(0)[0]
    rewrite(replacing(data, b"\xff" * len(data)))
    again = pool(*disks("datasets-v15"))
    assert "its own configuration cannot be read, only the labels are used" in again.warnings[0]
    assert again.walk(b"/boot/grub/grub.cfg").read() == b"changed\n"


def test_datasets_whose_properties_or_children_cannot_be_read(rewrite: Callable[[Edit], None]) -> None:
    bonus = directory(pool(*disks("datasets-v15")), b"data").dnode.bonus
    rewrite(replacing(bonus, with_word(with_word(bonus, 4, 1 << 40), 10, 1 << 40)))
    found = pool(*disks("datasets-v15"))
    assert found.walk(b"/boot/grub/grub.cfg").read() == b"changed\n"
    said = "\n".join(found.warnings)
    assert "rpool/data: the dataset is not shown: there is no such object" in said
    assert "rpool/data: the datasets below cannot be listed: there is no such object" in said


def test_what_a_kernel_is_told_of_its_dataset(monkeypatch: pytest.MonkeyPatch) -> None:
    found = pool(*disks("datasets-v15"))
    number = directory(found, b"ROOT", b"be").head().object
    assert (found.bootpath, found.boot_properties) == ("", f"zfs-bootfs=rpool/{number}")
    monkeypatch.setattr(type(found.pool), "phys_path", "/pci@0,0/disk@0:a")
    assert found.boot_properties == f'zfs-bootfs=rpool/{number},bootpath="/pci@0,0/disk@0:a"'
    assert pool(*disks("raidz2-v23")).boot_properties == ""


def test_names_for_a_message_are_not_looked_for_without_end(
    before: Before, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: ReplayedFileSystem = before.after().filesystem
    kernel = before.kernel.number
    assert found._name(kernel, NEW) == b"object %d" % NEW  # a file has no names in it
    monkeypatch.setattr(limits.ZFS_LOG_NAMES, "value", 0)
    found = before.after().filesystem
    assert found._name(before.boot.number, kernel) == b"object %d" % kernel


def test_a_log_that_cannot_be_read_leaves_the_dataset_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    data = log_record(1) + log_record(2, length=31)
    following = blkptr.decode(bytes(128), 0, big=False)
    damaged = zil.LogBlock(data.ljust(4096, b"\0"), 0, len(data), big=False, next=following)
    monkeypatch.setattr(zil, "log_blocks", lambda *_: iter([damaged]))
    found = pool(*disks("intent-log-v23"))
    assert found.walk(b"/boot/grub/grub.cfg").read().startswith(b"set timeout")
    assert "the intent log cannot be read: a record of 31 bytes" in str(found.warnings)


def test_a_log_on_a_device_that_is_missing(rewrite: Callable[[Edit], None]) -> None:
    found = pool(*disks("intent-log-v23"), replay=False)
    root = found.root
    while isinstance(root, MountedDirectory):
        assert root.under is not None
        root = root.under
    assert isinstance(root, Znode)
    data = root.filesystem.objects.data
    place = 512 + 16  # os_zil_header, zh_log
    device = struct.unpack_from("<Q", data, place)[0] | 7 << 32
    changed = data[:place] + words(device, order="little") + bytes(0) + data[place + 8 :]
    for copy in (1, 2):  # further copies are taken away
        at = place + 16 * copy
        changed = changed[:at] + bytes(16) + changed[at + 16 :]
    rewrite(replacing(data, changed))
    again = pool(*disks("intent-log-v23"))
    assert again.walk(b"/boot/grub/grub.cfg").read().startswith(b"set timeout")
    assert "the intent log may hold changes, but its device is missing" in str(again.warnings)


@pytest.mark.parametrize(
    ("at", "value", "words"),
    [
        (0, 77, "it is no ZAP, its first block is of type 0x4d"),
        (8, 1, "the header of its fat ZAP makes no sense"),  # zap_magic
        (32, 60, "the pointer table of its fat ZAP makes no sense"),  # zt_shift
    ],
)
def test_a_fat_zap_with_a_wrong_header(
    at: int, value: int, words: str, rewrite: Callable[[Edit], None]
) -> None:
    header = pool(*disks("datasets-v15")).walk(b"/many").dnode.block(0)[0]  # type: ignore[attr-defined]
    rewrite(replacing(header, with_word(header, at // 8, value)))
    with pytest.raises(ImageError, match=words):
        list(pool(*disks("datasets-v15")).walk(b"/many").entries())


def no_leaf(data: bytearray, _: int) -> None:
    data[24:28] = b"FAIL"


def too_long_a_prefix(data: bytearray, _: int) -> None:
    struct.pack_into("<H", data, 32, 64)  # lh_prefix_len


def chains_that_lead_to_no_entry(data: bytearray, start: int) -> None:
    free = next(n for n, at in enumerate(range(start, len(data) - 23, 24)) if data[at] != 252)
    data[48:start] = free.to_bytes(2, "little") * ((start - 48) // 2)


def chains_that_lead_out(data: bytearray, start: int) -> None:
    data[48:start] = b"\xfe\xff" * ((start - 48) // 2)


def names_that_are_no_array(data: bytearray, start: int) -> None:
    for at in chunks(data, start, 252):
        struct.pack_into("<H", data, at + 4, (at - start) // 24)  # le_name_chunk: the entry itself


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (no_leaf, "block 1 of its fat ZAP is no leaf"),
        (too_long_a_prefix, "prefix"),
        (chains_that_lead_to_no_entry, "hash chain"),
        (chains_that_lead_out, "chunk"),
        (names_that_are_no_array, "array"),
    ],
)
def test_a_leaf_whose_parts_do_not_fit(
    change: Callable[[bytearray, int], None], words: str, rewrite: Callable[[Edit], None]
) -> None:
    found = pool(*disks("datasets-v15"))
    many = found.walk(b"/many")
    first = next(name for name, _ in many.entries())
    found.pool.blocks.forget()
    rewrite(leaves(change))
    with pytest.raises(ImageError, match=words):
        _ = [many.lookup(name) for name in (first, b"none")]


def test_a_name_that_another_ends_with(before: Before) -> None:
    """The bytes of `text` stand in the midst of other entries, too."""
    names = [name for name, _ in before.boot.entries()]
    longer = next(name for name in names if len(name) > 4)
    assert before.boot.lookup(longer[1:]) is None
    assert before.boot.lookup(longer) is not None


@pytest.mark.parametrize(
    ("lacking", "words"),
    [(b"ZPL_SIZE", "its system attributes lack mode or size"), (None, "is not registered")],
)
def test_system_attributes_that_are_missing(lacking: bytes | None, words: str) -> None:
    node = pool(*disks("checksums-v5000")).subvolume("tank/sha256")
    assert isinstance(node, Znode)
    registry = node.filesystem.registry
    assert registry is not None
    number = next(number for number, name in registry.names.items() if name == (lacking or b"ZPL_SIZE"))
    if lacking:
        registry.names[number] = b"ZPL_OTHER"
    else:
        del registry.lengths[number]
    with pytest.raises(ImageError, match=words):
        _ = node.attributes


def test_a_mode_of_no_type(before: Before) -> None:
    node = Znode(before.root.filesystem, before.boot.number)
    node.__dict__["attributes"] = before.boot.attributes._replace(mode=0o644)
    with pytest.raises(ImageError, match="it has a mode of no file type: 0o644"):
        _ = node.kind


def test_attributes_in_a_block_of_their_own(rewrite: Callable[[Edit], None]) -> None:
    """A spill block, which the last pointer of a dnode leads to; here the pointer holds it itself."""
    node = pool(*disks("checksums-v5000")).subvolume("tank/sha256")
    assert isinstance(node, Znode)
    data = struct.pack("<IHH", 0x2F505A, 999 | 1 << 10, 0).ljust(112, b"\0")
    spread = struct.unpack("<14Q", data)
    prop = 111 | 111 << 25 | 2 << 32 | 1 << 39 | 44 << 48 | 1 << 63
    spill = words(*spread[:6], prop, *spread[6:9], 9, *spread[9:], order="little")
    assert blkptr.decode(spill, big=False).embedded == data
    count, bonus = len(node.dnode.pointers), node.dnode.bonus
    flags = editing_dnode(bonus, count, 7, b"\x04")  # DNODE_FLAG_SPILL_BLKPTR
    last = editing_dnode(bonus, count, 512 * node.dnode.slots - 128, spill)
    assert 64 + 128 * count + len(bonus) <= 512 * node.dnode.slots - 128
    rewrite(lambda plain: flags(last(plain)))
    found = pool(*disks("checksums-v5000"))
    name = f"zfs.dataset[tank/sha256].object[{node.number}]"
    shown: list[str] = []

    def look() -> None:
        shown.extend(structure.name for structure in found.structures.below(name))

    with pytest.raises(ImageError, match="a layout that is not registered"):
        look()
    assert f"{name}.spill.sa_header" in shown


def test_an_uberblock_with_a_wrong_checksum_is_none() -> None:
    (disk,) = disks("datasets-v15")
    device = label.read_device(disk)
    assert device is not None
    blocks = label.uberblocks(device, 9)
    newest = [found for found in blocks if found.txg == blocks[0].txg]
    found = pool(Patched(disk, {one.offset + 500: b"?" for one in newest}))  # between the fields and the sum
    assert found.active_uberblock.txg == max(one.txg for one in blocks if one not in newest)
    assert found.warnings == []


def test_a_directory_that_only_mounting_makes_has_no_structures() -> None:
    node = MountedDirectory(MountPoint(b"/var"), None)
    assert list(pool(*disks("datasets-v15")).structures.of_node(node)) == []


def test_names_that_are_compared_in_a_normal_form(rewrite: Callable[[Edit], None]) -> None:
    """What the hash does not lead to may stand elsewhere, by another Unicode's tables: all is looked at."""
    many = pool(*disks("datasets-v15")).walk(b"/many")
    first = next(name for name, _ in many.entries())
    header = many.dnode.block(0)[0]  # type: ignore[attr-defined]
    rewrite(
        replacing(header, with_word(header, 11, 0x100))
    )  # zap_normflags: U8_TEXTPREP_NFD of u8_textprep.h
    many = pool(*disks("datasets-v15")).walk(b"/many")
    assert many.lookup(first) is not None
    assert many.lookup(b"none") is None
