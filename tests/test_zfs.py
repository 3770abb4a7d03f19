"""ZFS pools against what the systems that wrote them saw: OpenZFS 2.4 and zfs-fuse 0.7."""

from __future__ import annotations

import itertools
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from zfs_image import Patched, Seen, disks, listing, lying, pool, seen, tree

from pybootcfg.errors import GuestFileMissing, ImageError, UnsupportedFeature
from pybootcfg.filesystems import open_filesystem
from pybootcfg.filesystems.base import Options
from pybootcfg.filesystems.zfs import Zfs, blkptr, zil
from pybootcfg.filesystems.zfs.dsl import Dataset
from pybootcfg.filesystems.zfs.replay import ReplayedFileSystem
from pybootcfg.filesystems.zfs.znode import Znode
from pybootcfg.source import FileSource, Source, Window

if TYPE_CHECKING:
    from conftest import Corpus

POOLS = ("checksums-v5000", "datasets-v15", "intent-log-v23", "raidz2-v23")


@pytest.mark.parametrize("name", POOLS)
def test_carried_pools(name: str) -> None:
    """Every checksum function, datasets, an intent log and a raidz2, byte for byte."""
    assert tree(pool(*disks(name)).root) == listing(name)


@pytest.mark.parametrize(
    "missing", [*itertools.combinations(range(4), 1), *itertools.combinations(range(4), 2)]
)
def test_raidz2_without_members(missing: tuple[int, ...]) -> None:
    left = [disk for number, disk in enumerate(disks("raidz2-v23")) if number not in missing]
    found = pool(*left)
    assert tree(found.root) == listing("raidz2-v23")
    assert sum("is missing" in warning for warning in found.warnings) == len(missing)


def test_raidz2_with_lying_members() -> None:
    """Labels are right, all data is noise: the columns are found by trial, and named."""
    members = [lying(disk) if number in (1, 2) else disk for number, disk in enumerate(disks("raidz2-v23"))]
    found = pool(*members)
    assert tree(found.root) == listing("raidz2-v23")
    assert sum("damaged, stale or missing" in warning for warning in found.warnings) == 2


def test_raidz2_with_one_missing_and_one_lying() -> None:
    first, second, third, _ = disks("raidz2-v23")
    assert tree(pool(third, lying(first), second).root) == listing("raidz2-v23")


def test_raidz2_beyond_redundancy() -> None:
    first, second, *_ = disks("raidz2-v23")
    with pytest.raises(ImageError, match="devices of the pool are missing"):
        pool(second)
    with pytest.raises(ImageError, match="no copy of a block is right"):
        pool(first, lying(second), lying(disks("raidz2-v23")[2]))


def test_any_member_may_come_first() -> None:
    members = disks("raidz2-v23")
    for turn in range(4):
        found = pool(*members[turn:], *members[:turn])
        assert found.label == "stripes"
        assert {source.name for source in found.members} == {disk.name for disk in members}


def test_disks_of_other_pools_are_left_alone() -> None:
    found = pool(*disks("datasets-v15"), *disks("raidz2-v23"), *disks("checksums-v5000"))
    assert found.members == disks("datasets-v15")
    assert found.label == "rpool"


# --- datasets ------------------------------------------------------------------------------------


@pytest.fixture
def rpool() -> Zfs:
    return pool(*disks("datasets-v15"))


def test_a_pool_that_names_no_dataset_has_no_bootfs() -> None:
    found = pool(*disks("checksums-v5000"))
    assert (found.bootfs, found.bootfs_object) == ("", 0)


def test_bootfs_is_the_root(rpool: Zfs) -> None:
    assert rpool.bootfs == "rpool/ROOT/be"
    assert rpool.bootfs_object > 0
    assert rpool.walk(b"/boot/grub/grub.cfg").read() == b"changed\n"
    assert rpool.subvolume(f"rpool/{rpool.bootfs_object}").key == rpool.subvolume("rpool/ROOT/be").key


def test_datasets_are_mounted_where_their_properties_say(rpool: Zfs) -> None:
    assert rpool.walk(b"/off/in/file").read() == b"in"  # canmount=off above, inherited mountpoint
    assert rpool.walk(b"/var/lib/data/boot/text").size == 216890  # not below the bootfs, directories made
    assert rpool.walk(b"/var/lib/data/../../../boot/grub").kind == "dir"
    with pytest.raises(GuestFileMissing):
        rpool.walk(b"/boot/text", root=rpool.subvolume("rpool/ROOT/be/off"))


def test_volumes_are_mounted_nowhere(rpool: Zfs, monkeypatch: pytest.MonkeyPatch) -> None:
    """A volume inherits a mount point and has no use for it."""
    monkeypatch.setattr(Dataset, "volume", property(lambda self: self.name == b"rpool/data"))
    assert rpool.walk(b"/off/in/file").size == 2
    with pytest.raises(GuestFileMissing):
        rpool.walk(b"/var/lib/data/boot")


def test_snapshots_and_clones(rpool: Zfs) -> None:
    now = tree(rpool.subvolume("rpool/ROOT/be"))
    before = tree(rpool.subvolume("rpool/ROOT/be@before"))
    assert before == tree(rpool.subvolume("rpool/ROOT/clone"))
    assert b"/hard" in before
    assert b"/hard" not in now
    text = rpool.walk(b"/boot/grub/grub.cfg", root=rpool.subvolume("rpool/ROOT/be@before")).read()
    assert text.startswith(b"set timeout=5")


def test_grub_spelling(rpool: Zfs) -> None:
    root, path = rpool.grub_path(b"/ROOT/be@/boot/grub/grub.cfg")
    assert rpool.walk(path, root=root).read() == b"changed\n"
    root, path = rpool.grub_path(b"/ROOT/be@before/boot/grub/grub.cfg")
    assert path == b"/boot/grub/grub.cfg"
    assert rpool.walk(path, root=root).read() != b"changed\n"
    root, path = rpool.grub_path(b"/@/boot")
    assert rpool.walk(path, root=root).kind == "dir"
    assert rpool.grub_path(b"/boot")[1] == b"/boot"


@pytest.mark.parametrize(
    "name", ["rpool/nope", "other", "rpool/ROOT/be@nope", "", "rpool/999999", "rpool/$MOS"]
)
def test_missing_datasets(rpool: Zfs, name: str) -> None:
    with pytest.raises((GuestFileMissing, ImageError)):
        rpool.subvolume(name)


def test_case_insensitive_and_normalising(rpool: Zfs) -> None:
    folded = rpool.subvolume("rpool/ROOT/be/ci")
    name = "Entry-with-a-long-name-0321-Ä"
    for spelling in (name, name.upper(), name.lower(), "Entry-with-a-long-name-0321-A\u0308"):
        node = rpool.walk(b"/mANY/" + spelling.encode(), root=folded)
        assert node.key == rpool.walk(b"/Many/" + name.encode(), root=folded).key
    with pytest.raises(GuestFileMissing):
        rpool.walk("/Many/Entry-with-a-long-name-9321-Ä".encode(), root=folded)
    with pytest.raises(GuestFileMissing):
        rpool.walk(b"/BOOT")


def test_names_are_found_by_hash(rpool: Zfs, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look-up in a fat ZAP reads no more than the leaf that the hash leads to."""
    from pybootcfg.filesystems.zfs import zap

    directory = rpool.walk(b"/many")
    names = [name for name, _ in directory.entries()]
    assert len(names) == 121
    read = []
    original = zap.Leaf.__init__

    def counted(self: zap.Leaf, owner: zap.Zap, number: int) -> None:
        read.append(number)
        original(self, owner, number)

    monkeypatch.setattr(zap.Leaf, "__init__", counted)
    for name in names:
        assert directory.lookup(name) is not None
    assert directory.lookup(b"nope") is None
    assert len(read) == 122  # one leaf for each


def test_what_a_volume_shows(rpool: Zfs) -> None:
    assert (rpool.name, rpool.label) == ("zfs", "rpool")
    assert rpool.uuid.isdigit()
    assert int(rpool.grub_uuid, 16) == int(rpool.uuid)
    assert rpool.features == ()
    assert "lz4_compress" in pool(*disks("checksums-v5000")).features


def test_structures(rpool: Zfs) -> None:
    found = {structure.name: structure for structure in rpool.structures.listed()}
    slot = rpool.active_uberblock.slot
    uberblock = found[f"zfs.uberblock[{slot}]"]
    assert uberblock.offset == rpool.active_uberblock.offset
    fields = {
        field.name: field.value for field in uberblock.decoder.trace(rpool.source, uberblock.offset).children
    }
    assert fields["ub_magic"] == 0x00BAB10C
    assert fields["ub_txg"] == rpool.active_uberblock.txg
    guid = found["zfs.label[0].nvlist.pool_guid"]
    pair = {field.name: field.value for field in guid.decoder.trace(rpool.source, guid.offset).children}
    assert str(pair["value"]) == rpool.uuid
    assert "zfs.label[3].nvlist.vdev_tree.guid" in found
    for structure in found.values():
        if not structure.name.endswith("]"):
            assert not structure.decoder.trace(rpool.source, structure.offset).damaged()


def test_structures_of_a_file(rpool: Zfs) -> None:
    """The dnode, and the pointers of its indirect blocks."""
    node = rpool.walk(b"/boot/text")
    assert isinstance(node, Znode)
    found = list(rpool.structures.of_node(node))
    name = f"zfs.dataset[rpool/ROOT/be].object[{node.number}]"
    assert found[0].name == name
    core = found[0].decoder.trace(rpool.source, found[0].offset).children[0]
    assert {field.name: field.value for field in core.children}["dn_nlevels"] == 2
    (pointers,) = [one for one in found if one.name == f"{name}.blkptr[0].blkptrs"]
    levels = [
        {field.name: field.value for field in pointer.children}["level_and_flags"] & 0x1F
        for pointer in pointers.decoder.trace(rpool.source, pointers.offset).children
    ]
    assert set(levels) == {0}
    assert rpool.structures.find("zfs.mos.object[1]") is not None
    assert rpool.structures.find("zfs.dataset[rpool/ROOT/be]") is not None
    assert rpool.structures.find("zfs.dataset[rpool/ROOT/be@before].objset_phys") is not None
    assert next(rpool.structures.of_node(rpool.root)).name.startswith("zfs.dataset[rpool/ROOT/be].object[")


# --- the intent log ------------------------------------------------------------------------------


def test_intent_log_is_replayed_and_named() -> None:
    """The listing is that of zfs-fuse after it had imported the crashed pool."""
    found = pool(*disks("intent-log-v23"))
    assert found.walk(b"/boot/grub/grub.cfg").read() == b"new config\n"
    (warning,) = found.warnings
    assert "28 records of the intent log are replayed in memory" in warning
    assert "/boot/new-kernel" in warning


def test_intent_log_may_be_left_out() -> None:
    found = pool(*disks("intent-log-v23"), replay=False)
    assert found.walk(b"/boot/grub/grub.cfg").read().startswith(b"set timeout")
    with pytest.raises(GuestFileMissing):
        found.walk(b"/boot/new-kernel")
    assert found.warnings == ["crashed: 28 records of the intent log are not replayed"]


# --- recognition ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kept", range(4))
def test_any_label_suffices(kept: int) -> None:
    (disk,) = disks("datasets-v15")
    places = (0, 262144, disk.size - 524288, disk.size - 262144)
    damage = {place + 16384: bytes(114688) for number, place in enumerate(places) if number != kept}
    found = open_filesystem(Patched(disk, damage), Options())
    assert isinstance(found, Zfs)
    assert found.walk(b"/boot/grub/grub.cfg").read() == b"changed\n"
    assert any("label" in warning and "damaged" in warning for warning in found.warnings)


def test_size_that_is_no_multiple_of_a_label() -> None:
    """The labels at the end lie before what is left over."""
    (disk,) = disks("datasets-v15")

    class Longer(Patched):
        def _read(self, offset: int, length: int) -> bytes:
            inside = max(0, min(length, self.base.size - offset))
            return self.base.read(offset, inside) + bytes(length - inside)

    longer = Longer(disk, {})
    longer.size = disk.size + 4096
    found = open_filesystem(longer, Options())
    assert isinstance(found, Zfs)
    assert not found.warnings


# --- the open set --------------------------------------------------------------------------------


def corpus_pool(corpus: Corpus, name: str) -> tuple[list[Source], dict[str, Any]]:
    manifest = corpus.manifest(name)
    sources: list[Source] = [FileSource.open(path) for path in corpus.disks(name)]
    if "PTTYPE" in manifest.get("blkid", {}):
        sources = [Window(sources[0], 1 << 20, _partition_size(name, sources[0]), "p1")]
    return sources, manifest


def _partition_size(name: str, disk: Source) -> int:
    """The GPT of libzfs leaves 8 MiB and its own backup at the end; the MBR partition goes to the end."""
    if "gpt" not in name:
        return disk.size - (1 << 20)
    entry = disk.read(1024, 128)
    return (int.from_bytes(entry[40:48], "little") + 1 << 9) - (1 << 20)


def wanted(files: dict[str, Any]) -> dict[bytes, Seen]:
    found = {}
    for path, facts in files.items():
        raw = bytes.fromhex(facts["path_hex"]) if "path_hex" in facts else os.fsencode(path)
        if facts["type"] == "file":
            found[raw] = Seen("file", facts["size"], facts["sha256"][:16])
        elif facts["type"] == "symlink":
            found[raw] = Seen("symlink", 0, os.fsencode(facts["target"]))
        else:
            found[raw] = Seen(facts["type"])
    return found


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "pool_name" in metafunc.fixturenames:
        folder = os.environ.get("PYBOOTCFG_CORPUS")
        names = sorted(path.stem for path in Path(folder, "manifests").glob("zfs*.json")) if folder else []
        metafunc.parametrize("pool_name", names)


@pytest.mark.no_cover
def test_corpus_pools(corpus: Corpus, pool_name: str) -> None:
    sources, manifest = corpus_pool(corpus, pool_name)
    found = pool(*sources)
    got = tree(found.root)
    if pool_name == "zfs-encrypted":  # made after the manifest; its directory is in the dataset above
        assert got.pop(b"/secret") == Seen("dir")
        assert "encrypted" in found.warnings[0]
    assert got == wanted(manifest["files"])
    if "label" in manifest:
        assert (found.label, found.uuid) == (manifest["label"], manifest["uuid"])
        assert found.bootfs == manifest["pool"]["bootfs"].replace("-", "")


def test_corpus_pools_without_one_member(corpus: Corpus, pool_name: str) -> None:
    sources, manifest = corpus_pool(corpus, pool_name)
    for number in range(len(sources) if len(sources) > 1 else 0):
        assert tree(pool(*sources[number + 1 :], *sources[:number]).root) == wanted(manifest["files"])


def test_corpus_snapshot(corpus: Corpus) -> None:
    sources, manifest = corpus_pool(corpus, "zfs-mirror-bootfs")
    found = pool(*sources)
    (files,) = manifest["snapshot_files"].values()
    assert tree(found.subvolume("rpool/ROOT/default@before")) == wanted(files)
    assert tree(found.subvolume("rpool/ROOT/clone")) == wanted(files)


def test_corpus_encrypted_dataset_is_refused_by_name(corpus: Corpus) -> None:
    sources, _ = corpus_pool(corpus, "zfs-encrypted")
    found = pool(*sources)
    with pytest.raises(UnsupportedFeature, match="rpool/secret is encrypted"):
        found.subvolume("rpool/secret")
    with pytest.raises(UnsupportedFeature, match="rpool/secret is encrypted"):
        found.walk(b"/secret/boot/vmlinuz")
    assert re.match("vmlinuz", found.walk(b"/boot/vmlinuz", follow=False).target().decode())
    assert seen(found.walk(b"/boot/vmlinuz")).kind == "file"


def test_corpus_log_blocks_of_openzfs(corpus: Corpus) -> None:
    """The live pool still has the log blocks of its last writes: they check, and replay to what is there."""
    sources, _ = corpus_pool(corpus, "zfs-single")
    disk = corpus.disks("zfs-single")[0].read_bytes()
    found = pool(*sources)
    root = found.root
    assert isinstance(root, Znode)
    records = []
    at = 4 << 20
    while (at := disk.find((0x0210DA7AB10C7A11).to_bytes(8, "little"), at + 8)) >= 0:
        start = at - 144  # of a zil_chain
        following = blkptr.decode(disk, start + 8, big=False)
        if start % 512 or following.type != 9:  # DMU_OT_INTENT_LOG
            continue
        cksum = (*following.cksum[:3], following.cksum[3] - 1)
        pointer = following._replace(cksum=cksum, checksum=9)
        blocks = (
            zil._at_start(disk[start : start + size], pointer, big=False) for size in (4096, 8192, 16384)
        )
        block = next(block for block in blocks if block is not None)
        records += [record for _, _, record in zil._records(block)]
    assert len(records) == 29
    records.sort(key=lambda record: record.sequence)
    warnings: list[str] = []
    replayed = ReplayedFileSystem(root.filesystem.objects, 1, records, warnings.append)
    assert "29 records" in warnings[0]
    assert len(replayed.changes) == 2  # a third file was removed since
    for number in replayed.changes:
        assert seen(replayed.node(number)) == seen(root.filesystem.node(number))
