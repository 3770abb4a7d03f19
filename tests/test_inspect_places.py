"""Every structure has a name; what is shown of it are the bytes of the disk, and what readers decode."""

from __future__ import annotations

import importlib
import pkgutil
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import construct
import inspected
import pytest
import zfs_rare
from construct import Const, Construct, FlagsEnum, Int16ul, Struct

import pybootcfg.formats
from pybootcfg import schema
from pybootcfg.cli.inspection import document
from pybootcfg.errors import ImageError
from pybootcfg.filesystems.zfs import objects, pieces
from pybootcfg.places import PlacedStructure
from pybootcfg.places.kernel import contents
from pybootcfg.schema import Decoder
from pybootcfg.source import MemorySource
from pybootcfg.structures import DecodedStructure, Fault, Stretch, length_of
from pybootcfg.tracing import Field

ALL = [*inspected.NAMES, *inspected.BUILT]


def images(name: str, folder: Path) -> list[Path]:
    build = inspected.BUILT.get(name)
    return [build(folder)] if build else inspected.unpacked(name, folder)


def inner(decoder: Decoder) -> Decoder:
    return decoder.inner if isinstance(decoder, DecodedStructure) else decoder


# --- what is shown is what is there ----------------------------------------------------------------


class Sample:
    """Of the structures that one schema tells the first 40 (or three, of large ones), then one in twenty."""

    def __init__(self) -> None:
        self._seen: Counter[str] = Counter()

    def takes(self, placed: PlacedStructure) -> bool:
        kind = placed.decoder.name
        self._seen[kind] += 1
        first = 40 if length_of(inner(placed.decoder)) < 16384 else 3
        return self._seen[kind] <= first or self._seen[kind] % 20 == 0


@pytest.mark.parametrize("name", ALL)
def test_leaves_are_the_bytes_of_the_disk_and_what_readers_decode(name: str, tmp_path: Path) -> None:
    disks = images(name, tmp_path)
    data = disks[0].read_bytes()
    names = []
    sample = Sample()
    for placed in inspected.structures(*disks):
        names.append(placed.name)
        if not sample.takes(placed):
            continue
        field = placed.trace()
        if not (field.decoded or placed.name.startswith("d")):
            for path, leaf in field.leaves():
                there = data[leaf.offset : leaf.offset + len(leaf.raw)]
                assert leaf.raw == there, (placed.name, path)
                assert len(leaf.raw) == leaf.size, (placed.name, path)
        if not isinstance(inner(placed.decoder), (Stretch, Fault)):
            agrees(placed, field)
    assert len(names) == len(set(names))
    assert names


FAMILIES = ["ext2", "ext3", "ext4", "partitioned", "fat", "iso9660", "reiserfs", "ufs", "zfs"]


@pytest.mark.no_cover
@pytest.mark.parametrize("family", FAMILIES)
def test_leaves_of_the_whole_corpus(corpus: Any, family: str) -> None:
    """The same for the folder of images, a random part of what is on each."""
    for name in corpus.names(family):
        sampled(corpus.disks(name))


def sampled(disks: list[Path]) -> None:
    source = inspected.opened(disks[0]).disks[0].source
    chance = random.Random(1)  # noqa: S311
    for placed in inspected.structures(*disks):
        if chance.random() > 0.05 or placed.name.startswith("d"):
            continue
        field = placed.trace()
        if not field.decoded:
            for path, leaf in field.leaves():
                there = source.read(leaf.offset, len(leaf.raw)) if leaf.raw else b""
                assert leaf.raw == there, (placed.name, path)
        if not isinstance(inner(placed.decoder), (Stretch, Fault)):
            agrees(placed, field)


def agrees(placed: PlacedStructure, field: Field) -> None:
    """Compare a trace with what the fast decoder makes of the same bytes."""
    decoder = inner(placed.decoder)
    source = placed.decoder.block if isinstance(placed.decoder, DecodedStructure) else placed.source
    room = source.size - placed.offset
    try:
        size = decoder.size
    except TypeError:
        size = min(room, 1 << 16)
    try:
        value = decoder.decode(source.read(placed.offset, min(size, room)))
    except ImageError:
        assert field.damaged(), placed.name
        return
    compare(placed.name, field, value)


def compare(name: str, field: Field, value: Any) -> None:
    if hasattr(value, "_fields"):
        value = value._asdict()
    if isinstance(value, dict):
        children = {child.name: child for child in field.children}
        for part, below in value.items():
            if part in children or below != b"":  # a name of no bytes is not shown
                compare(f"{name}.{part}", children[part], below)
    elif isinstance(value, tuple):
        elements = [child for child in field.children if child.name.startswith("[")]
        assert len(elements) == len(value), name
        for child, part in zip(elements, value, strict=True):
            compare(f"{name}{child.name}", child, part)
    else:
        assert field.value == value, name


@pytest.mark.parametrize("name", ALL)
def test_names_lead_back_to_their_structures(name: str, tmp_path: Path) -> None:
    """Places that `--all` names can be asked for one by one."""
    guest = inspected.opened(*images(name, tmp_path))
    volume = next((one for one in guest.listed if one.mountable), None)
    if volume is None:
        return
    found = list(volume.filesystem.structures.every())
    for structure in random.Random(2).sample(found, min(25, len(found))):  # noqa: S311
        if isinstance(structure.decoder, Fault):
            continue
        again = volume.filesystem.structures.find(structure.name)
        assert again is not None, structure.name
        assert (again.offset, again.decoder.name) == (structure.offset, structure.decoder.name)


# --- nothing is left out ---------------------------------------------------------------------------

#: schemas that no place shows, and why that is right
HIDDEN = {
    ("disklabel", "word"): "16 bits at a time of what a checksum is made over",
    ("vtoc", "word"): "the same",
    ("eltorito", "words"): "the same",
    ("zfs_blkptr", "word"): "the same, 64 bits",
    ("zfs_blkptr", "cksum"): "the same, what comes out of it",
    ("mbr", "boot_sector"): "tells a boot sector from a table; fat shows the sector as p0.boot_sector",
    ("mbr", "primary_volume_descriptor"): "the part of iso9660's that tells how long a hybrid disc is",
    ("gpt", "guid"): "the parts of what is shown as one GUID",
    ("zfs_blkptr", "embedded_blkptr"): "the words of a block pointer of which blkptr shows the fields",
    ("zfs_blkptr", "blkptr"): "its words; blkptr_shown has the fields in them",
    ("zfs_label", "uberblock"): "with blkptr; uberblock_shown has the fields in that",
    ("zfs_label", "nvpair_size"): "a part of nvpair, which is shown whole",
    ("zfs_label", "nvpair_name"): "the same",
    ("zfs_label", "nvpair_type"): "the same",
    ("zfs_label", "uint64"): "the same: its value",
    ("zfs_label", "string_length"): "the same",
    ("zfs_label", "array_length"): "the same",
    (
        "zfs_sa",
        "layout_attribute",
    ): "a number in the value of an entry of a ZAP, which is shown as its chunks",
    ("zfs_zap", "value_8"): "the same",
    ("zfs_zap", "value_16"): "the same",
    ("zfs_zap", "value_32"): "the same",
    ("zfs_zap", "value_64"): "the same",
    ("zfs_zap", "block_type"): "the first word of the headers of ZAP blocks",
    ("zfs_spacemap", "space_map_word"): "the first word of entries, which tells their length",
    ("zfs_spacemap", "metaslab_object"): "shown as zfs.vdev[0].metaslab[1].object, which --all has elsewhere",
    ("zfs_mos", "nvpair_size_native"): "a part of nvpair_native, which is shown whole",
    ("zfs_mos", "ddt_value_head"): "says how the value after it is compressed, which is shown as ddt_phys",
    ("zfs_mos", "ddt_log_info"): "the first word of ddt_log_record",
}


def schemas() -> Iterator[tuple[str, str, Construct]]:
    """Yield all schemas of formats/, each in the module that it belongs to."""
    seen: dict[int, str] = {}
    modules = [info.name for info in pkgutil.iter_modules(pybootcfg.formats.__path__)]
    for module in modules:
        for name, value in vars(importlib.import_module(f"pybootcfg.formats.{module}")).items():
            own = isinstance(value, Construct) and not hasattr(construct, name)
            if own and (id(value) not in seen or seen[id(value)] == "construct"):
                basic = any(value is vars(construct).get(alias) for alias in vars(construct))
                seen[id(value)] = "construct" if basic else module
                yield module, name, value


class Reached:
    """The schemas that structures have shown."""

    def __init__(self) -> None:
        self.parts: dict[int, Any] = {}  # kept, so that the ids stay theirs
        self.names: set[str] = set()

    def add(self, decoder: Decoder) -> None:
        self.names.add(decoder.name)
        self._add(decoder.schema)

    def _add(self, part: Any) -> None:
        if id(part) in self.parts:
            return
        self.parts[id(part)] = part
        below = [getattr(part, key, None) for key in ("subcon", "thensubcon", "elsesubcon", "default")]
        below += [*getattr(part, "subcons", ()), *getattr(part, "cases", {}).values()]
        for one in below:
            if isinstance(one, Construct):
                self._add(one)

    def has(self, name: str, value: Construct) -> bool:
        """Whether a schema was shown; fields and enums that others have are shown with them."""
        if type(value) is construct.FormatField or isinstance(value, construct.BytesInteger):
            return name in self.names
        if id(value) in self.parts:
            return True
        return bool(getattr(value, "subcons", ())) and all(id(part) in self.parts for part in value.subcons)


def kernels() -> Iterator[Field]:
    """Yield what is shown of files that are kernels."""
    bzimage = bytearray(4096)
    bzimage[0x1FE:0x206] = b"\x55\xaa\xeb\x6aHdrS"
    executable = bytearray(
        b"MZ".ljust(60, b"\0") + b"\x40\0\0\0" + b"PE\0\0" + b"\x64\x86\1\0".ljust(20, b"\0")
    )
    executable += b".text".ljust(40, b"\0")
    for start in (
        bzimage,
        executable,
        bytes(56) + b"ARM\x64",
        bytes(56) + b"RSC\x05",
        b"MZ\0\0zimg" + bytes(16) + b"zstd",
        b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\0\x3e\0",
    ):
        yield from contents(MemorySource(bytes(start).ljust(4096, b"\0"), "kernel"))


def rare_zfs() -> Iterator[Decoder]:
    """Yield the decoders for what no tool here writes: new records of logs, removed devices, ZSTD."""
    layout = schema.load("zfs_zil")
    piece = pieces.Piece(bytes(4096), None, "log", big=False)
    for kind in (layout.TX_RENAME_WHITEOUT, layout.TX_CREATE_ACL, layout.TX_CREATE_ATTR):
        yield from (one.decoder for one in objects._record(piece, "record[0]", kind, 0))
    for kind in (layout.TX_TRUNCATE, layout.TX_CLONE_RANGE):
        yield from (one.decoder for one in objects._record(piece, "record[0]", kind, 0))
    yield from (one.decoder for one in zfs_rare.structures())
    pointer = SimpleNamespace(compress=16, crypt=False, embedded=bytes(64), dvas=())
    compressed = SimpleNamespace(pointer=lambda _: pointer)
    found = objects.Objects._compressed(None, compressed, "object[1]")  # type: ignore[arg-type]
    yield from (one.decoder for one in found)


def test_every_schema_is_reached_by_a_place(tmp_path: Path) -> None:
    reached = Reached()
    for number, name in enumerate(ALL):
        folder = tmp_path / str(number)
        folder.mkdir()
        for placed in inspected.structures(*images(name, folder)):
            decoder = inner(placed.decoder)
            if not isinstance(decoder, (Stretch, Fault)) and (
                decoder.name not in reached.names or id(decoder.schema) not in reached.parts
            ):
                reached.add(decoder)
    for decoder in rare_zfs():
        reached.add(inner(decoder))
    shown = {field.name for top in kernels() for field in (top, *top.children)}
    shown = {name.partition("[")[0] for name in shown}
    missing = {
        (module, name)
        for module, name, value in schemas()
        if not reached.has(name, value) and not (module in ("kernel", "pe") and name in shown)
    }
    assert not missing - HIDDEN.keys(), "name them in the structures of their file system, or say why not"
    assert len(reached.names) > 100


def test_a_schema_is_all_that_a_new_structure_takes() -> None:
    """Neither the display nor the JSON knows any structure by name."""
    novel = Struct("magic" / Const(b"NEW!"), "flags" / FlagsEnum(Int16ul, fast=1, safe=2))
    source = MemorySource(bytes(16) + b"NEW!\x07\0", "disk")
    placed = PlacedStructure("p1.novel", Decoder("novel", novel), source, 16)
    node = document.node(placed.trace())
    assert [(child["name"], child["offset"], child["raw"]) for child in node["children"]] == [
        ("magic", 16, "4e455721"),
        ("flags", 20, "0700"),
    ]
    assert node["children"][0]["valid"] is True
    assert node["children"][1]["symbol"] == "fast | safe | unknown 0x4"
