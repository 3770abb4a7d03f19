"""Images by the structures that are on them, for the tests of inspect: carried ones, and built ones."""

from __future__ import annotations

import functools
import operator
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ext_image
import test_ext_journal as ext_journal
import test_iso9660_built as iso_built
import test_ufs_variants as ufs_variants
import test_volumes_hostile as volumes
import ufs_image
from iso9660_image import SECTOR, Disc, both32, entry, nm, px, raw
from zfs_big_endian import BigEndian
from zfs_image import disks, pool

from faults.images import unpack_file
from pybootcfg import places
from pybootcfg.guest import Guest

CORPUS = Path(__file__).parent / "corpus"
#: of images of several disks the first: the others are found by its name
NAMES = sorted(
    str(file.relative_to(CORPUS).with_suffix(""))
    for file in CORPUS.glob("*/*.xz")
    if file.with_suffix("").suffix in (".img", ".iso") and ".d" not in file.name.replace(".d0", "")
)


def unpacked(name: str, folder: Path) -> list[Path]:
    """Unpack an image that the project carries; return its disks."""
    found = []
    others = name.replace(".d0", ".d*") if ".d0" in name else name
    for file in sorted(CORPUS.glob(f"{others}.xz")):
        target = folder / file.with_suffix("").name
        unpack_file(file, target)
        found.append(target)
    return found


def opened(*images: Path) -> Guest:
    """Open disks as a guest."""
    return Guest.open([str(image) for image in images])


def structures(*images: Path) -> Iterator[places.PlacedStructure]:
    """Yield all structures that `inspect --all` shows."""
    return places.structures(opened(*images))


# --- images for structures that none of the carried ones has ---------------------------------------


def _ext_attributes(folder: Path) -> Path:
    """Inodes of 128 bytes, so that attributes take a block."""
    (folder / "t").mkdir()
    (folder / "t" / "file").write_text("text")
    image = ext_image.mke2fs(folder / "i", "-t", "ext4", "-I", "128", tree=folder / "t", size="4M")
    ext_image.debugfs(image, "ea_set /file user.colour blue", write=True)
    return image


def _ext_journal(options: str) -> Callable[[Path], Path]:
    return lambda folder: ext_journal.make(folder, options).path


def _fast_commits(folder: Path) -> Path:
    fast = ext_journal.FastCommitted(folder)
    number = fast.number("/one")
    tags = [
        ext_journal.tagged(1, struct.pack("<IIHHI", number, 0, 1, 0, fast.blocks("/two")[0])),
        ext_journal.tagged(2, struct.pack("<III", number, 1, 2)),
        ext_journal.tagged(4, struct.pack("<II", 2, number) + b"another"),
        ext_journal.tagged(6, struct.pack("<I", number) + fast.inode("/one")),
    ]
    image = folder / "fast"
    image.write_bytes(ext_journal.commit(fast, *tags))
    return image


def _deleted_exfat(folder: Path) -> Path:
    """The root directory has a vendor's entry, which no schema knows."""
    (image,) = unpacked("fat/exfat.img", folder)
    filesystem = opened(image).listed[0].filesystem
    place = filesystem.structures.find("root[6]")
    assert place
    data = bytearray(image.read_bytes())
    data[place.offset] = 0xA0
    image.write_bytes(data)
    return image


def _disc() -> Disc:
    disc = Disc()
    disc.place(bytes(9 * SECTOR))
    pn = entry(b"PN", both32(8) + both32(1))
    disc.add(b"sda1", use=px(0o60600) + pn + nm(b"sda1"))
    return disc


def _discs_descriptors(folder: Path) -> Path:
    disc = _disc()
    disc.descriptors.append(b"\3CD001\1".ljust(SECTOR, b"\0"))  # a volume partition descriptor
    (folder / "iso").write_bytes(disc.image())
    return folder / "iso"


def _disc_of_another_system(folder: Path) -> Path:
    disc = _disc()
    disc.descriptors.append((b"\0CD001\1" + b"ANOTHER SYSTEM".ljust(64)).ljust(SECTOR, b"\0"))
    (folder / "iso").write_bytes(disc.image())
    return folder / "iso"


def _el_torito(folder: Path) -> Path:
    disc = _disc()
    catalog = [
        iso_built.VALIDATION,
        iso_built.boot_entry(0, 4, 25),
        struct.pack("<BBH28x", 0x91, 0, 1),
        iso_built.boot_entry(0x20, 8, 27, 0),
        struct.pack("<BB30x", 0x44, 0),
    ]
    iso_built.el_torito(disc, catalog)
    (folder / "iso").write_bytes(disc.image())
    return folder / "iso"


def _raw_disc(folder: Path) -> Path:
    (folder / "iso").write_bytes(raw(bytes(_disc().image()), 2, 2352))
    return folder / "iso"


def _solaris(folder: Path) -> Path:
    image = ufs_image.carried("ufs1-be", folder)
    ufs_variants.age_directories(image)
    ufs_variants.make_solaris(image, clean=1)
    return image.write()


def _netbsd(folder: Path) -> Path:
    image = ufs_image.carried("ufs2-le", folder)
    image.set_field(1372, 0x19012038)
    image.set_field(1312, 0x100)
    image.data[8192 + 864 : 8192 + 866] = b"\x01\x02"
    return image.write()


def _ufs_attributes(folder: Path) -> Path:
    image = ufs_image.carried("ufs2-be", folder)
    image.attributes(2, (1, b"colour", b"blue"), (2, b"posix1e.acl_access", bytes(range(20))))
    return image.write()


def _disk(folder: Path, *pieces: tuple[int, bytes]) -> Path:
    image = folder / "disk"
    with image.open("wb") as stream:
        stream.truncate(8 << 20)
        for offset, data in pieces:
            stream.seek(offset)
            stream.write(data)
    return image


def _x86_vtoc(folder: Path) -> Path:
    table = volumes.record({**volumes.SLICE, "os_type": 0xBF})
    return _disk(folder, (0, table), (2049 * 512, volumes.x86_label((2, 200, 1000))))


def _openbsd(folder: Path) -> Path:
    label = bytearray(volumes.label((2064, 100, 7)))
    label[114] = 1  # d_version: offsets and sizes of 48 bits
    label[136:138] = bytes(2)
    label[136:138] = bytes(functools.reduce(operator.xor, label[start::2]) for start in (0, 1))
    table = volumes.record({**volumes.SLICE, "os_type": 0xA6})
    return _disk(folder, (0, table), (2049 * 512, bytes(label)))


def _big_endian_pool(folder: Path) -> Path:
    source = BigEndian(pool(*disks("datasets-v15"))).disk()
    with (folder / "pool").open("wb") as stream:
        for start in range(0, source.size, 1 << 20):
            stream.write(source.read(start, min(1 << 20, source.size - start)))
    return folder / "pool"


BUILT: dict[str, Callable[[Path], Path]] = {
    "ext-attributes": _ext_attributes,
    "ext-journal-32": _ext_journal("-t ext3 -b 2048"),
    "ext-journal-64": _ext_journal("-t ext4 -b 1024"),
    "ext-fast-commits": _fast_commits,
    "exfat-vendor": _deleted_exfat,
    "iso-descriptors": _discs_descriptors,
    "iso-other-system": _disc_of_another_system,
    "iso-el-torito": _el_torito,
    "iso-raw-sectors": _raw_disc,
    "ufs-solaris": _solaris,
    "ufs-netbsd": _netbsd,
    "ufs-attributes": _ufs_attributes,
    "disk-x86-vtoc": _x86_vtoc,
    "disk-openbsd": _openbsd,
    "zfs-big-endian": _big_endian_pool,
}


def leaves(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the nodes of a document that have no children."""
    for child in node["children"]:
        yield from leaves(child)
    if not node["children"]:
        yield node
