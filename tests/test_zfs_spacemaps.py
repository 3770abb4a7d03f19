"""Space maps as inspect shows them: what OpenZFS' zdb says of them, sums, and maps that lie."""

from __future__ import annotations

import lzma
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import inspected
import pytest
import zfs_rare
from inspect_tools import Disk, Run, numbers, structures
from zfs_image import CARRIED, disks, pool

from pybootcfg import limits
from pybootcfg.errors import BootcfgError, ImageError, LimitExceeded
from pybootcfg.filesystems.zfs import Zfs, spacemap
from pybootcfg.filesystems.zfs.inspection import ZfsStructures
from pybootcfg.filesystems.zfs.pieces import Piece
from pybootcfg.filesystems.zfs.spacemap import Space
from pybootcfg.guest import Guest
from pybootcfg.source import MemorySource
from pybootcfg.structures import Fault, Structure
from pybootcfg.tracing import Field

RECORDED = ["checksums-v5000", "datasets-v15"]


class Entry(NamedTuple):
    """A segment in bytes, or a remark: then `first` and `second` are transaction group and pass."""

    kind: str
    first: int
    second: int
    words: int = 0


class Map(NamedTuple):
    """One space map."""

    length: int
    alloc: int
    entries: list[Entry]


def fields(structure: Structure) -> dict[str, Field]:
    traced = structure.decoder.trace(MemorySource(b"", "none"), structure.offset)
    assert not traced.damaged(), structure.name
    return {child.name: child for child in traced.children}


def shown(found: Iterator[Structure], shift: int, start: int = 0) -> Map:
    """Return a map as inspect shows it, its head first; `start` is where the metaslab begins."""
    head: dict[str, Any] = {}
    entries = []
    for structure in found:
        parts = fields(structure)
        if "smp_alloc" in parts:
            head = parts
        elif "run" in parts:
            first = start + (parts["offset"].value << shift)
            end = first + (parts["run"].value << shift)
            words = 2 if "vdev" in parts else 1
            entries.append(Entry(str(parts["type"].symbol)[0], first, end, words))
        elif "action" in parts:
            remark = parts["txg"].value, parts["sync_pass"].value
            entries.append(Entry(str(parts["action"].symbol), *remark))
    return Map(head["smp_length"].value, head["smp_alloc"].value, entries)


def metaslab_maps(filesystem: Zfs) -> dict[int, Map]:
    """Return the maps of all metaslabs by their objects."""
    found = {}
    maps = ZfsStructures(filesystem.pool).maps
    for number, vdev in maps.vdevs.items():
        for index, map_object in vdev.objects():
            structures = maps.below(f"zfs.vdev[{number}].metaslab[{index}]")
            found[map_object] = shown(structures, vdev.ashift, index << vdev.shift)
    return found


def log_maps(filesystem: Zfs) -> dict[int, Map]:
    maps = ZfsStructures(filesystem.pool).maps
    return {number: shown(maps.below(f"zfs.log_space_map[{txg}]"), 9) for txg, number in maps.logs.items()}


def told(text: str) -> dict[int, Map]:
    """Return the maps in what `zdb -mmmmmm` prints, by their objects."""
    found = {}
    for number, length, alloc, rows in re.findall(
        r"^space map object (\d+):\n  smp_length = (\S+)\n  smp_alloc = (\S+)\n((?:\s+\[ *\d+\].*\n)*)",
        text,
        re.MULTILINE,
    ):
        entries = []
        for row in rows.splitlines():
            remark = re.search(r"\] (ALLOC|FREE): txg (\d+) pass (\d+)", row)
            if remark:
                entries.append(Entry(remark[1], int(remark[2]), int(remark[3])))
                continue
            kind, first, end, words = re.search(  # type: ignore[union-attr]
                r"\] +([AF])  range: (\w+)-(\w+)  size: \w+ vdev: \d+ words: (\d)", row
            ).groups()
            entries.append(Entry(kind, int(first, 16), int(end, 16), int(words)))
        signed = int(alloc, 16) - (1 << 64 if int(alloc, 16) >> 63 else 0)
        found[int(number)] = Map(int(length, 16), signed, entries)
    return found


def allocated(found: Map) -> int:
    sizes = (one.second - one.first for one in found.entries if one.kind == "A")
    freed = (one.second - one.first for one in found.entries if one.kind == "F")
    return sum(sizes) - sum(freed)


def agrees(filesystem: Zfs, text: str) -> None:
    """Compare all maps of a pool with what zdb says of them, and their sum with that of its blocks."""
    own, logs, expected = metaslab_maps(filesystem), log_maps(filesystem), told(text)
    assert {**own, **logs} == expected
    assert own
    total = int(re.search(r"Normal class: +(\d+)", text)[1])  # type: ignore[index]
    assert sum(found.alloc for found in own.values()) == total


@pytest.mark.parametrize("name", RECORDED)
def test_every_entry_is_as_zdb_has_it(name: str) -> None:
    """`-e -p FOLDER -mmmmmm`, -hi and `-b -P` of OpenZFS 2.3.2; the last counts the blocks of datasets."""
    text = lzma.decompress((CARRIED / f"{name}.openzfs-zdb.xz").read_bytes()).decode()
    agrees(pool(*disks(name)), text)


def openzfs(folder: Path, name: str, *options: str) -> str:
    """Return what the zdb of OpenZFS prints; skip where there is none, or none that knows the pool."""
    program = shutil.which("zdb")
    command = [program or "", "-e", "-p", str(folder), *options, name]
    done = program and subprocess.run(command, capture_output=True, check=False, timeout=120)
    if not done or not done.stdout or b"can't open" in done.stderr:  # nor zfs-fuse's, which wants its daemon
        pytest.skip("no zdb of OpenZFS that can read the pool")
    return done.stdout.decode(errors="replace")


@pytest.mark.no_cover
def test_every_pool_of_the_corpus_is_as_zdb_has_it(corpus: Any, tmp_path: Path) -> None:
    for name in corpus.names("zfs"):
        guest = Guest.open([str(disk) for disk in corpus.disks(name)])
        volumes = [one for one in guest.listed if isinstance(one.mountable, Zfs)]
        folder = tmp_path / name
        folder.mkdir()
        for volume in volumes:
            if volume.volume.start:  # zdb takes no disk with a table
                part, whole = volume.volume, Path(volume.disk.source.name).read_bytes()
                (folder / volume.name).write_bytes(whole[part.start : part.start + part.size])
            else:
                (folder / volume.name).symlink_to(volume.disk.source.name)
        filesystem = volumes[0].mountable
        assert isinstance(filesystem, Zfs)
        text = openzfs(folder, filesystem.pool.name, "-mmmmmm")
        agrees(filesystem, text + openzfs(folder, filesystem.pool.name, "-b", "-P"))


@pytest.mark.no_cover
def test_entries_add_up_to_what_the_heads_say(corpus: Any) -> None:
    for name in corpus.names("zfs"):
        guest = Guest.open([str(disk) for disk in corpus.disks(name)])
        filesystem = next(one.mountable for one in guest.listed if isinstance(one.mountable, Zfs))
        assert isinstance(filesystem, Zfs)
        for found in (*metaslab_maps(filesystem).values(), *log_maps(filesystem).values()):
            assert allocated(found) == found.alloc


# --- places ------------------------------------------------------------------------------------------------


def test_places_lead_to_entries_and_their_fields(pybootcfg: Run, disk: Disk) -> None:
    image = disk("zfs/checksums-v5000.d0.img")

    def placed(place: str) -> dict[str, dict[str, Any]]:
        return structures(pybootcfg("inspect", "--json", image, place))

    (node,) = placed("p0.vdev[0].metaslab[1].space_map[1]").values()
    assert numbers(node)["type"] == 0
    (field,) = placed("p0.vdev[0].metaslab[1].space_map[1].run").values()
    assert field["value"] == numbers(node)["run"]
    found, prefix = placed("p0.vdev[0].metaslab[1]"), "p0.zfs.vdev[0].metaslab[1]"
    assert {f"{prefix}.object", f"{prefix}.unflushed", f"{prefix}.space_map"} < found.keys()
    number = found[f"{prefix}.object"]["value"]
    (head,) = placed(f"p0.mos.object[{number}].bonus").values()
    assert head["children"] == found[f"{prefix}.space_map"]["children"]
    entries = placed(f"p0.mos.object[{number}].space_map")
    assert len(entries) == sum(name.startswith(f"{prefix}.space_map[") for name in found) > 100


def test_one_screen_names_the_metaslabs(pybootcfg: Run, disk: Disk) -> None:
    found = structures(pybootcfg("inspect", "--json", disk("zfs/checksums-v5000.d0.img"), "p0"))
    assert {f"p0.zfs.vdev[0].metaslab[{index}].space_map" for index in range(3)} <= found.keys()


# --- several disks -----------------------------------------------------------------------------------------


def test_a_pools_objects_are_shown_once_however_many_disks_it_has(pybootcfg: Run, tmp_path: Path) -> None:
    first, *others = inspected.unpacked("zfs/raidz2-v23.d0.img", tmp_path)
    further = [word for other in others for word in ("--device", other)]
    done = pybootcfg("inspect", "--all", "--jsonl", first, *further)
    assert done.returncode == 0, done.stderr
    names = re.findall(r'^\{"name": "([^"]*)"', done.stdout, re.MULTILINE)
    objects = [name for name in names if re.search(r"\.object\[\d+\]$", name)]
    assert objects
    assert all(name.startswith("p0.") for name in objects)
    for number in (2, 3, 4):
        assert f"d{number}p0.zfs.label[0].nvlist" in names
        assert f"d{number}p0.zfs.objects" in names
    assert done.stdout.count('"type": "reference"') == 3
    one = structures(pybootcfg("inspect", "--json", first, *further, "d2p0.mos.object[1]"))
    assert "d2p0.zfs.mos.object[1]" in one


# --- maps that lie -----------------------------------------------------------------------------------------


def object_with(words: list[int], *, length: int | None = None, holes: tuple[int, ...] = ()) -> Any:
    """Return an object with these words in blocks of 512 bytes, and a head that says `length`."""
    data = b"".join(word.to_bytes(8, "little") for word in words).ljust(512, b"\0")
    blocks = [data[at : at + 512].ljust(512, b"\0") for at in range(0, len(data), 512)]
    said = 8 * len(words) if length is None else length
    return SimpleNamespace(
        big=False,
        type=8,
        bonus=(1).to_bytes(8, "little") + said.to_bytes(8, "little") + bytes(8),
        size=512 * len(blocks),
        block_size=512,
        last_block=len(blocks) - 1,
        pointer=lambda number: None if number in holes else SimpleNamespace(dvas=()),
        block=lambda number: (blocks[number], False),
        damaged=lambda message: ImageError(message, structure="object"),
    )


def errors(words: list[int], space: Space, **more: Any) -> list[str]:
    """Return the errors in the entries of a map."""
    found = []
    for structure in spacemap.entries(object_with(words, **more), "map", space):
        traced = structure.decoder.trace(MemorySource(b"", "none"), structure.offset)
        found += [str(part.error) for _, part in traced.leaves() if part.error]
    return found


def entry(offset: int, run: int) -> int:
    return offset << 16 | run - 1


def long_entry(vdev: int, offset: int, run: int) -> list[int]:
    return [3 << 62 | run - 1 << 24 | vdev, offset]


METASLAB = Space(9, {None: 1 << 20})  # 2048 units


def test_an_entry_that_ends_with_the_metaslab_is_right() -> None:
    assert errors([entry(2047, 1), *long_entry(0, 0, 2048)], METASLAB) == []


@pytest.mark.parametrize("words", [[entry(2047, 2)], long_entry(0, 2048, 1), long_entry(0, (1 << 63) - 1, 1)])
def test_entries_beyond_the_metaslab_have_an_error(words: list[int]) -> None:
    (error,) = errors(words, METASLAB)
    assert "beyond the 0x100000 bytes" in error


def test_entries_of_a_vdev_that_is_not_there_have_an_error() -> None:
    log = Space(9, {0: 1 << 20, 2: 1 << 10})
    assert errors([*long_entry(0, 0, 9), *long_entry(2, 1, 1)], log) == []
    assert errors(long_entry(1, 0, 9), log) == ["there is no such vdev"]
    assert "beyond the 0x400 bytes" in errors(long_entry(2, 1, 2), log)[0]


def test_a_long_entry_that_the_block_cuts_has_an_error() -> None:
    words = [entry(0, 1)] * 63 + long_entry(0, 0, 1)
    assert errors(words, METASLAB) == ["only 0 bytes left"]


def test_a_hole_ends_the_map() -> None:
    with pytest.raises(ImageError, match="block 1 of the space map is a hole"):
        errors([entry(0, 1)] * 128, METASLAB, holes=(1,))


def test_a_length_beyond_the_object_is_held_to_it_and_named() -> None:
    lying = object_with([entry(0, 1)], length=1 << 60)
    assert len(list(spacemap.entries(lying, "map", METASLAB))) == 64
    assert "up to 512 expected" in head_errors(lying, METASLAB)["smp_length"]


def test_a_map_without_end_meets_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits.ZFS_SPACE_MAP_ENTRIES, "value", 100)
    with pytest.raises(LimitExceeded, match="zfs-space-map-entries"):
        errors([entry(0, 1)] * 101, METASLAB)


def head_errors(dnode: Any, space: Space) -> dict[str, str]:
    decoder = spacemap.Judged(spacemap.header(dnode), space, dnode.size)
    traced = decoder.trace(MemorySource(dnode.bonus, "bonus"), 0)
    return {path: str(part.error) for path, part in traced.leaves() if part.error}


def test_a_histogram_of_more_than_there_is_has_an_error() -> None:
    dnode = object_with([])
    histogram = [0] * 32
    histogram[3], histogram[11], histogram[31] = 1, 2, 1 << 63
    words = [1, 0, 1 << 20, *[0] * 5, *histogram]
    dnode.bonus = b"".join(word.to_bytes(8, "little") for word in words)
    assert head_errors(dnode, METASLAB).keys() == {"smp_histogram[11]", "smp_histogram[31]"}
    assert head_errors(dnode, Space()) == {}


def test_more_allocated_than_there_is_has_an_error() -> None:
    dnode = object_with([])
    dnode.bonus = dnode.bonus[:16] + ((1 << 20) + 512).to_bytes(8, "little")
    assert head_errors(dnode, METASLAB).keys() == {"smp_alloc"}


def test_the_pool_goes_on_after_a_map_that_cannot_be_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    filesystem = pool(*disks("datasets-v15"))
    whole = {structure.name for structure in ZfsStructures(filesystem.pool).mos.every()}
    monkeypatch.setattr(limits.ZFS_SPACE_MAP_ENTRIES, "value", 40)
    cut = list(ZfsStructures(filesystem.pool).mos.every())
    faults = [structure.name for structure in cut if isinstance(structure.decoder, Fault)]
    lost = {name.partition(".space_map")[0] for name in whole - {structure.name for structure in cut}}
    assert len(faults) == len(lost) > 0
    assert {name.removesuffix(".fault") for name in faults} == lost


def test_more_metaslabs_than_any_pool_has_are_not_looked_for() -> None:
    vdev = spacemap.Metaslabs(pool(*disks("datasets-v15")).pool, 0, {
        "metaslab_array": 23, "metaslab_shift": 1, "asize": 1 << 62, "ashift": 9,
    })  # fmt: skip
    with pytest.raises(LimitExceeded, match="zfs-metaslabs"):
        list(vdev.objects())


def test_an_array_that_is_no_array_takes_nothing_else_along() -> None:
    """The object directory as the array of metaslabs: its words are no objects, or objects of other kinds."""
    opened = pool(*disks("datasets-v15")).pool
    maps = spacemap.SpaceMaps(opened)
    tree = {"metaslab_array": 1, "metaslab_shift": 19, "asize": 1 << 30, "ashift": 9}
    maps.vdevs = {0: spacemap.Metaslabs(opened, 0, tree)}
    assert maps.spaces
    assert {type(structure.decoder) for structure in maps.listed(100)} == {Fault}
    with pytest.raises(BootcfgError):
        list(maps.below("zfs.vdev[0]"))


def test_an_object_that_is_no_space_map_is_refused() -> None:
    piece = Piece(bytes(512), None, "object", big=False)
    for change, why in (
        ({"type": 9}, "of type 9, no space map"),
        ({"bonus": bytes(23)}, "shorter than a space"),
    ):
        dnode = object_with([])
        vars(dnode).update(change)
        with pytest.raises(ImageError, match=why):
            spacemap.head(dnode, piece, "map", 0, METASLAB)


# --- what only some vdevs have -----------------------------------------------------------------------------


def made_pool(**objects: Any) -> Any:
    """Return a stand-in for a pool that has these objects, `o1` for number 1."""
    return SimpleNamespace(mos=SimpleNamespace(object=lambda number: objects[f"o{number}"]))


def test_a_vdev_without_an_array_has_no_metaslabs() -> None:
    assert list(spacemap.Metaslabs(made_pool(), 0, {}).objects()) == []


def test_metaslabs_that_were_never_used_are_left_out() -> None:
    """A hole in their array, and zeros in it."""
    array = object_with([7] * 64 + [0, 8, 0], holes=(0,))
    tree = {"metaslab_array": 1, "metaslab_shift": 20, "asize": 67 << 20, "ashift": 9}
    assert list(spacemap.Metaslabs(made_pool(o1=array), 0, tree).objects()) == [(65, 8)]


def test_checkpoints_and_removals_have_space_maps_of_their_own() -> None:
    names = {b"com.delphix:pool_checkpoint_sm": 5, b"com.delphix:indirect_obsolete_sm": 6}
    tree = {"com.delphix:vdev_zap_top": 4, "asize": 1 << 30, "ashift": 12}
    vdev = spacemap.Metaslabs(made_pool(o4=zfs_rare.micro_zap(names)), 0, tree)
    assert vdev.others == {
        "checkpoint": (5, Space(12, {None: 1 << 30})),
        "obsolete": (6, Space(0, {None: 1 << 30})),
    }


def maps_with(**others: tuple[int, Space]) -> spacemap.SpaceMaps:
    """Return the space maps of a carried pool whose vdev has these others too."""
    maps = spacemap.SpaceMaps(pool(*disks("checksums-v5000")).pool)
    maps.vdevs[0].others = others
    return maps


def test_a_checkpoint_is_listed_and_found_by_its_name() -> None:
    """One of the metaslabs' maps stands for it."""
    (_, number), *_ = spacemap.SpaceMaps(pool(*disks("checksums-v5000")).pool).vdevs[0].objects()
    maps = maps_with(checkpoint=(number, METASLAB))
    names = [structure.name for structure in maps.listed(100)]
    assert "zfs.vdev[0].checkpoint.space_map" in names
    assert [structure.name for structure in maps.listed(2)] == names[:2]
    entries = [structure.name for structure in maps.below("zfs.vdev[0].checkpoint")]
    assert entries[:2] == ["zfs.vdev[0].checkpoint.space_map", "zfs.vdev[0].checkpoint.space_map[0]"]
    assert set(entries) < {structure.name for structure in maps.below("zfs.vdev[0]")}


def test_names_of_nothing_lead_nowhere() -> None:
    maps = maps_with()
    for name in ("zfs.vdev[9]", "zfs.log_space_map[1]", "zfs.vdev[0].checkpoint"):
        assert list(maps.below(name)) == []


def test_an_array_that_ends_before_a_metaslab_is_damaged() -> None:
    maps = maps_with()
    with pytest.raises(ImageError, match="has no element 100000"):
        maps._element(maps.vdevs[0].array, 100_000, "far", spacemap.layout.metaslab_object)
