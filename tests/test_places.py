"""Places in process: what a file, a kernel and a configuration are as trees, damaged or odd ones too."""

from __future__ import annotations

import lzma
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from construct import Int8ub, Int32ub, Struct

from pybootcfg import limits
from pybootcfg.errors import ImageError
from pybootcfg.filesystems.base import Extent, Filesystem, Hole, Node, Options, Run
from pybootcfg.guest import Guest
from pybootcfg.kind import Kind
from pybootcfg.menu import FileRef
from pybootcfg.places import files, find
from pybootcfg.places.addresses import disk_offset, locate
from pybootcfg.places.kernel import contents
from pybootcfg.places.owners import owner
from pybootcfg.schema import Decoder
from pybootcfg.source import MemorySource, Overlay
from pybootcfg.structures import Structure, Structures
from pybootcfg.tracing import Field, stretch


def guest_of(folder: Path, **texts: str) -> Guest:
    for name, text in texts.items():
        (folder / name).write_text(text)
    return Guest.of_directory(str(folder), "p0")


def named(field: Field, name: str) -> Field:
    return next(child for child in field.children if child.name == name)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1 << 32, "2106-02-07T06:28:16Z"),
        (1 << 62, str(1 << 62)),
        (-1 << 62, str(-1 << 62)),
    ],
)
def test_times_that_no_calendar_has_are_numbers(seconds: int, text: str) -> None:
    assert files.utc(seconds) == text


class Broken(Node):
    """A file of which nothing can be told but its kind."""

    key = 1
    kind = Kind.FILE

    @property
    def size(self) -> int:
        raise ImageError("the inode is damaged", offset=0x400)

    def runs(self) -> Iterator[Run]:
        raise ImageError("the inode is damaged", offset=0x400)

    def entries(self) -> Iterator[tuple[bytes, Node]]:
        return iter(())

    def lookup(self, name: bytes) -> Node | None:
        del name

    def target(self) -> bytes:
        return b""


class Lying(Filesystem):
    """A file system of one node."""

    family = name = "lying"

    def __init__(self, node: Node) -> None:
        super().__init__(MemorySource(b"", "lying"), Options())
        self._node = node

    @property
    def root(self) -> Node:
        return self._node


def test_a_file_that_cannot_be_read_is_a_tree_of_errors(tmp_path: Path) -> None:
    node = Broken()
    field = files.of_node(guest_of(tmp_path), Lying(node), FileRef("/x", "p0"), node)
    assert (field.name, field.type) == ("p0:/x", "file")
    errors = [child.error for child in field.children]
    assert errors
    assert all("the inode is damaged" in error for error in errors)


class Sparse(Broken):
    """Many holes."""

    @property
    def size(self) -> int:
        return 10_000

    def runs(self) -> Iterator[Run]:
        return iter([Hole(10)] * 1000)


def test_runs_are_shown_up_to_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits.INSPECT_RUNS, "value", 7)
    node = Sparse()
    field = named(files.of_node(guest_of(tmp_path), Lying(node), FileRef("/x", "p0"), node), "runs")
    assert (len(field.children), field.error) == (7, "there are more than 7 runs")


#: fields of the setup header: offset and bytes (Documentation/arch/x86/boot.rst)
SETUP = {
    "setup_sects": (0x1F1, 1),
    "version": (0x206, 2),
    "kernel_version": (0x20E, 2),
    "payload_offset": (0x248, 4),
    "payload_length": (0x24C, 4),
}


def x86(**fields: int) -> bytes:
    """A kernel's first 4 KiB with an x86 setup header."""
    data = bytearray(4096)
    data[0x1FE:0x200] = b"\x55\xaa"
    data[0x202:0x206] = b"HdrS"
    for name, value in fields.items():
        at, size = SETUP[name]
        data[at : at + size] = value.to_bytes(size, "little")
    return bytes(data)


def test_a_version_beyond_the_end_of_the_kernel() -> None:
    """Documentation/arch/x86/boot.rst: the version string lies at kernel_version + 0x200."""
    found = contents(MemorySource(x86(version=0x20F, kernel_version=0x2000), "k"))
    version = next(field for field in found if field.name == "version")
    assert version.error == "it would begin at byte 0x2200, but the file has 4096 bytes"
    assert [field.name for field in contents(MemorySource(x86(version=0x20F), "k"))].count("version") == 0


def test_a_kernel_that_ends_in_its_header() -> None:
    found = contents(MemorySource(x86(version=0x20F)[:0x210], "k"))
    assert [field.name for field in found if field.name == "version"] == []


def test_a_kernel_says_its_version_and_what_it_is_packed_with() -> None:
    places = {"kernel_version": 0x100, "payload_offset": 0x10, "payload_length": 9}
    image = bytearray(x86(version=0x20F, setup_sects=4, **places))
    image[0x300:0x30C] = b"6.1.0 (gcc)\0"
    image[5 * 512 + 0x10 : 5 * 512 + 0x12] = b"\x1f\x8b"
    found = {field.name: field for field in contents(MemorySource(bytes(image), "k"))}
    version, payload = found["version"], found["payload"]
    assert (version.offset, version.size, version.value, version.symbol) == (
        0x300,
        12,
        b"6.1.0 (gcc)",
        "6.1.0 (gcc)",
    )
    assert (payload.offset, payload.raw, payload.symbol) == (5 * 512 + 0x10, b"\x1f\x8b", "gzip")


@pytest.mark.parametrize(
    ("data", "name", "symbol"),
    [
        (b"070701" + bytes(200), "archive", "cpio, not compressed"),
        (b"\x28\xb5\x2f\xfd", "compression", "zstd"),
    ],
)
def test_a_ramdisk_says_what_it_is_packed_with(data: bytes, name: str, symbol: str) -> None:
    (field,) = contents(MemorySource(data, "initrd"))
    assert (field.name, field.offset, field.symbol) == (name, 0, symbol)
    assert field.value == field.raw == data[: field.size]


@pytest.mark.parametrize(
    ("name", "text", "dialect"),
    [
        ("syslinux.cfg", "label a\n kernel /k\n append x", "syslinux"),
        ("menu.lst", "title a\r\nkernel /k\r\n", "grub_legacy"),
        ("lilo.conf", "image=/k\n label=a\n", "lilo"),
        ("grub.cfg", "menuentry a { linux /k; }\n", "grub2"),
    ],
)
def test_configurations_are_trees_that_end_in_words(
    tmp_path: Path, name: str, text: str, dialect: str
) -> None:
    guest = guest_of(tmp_path, **{name: text})
    fields = files.of_configuration(guest, FileRef(f"/{name}", "p0"), dialect)
    shown: list[str] = []

    def words(field: Field) -> None:
        shown.append(f"{field.value} {field.symbol}")
        for child in field.children:
            words(child)

    for field in fields:
        words(field)
    assert any("/k" in one for one in shown)
    assert any("a" in one for one in shown)


def test_deep_syntax_is_shown_up_to_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits.INSPECT_DEPTH, "value", 3)
    guest = guest_of(tmp_path, **{"grub.cfg": "if true; then if true; then if true; then true; fi; fi; fi\n"})
    found: list[str] = []

    def errors(field: Field) -> None:
        found.append(field.error or "")
        for child in field.children:
            errors(child)

    for field in files.of_configuration(guest, FileRef("/grub.cfg", "p0"), "grub2"):
        errors(field)
    assert "what is nested deeper than 3 is not shown" in found


def test_a_configuration_that_is_too_long_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the place of its tree and in that of its menu."""
    monkeypatch.setattr(limits.SYNTAX_TOKENS, "value", 50)
    guest = guest_of(tmp_path, **{"lilo.conf": "image=/k\n label=a\n" * 40})
    for field in files.of_configuration(guest, FileRef("/lilo.conf", "p0"), "lilo"):
        assert "syntax-tokens" in (field.error or ""), field.name


def test_submenus_hold_their_entries(tmp_path: Path) -> None:
    guest = guest_of(tmp_path, **{"grub.cfg": "submenu More {\n menuentry Old {\n  linux /old\n }\n}\n"})
    _, menu = files.of_configuration(guest, FileRef("/grub.cfg", "p0"), "grub2")
    (more,) = menu.children
    (old,) = (child for child in more.children if child.type == "entry")
    assert (more.type, more.symbol, old.symbol) == ("submenu", "More", "Old")


def test_a_configuration_that_is_no_file(tmp_path: Path) -> None:
    (field,) = files.of_configuration(guest_of(tmp_path), FileRef("/", "p0"), "grub2")
    assert "not a file, but a dir" in (field.error or "")


def test_words_of_modules_and_of_entries_in_another_file(tmp_path: Path) -> None:
    texts = {
        "grub.cfg": "source /more.cfg\nmenuentry Xen {\n multiboot /xen x\n module /k ro\n module /i\n}\n",
        "more.cfg": "menuentry More { linux /k; }\n",
    }
    guest = guest_of(tmp_path, **texts)
    _, menu = files.of_configuration(guest, FileRef("/grub.cfg", "p0"), "grub2")
    more, xen = menu.children
    assert named(xen, "modules").value == "p0:/k ro, p0:/i"
    assert (xen.offset, xen.size) == (17, len("menuentry Xen {\n"))
    assert (more.offset, more.size, more.raw) == (0, 0, b"")  # which lies nowhere in this file
    assert named(more, "line").value == 1


class Numerous(Structures):
    """Files that are made of many structures."""

    def of_node(self, node: Node) -> Iterator[Structure]:
        del node
        return (Structure(f"piece[{n}]", Decoder("piece", Int8ub), 0) for n in range(1000))


def test_structures_of_a_file_are_shown_up_to_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits.INSPECT_RUNS, "value", 5)
    monkeypatch.setattr(Lying, "structures", Numerous())
    node = Broken()
    field = files.of_node(guest_of(tmp_path), Lying(node), FileRef("/x", "p0"), node)
    below = named(field, "structures")
    assert ([child.name for child in below.children], below.error) == (
        [f"piece[{n}]" for n in range(5)],
        "there are more than 5 structures",
    )


def test_all_structures_of_a_volume(sample: Path) -> None:
    """Offsets are those of Documentation/filesystems/ext4 in a volume that begins at 1 MiB."""
    found = {field.name: field for field in find(Guest.open([str(sample)]), "p1")}
    assert all(name.startswith("p1.") for name in found)
    superblock = found["p1.superblock"]
    assert superblock.offset == (1 << 20) + 1024
    assert named(superblock, "s_magic").offset == (1 << 20) + 1024 + 0x38
    assert named(superblock, "s_magic").value == 0xEF53


# --- addresses of what a journal has replaced ---------------------------------------------------------


PAIR = Struct("first" / Int32ub, "second" / Int32ub)


@pytest.mark.parametrize(
    ("blocks", "offset", "first", "second"),
    [
        ({}, 16, (16, False), (20, False)),
        ({2: 40}, 16, (40, False), (44, False)),  # both from the log, side by side
        ({2: 40, 3: 80}, 20, (44, False), (80, False)),
        ({2: b"12345678"}, 16, (16, True), (20, True)),  # in memory only
    ],
)
def test_fields_lie_where_the_journal_has_them(
    blocks: dict[int, int | bytes], offset: int, first: tuple[int, bool], second: tuple[int, bool]
) -> None:
    disk = MemorySource(bytes(range(100)), "disk")
    overlay = Overlay(disk, 8, blocks)
    field = Decoder("pair", PAIR).trace(overlay, offset)
    locate(field, overlay)
    found = {child.name: (child.offset, child.decoded) for child in field.children}
    assert found == {"first": first, "second": second}
    for child in field.children:
        if not child.decoded:  # what is there is what was decoded
            assert disk.read(child.offset, 4) == overlay.read(offset + 4 * (child.name == "second"), 4)


def test_a_field_of_which_the_journal_has_a_part() -> None:
    """Its bytes lie in two places, so that none of them is its own."""
    overlay = Overlay(MemorySource(bytes(range(100)), "disk"), 8, {2: 40})
    field = Decoder("pair", PAIR).trace(overlay, 12)
    locate(field, overlay)
    first, second = field.children
    assert (first.offset, first.decoded, second.offset, second.decoded) == (12, False, 40, False)
    assert (field.offset, field.decoded) == (12, True)
    field = Decoder("pair", PAIR).trace(overlay, 14)
    locate(field, overlay)
    first, second = field.children
    assert (first.offset, first.decoded, second.offset, second.decoded) == (14, True, 42, False)


# --- owners -------------------------------------------------------------------------------------------


def test_a_file_system_may_tell_of_no_structures() -> None:
    silent = Structures()
    assert [*silent.listed(), *silent.every(), *silent.below("inode"), *silent.of_node(None)] == []
    assert list(silent.of_member("p1")) == []
    assert (silent.find("inode[2]"), silent.owner(0), silent.room("inode[2]")) == (None, "", 0)


def test_the_record_of_a_file_in_its_directory_owns_its_bytes() -> None:
    """On ISO 9660 no other structure makes a file; where the record lies is told by the file alone."""
    packed = Path(__file__).parent / "corpus/iso/genisoimage-rr.iso.xz"
    guest = Guest.of_sources([MemorySource(lzma.decompress(packed.read_bytes()), "disc")])
    filesystem = guest.listed[0].filesystem
    name, node = next(pair for pair in filesystem.root.entries() if pair[1].kind is Kind.DIRECTORY)
    name, node = next(pair for pair in node.entries() if pair[1].kind is Kind.FILE)
    record = next(one for one in filesystem.structures.of_node(node) if "record" in one.decoder.name)
    found = owner(guest, record.offset + 2)  # the location of the extent, in little-endian order
    assert found.structure is not None
    assert (found.structure.offset, found.file) == (record.offset, None)
    assert [field.offset for field in found.fields][:1] == [record.offset + 2], name


def test_a_table_owns_its_bytes(sample: Path) -> None:
    found = owner(Guest.open([str(sample)]), 0x1BE + 4)  # the type of the first partition
    assert found.structure is not None
    assert (found.structure.name, found.structure.offset, found.file) == ("mbr", 0, None)
    assert found.fields[-1].offset == 0x1BE + 4


def test_the_field_of_a_structure_owns_its_bytes(sample: Path) -> None:
    found = owner(Guest.open([str(sample)]), (1 << 20) + 1024 + 0x38)
    assert found.structure is not None
    assert (found.structure.name, found.fields[-1].name) == ("p1.superblock", "s_magic")


def test_a_volume_of_an_unknown_kind_owns_its_bytes() -> None:
    """A table with one partition that holds zeros."""
    table = bytearray(1 << 20)
    table[0x1BE:0x1CE] = bytes([0, 0, 2, 0, 0x83, 0, 0, 0]) + struct.pack("<II", 64, 1024)
    table[0x1FE:0x200] = b"\x55\xaa"
    guest = Guest.of_sources([MemorySource(bytes(table), "disk")])
    found = owner(guest, 64 * 512 + 5)
    assert found.volume is not None
    assert (found.volume.name, found.structure, found.file, found.notes) == ("p1", None, None, ())


def test_nothing_owns_what_is_free(sample: Path) -> None:
    guest = Guest.open([str(sample)])
    volume = guest.listed[0].volume
    found = owner(guest, volume.start + volume.size - 1)
    assert found == (guest.listed[0], None, (), None, ())


# --- owners on a damaged file system ------------------------------------------------------------------


def test_an_owner_that_takes_too_long_to_find_is_looked_for_among_the_files(
    sample: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guest = Guest.open([str(sample)])
    kernel = next(run for run in guest.node(FileRef("/boot/vmlinuz", "p1")).runs() if isinstance(run, Extent))
    place = disk_offset(kernel.source, kernel.offset)
    assert place is not None
    monkeypatch.setattr(limits.INSPECT_STRUCTURES, "value", 1)
    found = owner(guest, place + 5)
    assert found.file is not None
    assert found.file.path.startswith("/boot/vmlinuz")
    assert found.file.offset == 5
    assert any("inspect-structures" in note for note in found.notes)


def test_an_owner_is_found_among_what_is_listed(sample: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    guest = Guest.open([str(sample)])
    monkeypatch.setattr(type(guest.listed[0].filesystem.structures), "owner", lambda *_: "")
    found = owner(guest, (1 << 20) + 1024 + 0x38)
    assert found.structure is not None
    assert (found.structure.name, [field.name for field in found.fields]) == ("p1.superblock", ["s_magic"])


def test_an_owner_among_too_many_files(sample: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    guest = Guest.open([str(sample)])
    monkeypatch.setattr(limits.INSPECT_FILES, "value", 1)
    found = owner(guest, guest.listed[0].volume.start + guest.listed[0].volume.size - 1)
    assert (found.structure, found.file) == (None, None)
    assert any("inspect-files" in note for note in found.notes)


def test_bytes_that_end_with_the_disk_say_how_many_are_left() -> None:
    field = stretch("bitmap", MemorySource(bytes(10), "disk"), 6, 8, bits=8)
    assert (field.offset, field.size, field.raw, field.error) == (6, 4, bytes(4), "only 4 bytes left")


def test_a_field_that_is_not_there(sample: Path) -> None:
    guest = Guest.open([str(sample)])
    assert len(list(find(guest, "p1.superblock"))) == 1
    with pytest.raises(Exception, match="nothing"):
        list(find(guest, "p1.superblock.nothing"))


def test_a_field_has_the_name_of_its_place(sample: Path) -> None:
    (field,) = find(Guest.open([str(sample)]), "p1.superblock.s_magic")
    assert (field.name, field.offset, field.value) == ("p1.superblock.s_magic", (1 << 20) + 1080, 0xEF53)


def test_slices_are_several_places(sample: Path) -> None:
    guest = Guest.open([str(sample)])
    assert [field.name for field in find(guest, "p1.inode[2:5]")] == [f"p1.inode[{n}]" for n in (2, 3, 4)]
    packed = Path(__file__).parent / "corpus/fat/fat16.img.xz"
    floppy = Guest.of_sources([MemorySource(lzma.decompress(packed.read_bytes()), "floppy")])
    names = [field.name for field in find(floppy, "p0.fat[2:4]")]
    assert names == ["p0.fat[0].entries[2]", "p0.fat[0].entries[3]"]
