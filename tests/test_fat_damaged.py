"""Damaged FAT volumes, by the name of their fault: a clear error or the right file, in bounded time."""

from __future__ import annotations

import contextlib
import hashlib
import random
import struct
from collections.abc import Callable, Iterator

import pytest
from clock import seconds_used
from fat_image import Disk, carried, contents, entry, listing, manifest, open_bytes

from pybootcfg.errors import BootcfgError, ImageError, LimitExceeded, UnsupportedFeature
from pybootcfg.filesystems import open_filesystem
from pybootcfg.filesystems.base import Filesystem, Options, Run
from pybootcfg.filesystems.fat import Fat
from pybootcfg.filesystems.fat.directory import label_text
from pybootcfg.kind import Kind
from pybootcfg.source import MemorySource

KERNEL = "/vmlinuz-6.1.0-test"
SHORT = b"VMLINU~10-T"
NAMES = ("fat16", "fat32")


@pytest.fixture(autouse=True)
def bounded_time() -> Iterator[None]:
    started = seconds_used()
    yield
    assert seconds_used() - started < 5


def kernel(filesystem: Filesystem) -> bytes:
    return contents(filesystem.walk(KERNEL.encode()))


def is_right(name: str, data: bytes) -> bool:
    return [len(data), hashlib.sha256(data).hexdigest()] == manifest(name)["files"][KERNEL]


def warned(filesystem: Filesystem, *words: str) -> bool:
    return any(all(word in warning for word in words) for warning in filesystem.warnings)


# --- chains --------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("back_to", [0, 5, -1])
def test_cycle(name: str, back_to: int) -> None:
    disk = Disk(carried(name))
    chain = disk.chain(disk.first(SHORT))
    disk.set(chain[-1], chain[back_to])
    with pytest.raises(ImageError, match="leads back into itself"):
        kernel(open_bytes(disk.image))


@pytest.mark.parametrize("name", NAMES)
def test_cycle_within_the_file(name: str) -> None:
    disk = Disk(carried(name))
    chain = disk.chain(disk.first(SHORT))
    disk.set(chain[4], chain[2])
    with pytest.raises(ImageError, match="leads back into itself"):
        kernel(open_bytes(disk.image))


@pytest.mark.parametrize("name", NAMES)
def test_cross_link_in_the_middle(name: str) -> None:
    disk = Disk(carried(name))
    chain, other = disk.chain(disk.first(SHORT)), disk.chain(disk.first(b"SIZE-1~2   "))
    disk.set(other[1], chain[3])  # size-1025 goes on into the kernel
    filesystem = open_bytes(disk.image)
    found = dict(listing(filesystem.root))
    assert found[KERNEL] == manifest(name)["files"][KERNEL]
    assert warned(filesystem, "size-1025", "longer than the file")
    assert warned(filesystem, "cross-linked")


@pytest.mark.parametrize("name", NAMES)
def test_cross_link_at_the_start(name: str) -> None:
    disk = Disk(carried(name))
    place = disk.slot(b"SIZE-1~2   ")
    disk.poke(place + 26, "<H", disk.first(SHORT) & 0xFFFF)
    filesystem = open_bytes(disk.image)
    dict(listing(filesystem.root))
    assert warned(filesystem, "cross-linked")


def held(runs: Iterator[Run]) -> Iterator[Run]:
    """Yield the runs before the error."""
    with contextlib.suppress(ImageError):
        yield from runs


@pytest.mark.parametrize("name", NAMES)
def test_chain_too_short(name: str) -> None:
    disk = Disk(carried(name))
    chain = disk.chain(disk.first(SHORT))
    disk.set(chain[9], 0x0FFFFFFF & (1 << disk.bits) - 1)
    node = open_bytes(disk.image).walk(KERNEL.encode())
    assert sum(run.length for run in held(node.runs())) == 10 * 512  # what there is comes first
    with pytest.raises(
        ImageError, match="20011 bytes long, but its chain of clusters ends 14891 bytes earlier"
    ):
        contents(node)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0, "a free cluster"),
        (1, "cluster 1, which"),
        (0xFFF0, "which does not exist"),
        (0x0FFFFFF7, "marked bad"),
    ],
)
def test_bad_link(name: str, value: int, words: str) -> None:
    disk = Disk(carried(name))
    value = value & 0xFFFF if disk.bits == 16 else {0xFFF0: 0x0FFFFFF0}.get(value, value)
    chain = disk.chain(disk.first(SHORT))
    disk.set(chain[7], value)
    with pytest.raises(ImageError, match=words) as caught:
        kernel(open_bytes(disk.image))
    assert caught.value.offset == disk.fat + chain[7] * disk.bits // 8
    disk.set(chain[7], chain[8])
    disk.set(chain[-1], value)  # behind the file's last byte: nobody needs it
    filesystem = open_bytes(disk.image)
    assert is_right(name, kernel(filesystem))
    assert warned(filesystem, "does not end properly", words)


@pytest.mark.parametrize("name", NAMES)
def test_the_last_cluster_is_followed_by_one_that_does_not_exist(name: str) -> None:
    disk = Disk(carried(name))
    chain = disk.chain(disk.first(SHORT))
    small, large = struct.unpack_from("<H11xI", disk.image, 19)
    last = ((small or large) * disk.sector - disk.heap) // disk.cluster_size + 1
    disk.set(chain[2], last)
    disk.set(last, last + 1)
    with pytest.raises(ImageError, match="chain of clusters is broken") as error:
        kernel(open_bytes(disk.image))
    assert error.value.offset == disk.fat + last * disk.bits // 8


@pytest.mark.parametrize("name", NAMES)
def test_first_cluster_out_of_range(name: str) -> None:
    for cluster in (1, 0xFFEF):
        disk = Disk(carried(name))
        place = disk.slot(SHORT)
        disk.poke(place + 26, "<H", cluster)
        disk.poke(place + 20, "<H", 0xFFFF if cluster > 1 else 0)
        with pytest.raises(ImageError, match="does not exist"):
            kernel(open_bytes(disk.image))


@pytest.mark.parametrize("name", ["fat12", *NAMES])
def test_size_of_all_ones(name: str) -> None:
    disk = Disk(carried(name))
    disk.poke(disk.slot(SHORT) + 28, "<I", 0xFFFFFFFF)
    with pytest.raises(ImageError, match="4294967295 bytes long, but its chain"):
        for _ in open_bytes(disk.image).walk(KERNEL.encode()).runs():
            pass


@pytest.mark.parametrize("name", NAMES)
def test_size_without_a_cluster(name: str) -> None:
    disk = Disk(carried(name))
    disk.poke(disk.slot(b"EMPTY      ") + 28, "<I", 5)
    with pytest.raises(ImageError, match="ends 5 bytes earlier"):
        contents(open_bytes(disk.image).walk(b"/empty"))


# --- copies of the FAT ---------------------------------------------------------------------------
FILLS: dict[str, Callable[[int], bytes]] = {
    "zeros": bytes,
    "ones": lambda count: b"\xff" * count,
    "noise": lambda count: random.Random(2).randbytes(count),  # noqa: S311
}


@pytest.mark.parametrize("name", ["fat12", "fat32"])
@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("part", ["all", "second sector"])
def test_bad_copy_of_the_fat(name: str, fill: str, part: str) -> None:
    disk = Disk(carried(name))
    start, length = (disk.fat, disk.fat_size) if part == "all" else (disk.fat + disk.sector, disk.sector)
    if part != "all" and name == "fat12":
        pytest.skip("its FAT has two sectors")
    disk.image[start : start + length] = FILLS[fill](length)
    filesystem = open_bytes(disk.image)
    assert dict(listing(filesystem.root)) == manifest(name)["files"]
    assert warned(filesystem, "the FAT is damaged", "copy 2 is used")


@pytest.mark.parametrize("fill", FILLS)
def test_bad_second_copy_of_the_fat(fill: str) -> None:
    disk = Disk(carried("fat32"))
    start = disk.fat + disk.fat_size
    disk.image[start : start + disk.fat_size] = FILLS[fill](disk.fat_size)
    filesystem = open_bytes(disk.image)
    assert dict(listing(filesystem.root)) == manifest("fat32")["files"]
    assert warned(filesystem, "the copies of the FAT differ", "copy 1 is used")


def test_one_bad_entry_in_the_first_copy() -> None:
    for value in (0, 1, 0x0FFFFFF7, 0x0FFFFFFF, 0x00FFFFFF):
        disk = Disk(carried("fat32"))
        chain = disk.chain(disk.first(SHORT))
        disk.set(chain[5], value, 0)
        filesystem = open_bytes(disk.image)
        assert is_right("fat32", kernel(filesystem)), hex(value)
        assert warned(filesystem, "FAT"), hex(value)


def test_active_fat_without_mirroring() -> None:
    disk = Disk(carried("fat32"))
    disk.image[disk.fat : disk.fat + disk.fat_size] = b"\xff" * disk.fat_size
    disk.poke(40, "<H", 0x0081)
    filesystem = open_bytes(disk.image)
    assert dict(listing(filesystem.root)) == manifest("fat32")["files"]
    assert filesystem.warnings == []
    disk.poke(40, "<H", 0x0087)
    assert warned(open_bytes(disk.image), "active FAT should be number 7")


def test_reserved_bits_of_fat32_entries_do_not_count() -> None:
    disk = Disk(carried("fat32"))
    for cluster in disk.chain(disk.first(SHORT)):
        disk.set(cluster, disk.get(cluster) | 0xA0000000)
    filesystem = open_bytes(disk.image)
    assert is_right("fat32", kernel(filesystem))
    assert len(list(filesystem.walk(KERNEL.encode()).runs())) < 25
    assert filesystem.warnings == []


# --- boot sector ---------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("place", "code", "value", "words"),
    [
        (13, "<B", 0, "clusters of 0 sectors"),
        (13, "<B", 3, "clusters of 3 sectors"),
        (11, "<H", 0, "sectors of 0 bytes"),
        (11, "<H", 3, "sectors of 3 bytes"),
        (11, "<H", 65535, "sectors of 65535 bytes"),
        (14, "<H", 0, "no reserved sectors"),
        (16, "<B", 0, "no FAT"),
        (17, "<H", 0, "no room for a root directory"),
        (17, "<H", 65535, None),
        (19, "<H", 5, "it has 5 sectors"),
        (22, "<H", 65535, "come before the data"),
    ],
)
def test_bios_parameter_block(place: int, code: str, value: int, words: str | None) -> None:
    disk = Disk(carried("fat16"))
    disk.poke(place, code, value)
    if words:
        with pytest.raises(ImageError, match=words) as caught:
            open_bytes(disk.image)
        assert caught.value.structure == "boot_sector"
    else:
        outcome(disk.image)


def test_media_byte() -> None:
    disk = Disk(carried("fat16"))
    disk.image[21] = 0x55
    filesystem = open_bytes(disk.image)
    assert is_right("fat16", kernel(filesystem))
    assert warned(filesystem, "media byte, 0x55")
    disk.image[54:62] = bytes(8)  # nothing left that says FAT: Linux and blkid want the media byte
    with pytest.raises(ImageError, match="media byte 0x55"):
        Fat(MemorySource(bytes(disk.image), "image"), Options())


@pytest.mark.parametrize("damage", ["zeros", "ones", "noise", "one field"])
def test_backup_boot_sector(damage: str) -> None:
    image = bytearray(carried("fat32"))
    if damage == "one field":
        image[13] = 0
    else:
        image[:512] = FILLS[damage](512)
    filesystem = open_bytes(image)
    assert dict(listing(filesystem.root)) == manifest("fat32")["files"]
    assert warned(filesystem, "its backup at byte 0xc00 is used")
    assert filesystem.uuid == "3232-CAFE"


@pytest.mark.parametrize("magic", [b"LUKS\xba\xbe", b"XFSB"])
def test_backup_does_not_overrule_another_format(magic: bytes) -> None:
    image = bytearray(carried("fat32"))
    image[:512] = magic.ljust(512, b"\x5a")
    try:
        filesystem = open_filesystem(MemorySource(bytes(image), "image"), Options())
    except (ImageError, UnsupportedFeature):
        return
    assert filesystem is None or filesystem.family != "fat"


def test_backup_does_not_overrule_a_partition_table() -> None:
    image = bytearray(carried("fat32"))
    image[:510] = random.Random(4).randbytes(510)  # noqa: S311
    assert open_filesystem(MemorySource(bytes(image), "image"), Options()) is None


def test_fsinfo_without_signature() -> None:
    image = bytearray(carried("fat32"))
    image[512:516] = b"none"
    filesystem = open_bytes(image)
    assert is_right("fat32", kernel(filesystem))
    assert warned(filesystem, "FSInfo")


# --- directories ---------------------------------------------------------------------------------
def test_root_directory_beyond_the_device() -> None:
    disk = Disk(carried("fat32"))
    disk.poke(44, "<I", 0x0FFFFFF0)
    with pytest.raises(ImageError, match="does not exist"):
        list(open_bytes(disk.image).root.entries())
    short = carried("fat16")[: 512 * 20]
    filesystem = open_bytes(short)
    with pytest.raises(ImageError, match="the end is at byte"):
        list(filesystem.root.entries())
    assert filesystem.label == ""


@pytest.mark.parametrize("name", NAMES)
def test_truncated_image(name: str) -> None:
    disk = Disk(carried(name))
    filesystem = open_bytes(disk.image[: disk.cluster(disk.first(SHORT)) + 1000])
    assert warned(filesystem, "bytes are there") or warned(filesystem, "are there")
    with pytest.raises(ImageError, match="the end is at byte"):
        kernel(filesystem)


@pytest.mark.parametrize("name", NAMES)
def test_directory_that_goes_on_in_itself(name: str) -> None:
    disk = Disk(carried(name))
    first = disk.first(b"MANY       ")
    disk.set(first, first)
    node = open_bytes(disk.image).walk(b"/many")
    with pytest.raises(ImageError, match="leads back into itself"):
        list(node.entries())


@pytest.mark.parametrize("name", NAMES)
def test_directory_within_itself(name: str) -> None:
    disk = Disk(carried(name))
    first = disk.first(b"BOOT       ")
    place = disk.cluster(first) + 64
    disk.image[place : place + 32] = entry(b"GRUB       ", 0x10, first=first)
    filesystem = open_bytes(disk.image)
    outer, inner = filesystem.walk(b"/boot"), filesystem.walk(b"/boot/grub/grub/grub")
    assert outer.key == inner.key  # by which whoever lists recursively finds the loop


def test_directory_without_a_cluster() -> None:
    disk = Disk(carried("fat16"))
    disk.poke(disk.slot(b"MANY       ") + 26, "<H", 0)
    with pytest.raises(ImageError, match="directory many has no cluster"):
        list(open_bytes(disk.image).walk(b"/many").entries())


def test_directory_of_more_than_65536_entries() -> None:
    disk = Disk(carried("fat32"))
    chain = range(1000, 1000 + 5000)
    disk.poke(44, "<I", chain[0])
    for cluster in chain:
        disk.set(cluster, cluster + 1 if cluster != chain[-1] else 0x0FFFFFFF)
        start = disk.cluster(cluster)
        disk.image[start : start + 512] = entry(b"\xe5ELETED    ") * 16
    with pytest.raises(LimitExceeded, match="fat-directory-size"):
        list(open_bytes(disk.image).root.entries())


# --- anything else -------------------------------------------------------------------------------
def outcome(image: bytes | bytearray) -> None:
    """Read everything; only BootcfgError may come of it."""
    try:
        filesystem = open_filesystem(MemorySource(bytes(image), "image"), Options())
        if filesystem is None:
            return
        _ = filesystem.label, filesystem.uuid, list(filesystem.structures.listed())
        budget = 2000
        todo = [filesystem.root]
        seen = set()
        while todo and budget:
            node = todo.pop()
            for _, child in node.entries():
                budget -= 1
                if child.kind == "dir" and child.key not in seen:
                    seen.add(child.key)
                    todo.append(child)
                elif child.kind == "file" and child.size < 1 << 22:
                    contents(child)
    except BootcfgError:
        pass


def test_noise_in_the_metadata() -> None:
    chance = random.Random(7)  # noqa: S311
    original = carried("fat12")
    for _ in range(150):
        image = bytearray(original)
        for _ in range(chance.randrange(1, 30)):
            image[chance.randrange(12288)] = chance.choice((0, 1, 0xFF, 0xF7, 0x7F, chance.randrange(256)))
        outcome(image)


# --- what only FAT32 has -------------------------------------------------------------------------


def test_a_version_that_is_not_known() -> None:
    disk = Disk(carried("fat32"))
    disk.image[42:44] = b"\x02\x01"
    filesystem = open_bytes(disk.image)
    assert warned(filesystem, "the FAT32 version 1.2 is not known")
    assert is_right("fat32", kernel(filesystem))


@pytest.mark.parametrize("sector", [0, 0xFFFF])
def test_there_need_be_no_fsinfo(sector: int) -> None:
    disk = Disk(carried("fat32"))
    disk.image[48:50] = sector.to_bytes(2, "little")
    filesystem = open_bytes(disk.image)
    assert not warned(filesystem, "FSInfo")
    assert is_right("fat32", kernel(filesystem))


def test_a_fat_without_sectors() -> None:
    disk = Disk(carried("fat32"))
    for start in (0, 6 * disk.sector):  # and its backup
        disk.image[start + 36 : start + 40] = bytes(4)
    with pytest.raises(ImageError, match="its FAT has no sectors"):
        open_bytes(disk.image)


def test_a_label_that_begins_as_deleted_entries_do() -> None:
    """0x05 stands for 0xE5 there, which is a letter in Shift-JIS."""
    assert label_text(b"\x05BCDEFGHIJK") == label_text(b"\xe5BCDEFGHIJK") != label_text(b"ABCDEFGHIJK")


def test_a_directory_that_became_shorter_since_it_was_listed() -> None:
    """A disk may change under the reader: an entry that is gone with its cluster has no place any more."""
    disk = Disk(carried("fat32"))
    first = struct.unpack_from("<I", disk.image, 44)[0]
    second = next(number for number in range(first + 1, 60000) if not disk.get(number))
    disk.set(first, second)
    disk.set(second, 0x0FFFFFFF)
    root = disk.cluster(first)
    for place in range(root, root + disk.cluster_size, 32):
        if not disk.image[place]:
            disk.image[place] = 0xE5  # deleted: the directory goes on
    start = disk.cluster(second)
    disk.image[start : start + 32] = entry(b"LATER      ")
    source = MemorySource(bytes(disk.image), "image")
    filesystem = open_filesystem(source, Options())
    assert filesystem
    node = filesystem.walk(b"/later")
    (shown,) = filesystem.structures.of_node(node)
    assert shown.offset == start
    disk.set(first, 0x0FFFFFFF)
    source.data = bytes(disk.image)
    filesystem.table._window.cache_clear()  # type: ignore[attr-defined]  # as a large FAT makes it happen
    assert list(filesystem.structures.of_node(node)) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_directory_hides_no_other_from_inspect(name: str) -> None:
    disk = Disk(carried(name))
    found = open_bytes(disk.image).nodes()
    first, *others = [
        node.key for path, node in found if node.kind is Kind.DIRECTORY and path.count(b"/") == 2
    ]
    disk.set(first, first)  # it leads back into itself
    for place in range(disk.cluster(first), disk.cluster(first) + disk.cluster_size, 32):
        if not disk.image[place]:
            disk.image[place] = 0xE5  # deleted, and not the end
    names = {structure.name for structure in open_bytes(disk.image).structures.every()}
    assert f"directory[{first}].fault" in names
    for other in others:
        assert f"directory[{other}].entry[0]" in names
