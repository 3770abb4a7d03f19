"""What a pool keeps about itself, as inspect shows it: histories, lists of blocks, rights, and what lies."""

from __future__ import annotations

import lzma
import random
import re
import struct
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
import zfs_rare
from test_zfs_spacemaps import openzfs
from zfs_image import CARRIED, disks, pool
from zfs_rare import ACES, OLD_ACES, RECORD, MadeObject, of_bonus, of_role, words, znode

from pybootcfg import limits, schema
from pybootcfg.errors import BootcfgError, ImageError, LimitExceeded
from pybootcfg.filesystems.zfs import Zfs, acl, contents, history, objects, roles, spacemap
from pybootcfg.filesystems.zfs.inspection import ZfsStructures
from pybootcfg.filesystems.zfs.spacemap import Space
from pybootcfg.filesystems.zfs.zap import Zap
from pybootcfg.guest import Guest
from pybootcfg.source import MemorySource
from pybootcfg.structures import Fault, Structure
from pybootcfg.tracing import Field

NOTHING = MemorySource(b"", "none")
sa_layout = schema.load("zfs_sa")


def traced(structure: Structure) -> Field:
    return structure.decoder.trace(NOTHING, structure.offset)


def values(structure: Structure) -> dict[str, Any]:
    return {child.name: child.value for child in traced(structure).children}


def by_name(found: Iterator[Structure]) -> dict[str, Structure]:
    return {structure.name: structure for structure in found}


# --- the history, as zdb prints it --------------------------------------------------------------------------


def commands(name: str) -> list[dict[str, Any]]:
    """Return the records of a carried pool's history: the top pairs of each."""
    opened = pool(*disks(name)).pool
    number = opened.directory().number(b"history")
    records: list[dict[str, Any]] = []
    for structure in ZfsStructures(opened).mos.of_object(number):
        field = traced(structure)
        assert not field.damaged(), structure.name
        assert not isinstance(structure.decoder, Fault)
        if re.search(r"\.record\[\d+\]$", structure.name):
            records.append({})
        pair = re.search(r"\.record\[\d+\]\.nvlist\.([^.]+)$", structure.name)
        if pair:
            value = field.children[-1]
            text = {child.name: child.value for child in value.children}.get("text", value.value)
            records[-1][pair[1]] = text.rstrip(b"\0").decode("latin-1") if isinstance(text, bytes) else text
    return records


def printed(name: str) -> list[str]:
    text = lzma.decompress((CARRIED / f"{name}.openzfs-zdb.xz").read_bytes()).decode()
    return re.findall(
        r"^ ?(\d{4}-\d\d-\d\d\.\S.*)$", text.partition("History:")[2].partition("unrecogn")[0], re.MULTILINE
    )


@pytest.mark.parametrize("name", ["checksums-v5000", "datasets-v15"])
def test_commands_are_those_that_zdb_lists(name: str) -> None:
    """Packed as in memory by OpenZFS, in XDR by zfs-fuse; zdb leaves some kinds out, and words others."""
    expected = printed(name)
    assert len(expected) > 20
    shown = []
    for record in commands(name):
        when = datetime.fromtimestamp(record["history time"], UTC).strftime("%Y-%m-%d.%H:%M:%S")
        if "history command" in record:
            shown.append(f"{when} {record['history command']}")
        elif "internal_name" in record:
            dataset = f" {record['dsname']} ({record['dsid']})" if "dsname" in record else ""
            start = f"{when} [txg:{record['history txg']}] {record['internal_name']}{dataset} "
            shown.append(start + record["history internal str"])
        elif "ioctl" in record:
            shown.append(f"{when} ioctl {record['ioctl']}")
        elif "history internal event" in record:
            shown.append(f"{when} internal {record['history txg']} {record['history internal str']}")
    plain = [re.sub(r"\[internal .* txg:(\d+)\]", r"internal \1", line).rstrip() for line in expected]
    assert [line.rstrip() for line in shown] == plain


# --- objects that none of the images has --------------------------------------------------------------------


def test_mappings_and_births_of_removed_devices() -> None:
    found = by_name(of_role(contents.MAPPING, zfs_rare.mapping()))
    assert values(found["made.bonus"]) == {
        "vim_max_offset": 1 << 30,
        "vim_bytes_mapped": 1 << 20,
        "vim_count": 5,
    }
    assert len(traced(found["made.mapping[0]"]).children) == 5
    found = by_name(of_role(contents.BIRTHS, zfs_rare.births()))
    second = traced(found["made.births[0]"]).children[1]
    assert [child.value for child in second.children] == [0x2000, 6]


def test_records_of_a_log_of_deduplicated_blocks() -> None:
    found = by_name(of_role(contents.DDT_LOG, zfs_rare.ddt_log(RECORD, RECORD)))
    assert sorted(found) == ["made.bonus", "made.record[0]", "made.record[1]"]
    record = traced(found["made.record[1]"])
    parts = {child.name: child for child in record.children}
    assert (parts["type"].symbol, parts["reclen"].value, parts["entry_class"].symbol) == (
        "ENTRY",
        120,
        "DUPLICATE",
    )
    assert [child.value for child in parts["dlre_phys"].children[1:]] == [3, 77, 1_700_000_000]
    assert parts["dlre_key"].children[1].value == 0x0F0003_0007


def test_counts_of_cloned_blocks() -> None:
    found = by_name(of_role(contents.CLONES, zfs_rare.clones()))
    assert values(found["made.bonus"])["bvp_rangesize"] == 16 << 20
    assert [child.value for child in traced(found["made.entcounts[0]"]).children] == [1, 0, 0, 9]


@pytest.mark.parametrize("little", [True, False])
def test_tables_of_deduplicated_blocks(little: bool) -> None:
    """The old form and the flat one, compressed and not, with values of both byte orders."""
    order = "<" if little else ">"
    key = struct.pack(">5Q", 1, 2, 3, 4, 0x0F0003_0007)
    plain = struct.pack(f"{order}9Q", 5, 6, 7, 8, 9, 10, 3, 77, 1_700_000_000)
    stored = bytes([2 | little << 7]) + plain
    found = by_name(of_role(contents.DDT_FLAT_TABLE, zfs_rare.fat_zap({key: (1, stored)}, numbers=True)))
    assert {"made.zap.zap_phys", "made.zap.pointers", "made.zap.leaf[1].header"} < found.keys()
    (checksum, described) = traced(found["made.ddt[0].key"]).children
    assert [child.value for child in checksum.children] == [1, 2, 3, 4]
    assert described.value == 0x0F0003_0007
    phys = traced(found["made.ddt[0].phys"]).children
    assert [child.value for child in phys[0].children] == [5, 6, 7, 8, 9, 10]
    assert [child.value for child in phys[1:]] == [3, 77, 1_700_000_000]
    old = struct.pack(f"{order}32Q", *[0] * 8, 5, 6, 7, 8, 9, 10, 3, 77, *[0] * 16)
    packed = bytes([14 | little << 7]) + zfs_rare.zero_runs(old)
    made = zfs_rare.fat_zap({key: (1, packed), bytes(40): (1, b"")}, numbers=True)
    found = by_name(of_role(contents.DDT_TABLE, made))
    copies = traced(found["made.ddt[0].phys"]).children
    assert [child.value for child in copies[1].children[1:]] == [3, 77]
    assert [child.value for child in copies[2].children[1:]] == [0, 0]
    assert "made.ddt[1].key" in found
    assert "made.ddt[1].phys" not in found


def test_statistics_of_deduplicated_blocks() -> None:
    histogram = struct.pack(">512Q", *range(512))
    found = by_name(
        contents._ddt_statistics(zfs_rare.fat_zap({b"sha256": (8, histogram)}), "made")  # type: ignore[arg-type]
    )
    rows = traced(found["made.histogram[sha256]"]).children
    assert [child.value for child in rows[1].children] == [*range(8, 16)]


def test_bookmarks_of_both_lengths() -> None:
    """A dataset that is a ZAP names the ZAP of its bookmarks; values are numbers, as ZAP stores them."""
    old, new = struct.pack(">3Q", 11, 22, 1_700_000_000), struct.pack(">12Q", 33, 44, *[0] * 10)
    of = zfs_rare.fat_zap({b"first": (8, old), b"second": (8, new), b"short": (8, old[:8])})
    store: Any = SimpleNamespace(object={5: of}.__getitem__)
    dataset: Any = zfs_rare.micro_zap({b"com.delphix:bookmarks": 5}, kind=196)
    found = by_name(contents.bookmarks(store, dataset, "made"))
    assert found.keys() == {"made.bookmark[first]", "made.bookmark[second]"}
    first = values(found["made.bookmark[first]"])
    assert first == {"zbm_guid": 11, "zbm_creation_txg": 22, "zbm_creation_time": 1_700_000_000}
    assert len(values(found["made.bookmark[second]"])) == 12
    for other in (zfs_rare.micro_zap({b"other": 1}, kind=196), MadeObject(b"", kind=16)):
        assert not list(contents.bookmarks(store, other, "made"))  # type: ignore[arg-type]


def test_values_in_the_object_directory_are_records() -> None:
    entries = {b"scan": (8, zfs_rare.SCAN), b"root_dataset": (8, words(5)), b"error_scrub": (8, bytes(8))}
    found = by_name(contents._object_directory(zfs_rare.fat_zap(entries, kind=1), "made"))  # type: ignore[arg-type]
    assert values(found["made.value[scan]"])["scn_min_txg"] == 0
    assert "made.value[error_scrub]" not in found  # too short


def test_what_the_object_directory_says_of_objects() -> None:
    """Clones by vdev; logs and tables of deduplicated blocks, flat ones where a flag says so."""
    directory = {b"DDT-sha256": 2, b"DDT-log-sha256-0": 6, b"root_dataset": 9, b"DDT-gone": 8}
    directory |= {b"com.fudosecurity:brt:vdev:0": 3, b"DDT-statistics": 4, b"DDT-old": 5}
    flat = {b"flags": 1, b"DDT-sha256-zap-unique": 10, b"DDT-log-sha256-0": 11, b"version": 1}
    objects: dict[int, MadeObject] = {
        2: zfs_rare.micro_zap(flat),
        4: MadeObject(b"", kind=46),
        5: zfs_rare.micro_zap({b"flags": 0, b"DDT-old-zap-unique": 12}),
        6: MadeObject(b"", kind=45),
        8: MadeObject(bytes(512)),  # no ZAP
    }
    made: Any = SimpleNamespace(
        directory=lambda: Zap(zfs_rare.micro_zap(directory)),  # type: ignore[arg-type]
        mos=SimpleNamespace(object=objects.__getitem__),
    )
    assert dict(roles._named(made)) == {
        3: contents.CLONES,
        10: contents.DDT_FLAT_TABLE,
        11: contents.DDT_LOG,
    }


def test_lists_of_blocks_have_heads_of_four_lengths() -> None:
    for length, last in (
        (16, "bpo_bytes"),
        (32, "bpo_uncomp"),
        (48, "bpo_num_subobjs"),
        (56, "bpo_num_freed"),
    ):
        made = MadeObject(b"", words(*range(7))[:length], bonus_type=6)
        (head,) = of_bonus(made)
        assert list(values(head))[-1] == last
        assert traced(head).size == length


def test_entries_of_access_control_lists() -> None:
    (owner, group, typed, everyone) = map(traced, acl.structures(MadeObject(ACES), "made"))  # type: ignore[arg-type]
    assert [one.size for one in (owner, group, typed, everyone)] == [8, 16, 48, 8]
    assert owner.children[1].symbol == "owner"
    assert (group.children[0].symbol, group.children[2].symbol, group.children[3].value) == (
        "DENY",
        "write_data",
        1000,
    )
    assert everyone.children[1].symbol == "everyone"


def test_access_control_lists_of_older_files() -> None:
    found = by_name(of_bonus(MadeObject(b"", znode(0, OLD_ACES, size=2), bonus_type=17)))
    assert [child.children[0].value for child in traced(found["made.bonus.ace"]).children] == [1, 2]
    found = by_name(of_bonus(MadeObject(b"", znode(1, ACES[:24], size=24), bonus_type=17)))
    assert {"made.bonus", "made.bonus.acl", "made.bonus.ace[0]", "made.bonus.ace[1]"} == found.keys()
    found = by_name(of_bonus(MadeObject(b"", znode(1, ACES, size=80, external=7), bonus_type=17)))
    assert {"made.bonus", "made.bonus.acl"} == found.keys()
    shorter = MadeObject(b"", znode(0, OLD_ACES, size=2)[:263], bonus_type=17)  # no room for a list
    assert not by_name(of_bonus(shorter))


def test_extended_attributes_in_system_attributes() -> None:
    piece = zfs_rare.Piece(bytes(4) + zfs_rare.xattrs(), None, "", big=False)
    found = by_name(objects._packed(piece, "xattr", 4, len(zfs_rare.xattrs())))
    assert list(found) == ["xattr.nvlist", "xattr.nvlist_version", "xattr.nvlist.user.test"]
    assert values(found["xattr.nvlist.user.test"])["value"] == b"value"
    found = by_name(objects._packed(piece, "xattr", 4, 30))  # a pair that is cut
    assert isinstance(found["xattr.fault"].decoder, Fault)
    registry = SimpleNamespace(places=lambda *_, **__: [(sa_layout.ZPL_DXATTR, 4, len(zfs_rare.xattrs()))])
    of: Any = SimpleNamespace(filesystem=SimpleNamespace(registry=registry))
    data = struct.pack("<IHH", 0x2F505A, 1 << 10, 0) + piece.data[4:]
    at = zfs_rare.Piece(bytes(4) + zfs_rare.xattrs(), None, "", big=False)
    whole = by_name(objects.Objects._attributes(of, MadeObject(b""), at, "made", 0, data))  # type: ignore[arg-type]
    assert "made.ZPL_DXATTR.nvlist.user.test" in whole


def test_a_scrub_that_is_done() -> None:
    made = MadeObject(zfs_rare.SCAN)
    decoder = contents.layout.dsl_scan_phys
    (shown,) = contents._record_at(made, "scan", zfs_rare.SCAN, decoder, big=True)  # type: ignore[arg-type]
    parts = {child.name: child for child in traced(shown).children}
    assert (parts["scn_func"].symbol, parts["scn_state"].symbol) == ("SCRUB", "FINISHED")
    assert parts["scn_end_time"].symbol == "2023-11-14 22:13:29 UTC"


# --- the ring ---------------------------------------------------------------------------------------------


def record(text: bytes) -> bytes:
    """Return a record of one pair, packed as in memory."""
    name = b"history command\0"
    value = text.ljust(-(-len(text) // 8) * 8, b"\0")
    pair = struct.pack("<ihhiI", 16 + len(name) + len(value), len(name), 0, 1, 9) + name + value
    packed = b"\0\1\0\0" + struct.pack("<iI", 0, 1) + pair + bytes(4)
    return struct.pack("<Q", len(packed)) + packed


def ring(first: bytes, others: bytes, *, start: int, length: int) -> MadeObject:
    """Return a history of `length` bytes whose later records begin at byte `start`, counted on."""
    data = bytearray(len(first) + length)
    data[: len(first)] = first
    for index, byte in enumerate(others):
        data[len(first) + (start - len(first) + index) % length] = byte
    head = words(len(first), len(first) + length, start, start + len(others), 0)
    return MadeObject(bytes(data), head, kind=29, bonus_type=30)


def texts(made: MadeObject) -> list[bytes]:
    return [
        values(structure)["value"].rstrip(b"\0")
        for structure in history.structures(made, "made")  # type: ignore[arg-type]
        if structure.name.endswith("history command")
    ]


def test_records_go_on_at_the_start_of_the_ring() -> None:
    created, older, newer = record(b"zpool create"), record(b"zfs set a=b"), record(b"zfs snapshot")
    for start in range(1000, 1300, 7):
        made = ring(created, older + newer, start=start, length=300)
        assert texts(made) == [b"zpool create", b"zfs set a=b", b"zfs snapshot"]


def test_a_history_of_nothing_but_the_creation() -> None:
    assert texts(ring(record(b"zpool create"), b"", start=len(record(b"zpool create")), length=200)) == [
        b"zpool create"
    ]


@pytest.mark.parametrize("length", [0, 1 << 20, 1 << 63])
def test_a_record_that_leads_out_of_the_history_ends_it(length: int) -> None:
    made = ring(record(b"zpool create"), struct.pack("<Q", length), start=400, length=300)
    found = history.structures(made, "made")  # type: ignore[arg-type]
    with pytest.raises(ImageError, match="leads out of the history"):
        list(found)


@pytest.mark.parametrize("head", [words(9, 9, 0, 0, 0), words(0, 100, 0, 101, 0), words(0, 1 << 50, 0, 1, 0)])
def test_a_history_that_makes_no_sense_is_refused(head: bytes) -> None:
    found = history.structures(MadeObject(bytes(512), head), "made")  # type: ignore[arg-type]
    with pytest.raises(ImageError, match="makes no sense"):
        list(found)


def test_a_damaged_list_costs_its_own_record() -> None:
    bad = bytearray(record(b"zfs destroy"))
    bad[20:24] = struct.pack("<i", 10_000)  # the size of its pair
    made = ring(record(b"zpool create"), bytes(bad) + record(b"zfs create"), start=400, length=400)
    assert texts(made) == [b"zpool create", b"zfs create"]
    found = by_name(history.structures(made, "made"))  # type: ignore[arg-type]
    assert isinstance(found["made.record[1].fault"].decoder, Fault)


def test_lists_within_each_other_have_the_names_of_both() -> None:
    inner = struct.pack("<ihhiI", 32, 2, 0, 1, 8) + b"a\0".ljust(8, b"\0") + struct.pack("<Q", 7) + bytes(4)
    outer = struct.pack("<ihhiI", 48, 4, 0, 1, 19) + b"out\0".ljust(8, b"\0") + bytes(24) + inner
    packed = b"\0\1\0\0" + struct.pack("<iI", 0, 1) + outer + bytes(4)
    made = ring(struct.pack("<Q", len(packed)) + packed, b"", start=len(packed) + 8, length=200)
    found = by_name(history.structures(made, "made"))  # type: ignore[arg-type]
    assert values(found["made.record[0].nvlist.out.a"])["value"] == 7


def test_arrays_of_lists_have_names_by_number() -> None:
    def inner(number: int) -> bytes:
        name = b"a\0".ljust(8, b"\0")
        return struct.pack("<ihhiI", 32, 2, 0, 1, 8) + name + struct.pack("<Q", number) + bytes(4)

    array = struct.pack("<ihhiI", 88, 4, 0, 2, 20) + b"out\0".ljust(8, b"\0") + bytes(16 + 2 * 24)
    packed = b"\0\1\0\0" + struct.pack("<iI", 0, 1) + array + inner(7) + inner(8) + bytes(4)
    made = ring(struct.pack("<Q", len(packed)) + packed, b"", start=len(packed) + 8, length=200)
    found = by_name(history.structures(made, "made"))  # type: ignore[arg-type]
    shown = [values(found[f"made.record[0].nvlist.out[{index}].a"])["value"] for index in (0, 1)]
    assert shown == [7, 8]


# --- what lies ----------------------------------------------------------------------------------------------


def test_a_log_without_end_meets_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits.ZFS_SPACE_MAP_ENTRIES, "value", 3)
    with pytest.raises(LimitExceeded):
        list(of_role(contents.DDT_LOG, zfs_rare.ddt_log(RECORD, RECORD, RECORD, RECORD)))


def test_counts_beyond_the_object_are_held_to_it() -> None:
    made = MadeObject(bytes(1024), words(0, 0, 1 << 62))
    found = by_name(of_role(contents.MAPPING, made))
    assert sorted(found) == ["made.bonus", "made.mapping[0]", "made.mapping[1]"]


NOISE: dict[str, Callable[[MadeObject], Iterator[Structure]]] = {
    "history": lambda made: history.structures(made, "made"),  # type: ignore[arg-type]
    "native": lambda made: history._packed(
        zfs_rare.Piece(bytes(8) + made.block(0)[0], None, "", big=False), "made"
    ),
    "acl": lambda made: acl.structures(made, "made"),  # type: ignore[arg-type]
    "ddt": lambda made: of_role(contents.DDT_LOG, made),
    "mapping": lambda made: of_role(contents.MAPPING, made),
    "clones": lambda made: of_role(contents.CLONES, made),
    "bpobj": lambda made: of_role(contents._BY_TYPE[5], made),
    "elements": lambda made: of_role(contents._BY_TYPE[2], made),
    "space map": lambda made: spacemap.entries(made, "made", Space(9, {None: 1 << 20})),  # type: ignore[arg-type]
    "bonus": of_bonus,
}


@pytest.mark.no_cover
@pytest.mark.parametrize("kind", NOISE)
def test_noise_is_shown_or_refused(kind: str) -> None:
    chance = random.Random(kind)  # noqa: S311
    for number in range(150):
        data, bonus = bytearray(chance.randbytes(1024)), bytearray(chance.randbytes(320))
        if number % 2:  # small numbers lead further
            data[1::2] = bytes(512)
            bonus[2:] = bytes(318)
        if kind == "native":
            data[:4] = b"\0\1\0\0"
        made = MadeObject(
            bytes(data), bytes(bonus), kind=8, bonus_type=chance.choice([3, 4, 6, 7, 12, 16, 17, 30, 51])
        )
        try:
            for structure in NOISE[kind](made):
                traced(structure)
        except BootcfgError:
            continue


# --- the corpus, as zdb prints it ---------------------------------------------------------------------------


def dva(field: Field) -> str:
    """Return the first address of a pointer's three as zdb has it: vdev, offset and size."""
    first, second = (child.value for child in field.children[:2])
    return f"{first >> 32:x}:{second << 9:x}:{(first & 0xFFFFFF) << 9:x}"


def test_tables_and_lists_of_blocks_are_as_zdb_has_them(corpus: Any) -> None:
    """Both tables of deduplicated blocks, and all lists of dead blocks, of pools on one disk."""
    tables = lists = 0
    for name in corpus.names("zfs"):
        (path, *others) = corpus.disks(name)
        volume = Guest.open([str(path)]).listed[0]
        if others or volume.volume.start:
            continue
        filesystem = volume.filesystem
        assert isinstance(filesystem, Zfs)
        folder = path.parent / f"{name}.only"
        folder.mkdir(exist_ok=True)
        (folder / path.name).unlink(missing_ok=True)
        (folder / path.name).symlink_to(path)
        told = openzfs(folder, filesystem.pool.name, "-DDDDD")
        expected = set(
            re.findall(r"refcnt (\d+) phys 0 DVA\[0\]=<([0-9a-f:]+)>.* birth=(\d+)L.* cksum=(\w+):", told)
        )
        parts: dict[str, dict[str, Field]] = {}
        pointers: dict[str, int] = {}
        for structure in ZfsStructures(filesystem.pool).mos.every():
            entry = re.search(r"^(.*\.ddt\[\d+\])\.(key|phys)$", structure.name)
            if entry:
                parts.setdefault(entry[1], {})[entry[2]] = traced(structure)
            if ".blkptrs[" in structure.name and not structure.name.endswith(".blkptrs"):
                number = structure.name.partition("[")[2].partition("]")[0]
                pointers[number] = pointers.get(number, 0) + len(traced(structure).children)
        shown = {
            (
                str(pair["phys"].children[1].value),
                dva(pair["phys"].children[0]),
                str(pair["phys"].children[2].value),
                f"{pair['key'].children[0].children[0].value:016x}",
            )
            for pair in parts.values()
        }
        assert shown == expected
        tables += len(shown)
        told = openzfs(folder, filesystem.pool.name, "-dddd")
        counts = re.findall(
            r"^ +(\d+) .*  bpobj.*\n.*bpobj header\n(?:.*\n)*?\t\tnum_blkptrs = (\d+)", told, re.MULTILINE
        )
        assert {number: int(count) for number, count in counts if int(count)} == pointers
        lists += sum(pointers.values())
    assert tables > 30
    assert lists > 50
