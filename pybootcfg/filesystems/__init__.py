"""The registry of file systems, and `open_filesystem`, which finds the one that a source holds.

A row names the module that is imported when one of its magics is there.  The reader itself judges:
a magic only says that asking is worth it.  The order matters where two can match, strongest first.
"""

from __future__ import annotations

from pybootcfg.bytecode import import_module
from pybootcfg.errors import BootcfgError, ImageError, UnsupportedFeature
from pybootcfg.filesystems.base import Filesystem, Node, Options
from pybootcfg.source import MemorySource, Source
from pybootcfg.values import NamedTuple

Magic = tuple[int, bytes]  #: byte offset, bytes there; a negative one counts from the end (END_UNIT)

#: the end of a source that negative offsets count from is rounded down to a multiple of this
END_UNIT = 262144


class Family(NamedTuple):
    """One row: `pybootcfg.filesystems.MODULE` has the reader class READER."""

    module: str
    reader: str
    magics: tuple[Magic, ...]
    weak: bool = False  #: the magics are so common that the reader's refusal means nothing


FAMILIES = (
    Family("ext", "Ext", ((0x438, b"\x53\xef"),)),
    Family("iso9660", "Iso9660", ((32769, b"CD001"), (0, b"\0" + b"\xff" * 10 + b"\0"))),  # or raw sectors
    Family(
        "reiserfs",
        "Reiserfs",
        tuple(
            (place + 52, magic)
            for place in (64 << 10, 8 << 10)
            for magic in (b"ReIsErFs", b"ReIsEr2Fs", b"ReIsEr3Fs")
        ),
    ),
    Family(
        "ufs",
        "Ufs",
        tuple(
            (place + 1372, bytes.fromhex(magic)[::order])
            for place in (65536, 8192, 0, 262144)
            for magic in (
                *("00011954", "19540119", "19012038", "00decade"),
                *("19960408", "00095014", "00612195", "00195612", "05231994"),  # which it refuses by name
            )
            for order in (1, -1)
        ),
    ),
    Family("exfat", "Exfat", ((3, b"EXFAT   "),)),
    Family(  # the nvlists of the two labels in front: XDR, from a host of either byte order
        "zfs",
        "Zfs",
        tuple(
            (label + 16384, b"\x01" + order + bytes(9) + b"\x01")
            for label in (0, END_UNIT)
            for order in (b"\x01", b"\0")
        ),
    ),
    # Last, since what other file systems leave of the first sector may still say so.
    Family("fat", "Fat", ((54, b"FAT"), (82, b"FAT32"))),
)

#: what cannot be read, so that it is refused by name: (name, magics, why)
FOREIGN = (
    ("luks", ((0, b"LUKS\xba\xbe"),), "it is encrypted with LUKS and cannot be read"),
    ("bitlocker", ((3, b"-FVE-FS-"),), "it is encrypted with BitLocker and cannot be read"),
    ("ntfs", ((3, b"NTFS    "),), "NTFS is not supported"),
    ("xfs", ((0, b"XFSB"),), "XFS is not supported"),
    ("btrfs", ((0x10040, b"_BHRfS_M"),), "Btrfs is not supported"),
    ("f2fs", ((0x400, b"\x10\x20\xf5\xf2"),), "F2FS is not supported"),
    ("squashfs", ((0, b"hsqs"),), "squashfs is not supported"),
    ("erofs", ((0x400, b"\xe2\xe1\xf5\xe0"),), "EROFS is not supported"),
    ("bcachefs", ((0x1018, bytes.fromhex("c68573f66ce90ba8")),), "bcachefs is not supported"),
    ("lvm2", ((0x218, b"LVM2 001"), (0x18, b"LVM2 001")), "LVM physical volumes are not supported"),
    ("md", ((4096, b"\xfc\x4e\x2b\xa9"), (0, b"\xfc\x4e\x2b\xa9")), "Linux software RAID is not supported"),
    ("swap", ((4086, b"SWAPSPACE2"), (4086, b"SWAP-SPACE"), (65526, b"SWAPSPACE2")), "it is swap space"),
    ("udf", ((32769, b"BEA01"),), "UDF without ISO 9660 is not supported"),
    ("high-sierra", ((32777, b"CDROM"),), "High Sierra, the forerunner of ISO 9660, is not supported"),
    ("jfs", ((0x8000, b"JFS1"),), "JFS is not supported"),
    ("reiser4", ((0x10000, b"ReIsEr4\0"),), "reiser4 is not supported"),
)

_CONVERT = "which is not read yet: `qemu-img convert -O raw` makes a raw image of it"

#: images that are no raw disk: (name, magics, why)
CONTAINERS = (
    ("qcow2", ((0, b"QFI\xfb"),), f"it is a qcow2 image, {_CONVERT}"),
    ("vhdx", ((0, b"vhdxfile"),), f"it is a VHDX image, {_CONVERT}"),
    ("vhd", ((0, b"conectix"),), f"it is a dynamic VHD image, {_CONVERT}"),
    ("vmdk", ((0, b"KDMV"), (0, b"COWD"), (0, b"# Disk DescriptorFile")), f"it is a VMDK image, {_CONVERT}"),
    ("vdi", ((0x40, b"\x7f\x10\xda\xbe"),), f"it is a VDI image, {_CONVERT}"),
    ("qed", ((0, b"QED\0"),), f"it is a QED image, {_CONVERT}"),
    (
        "parallels",
        ((0, b"WithoutFreeSpace"), (0, b"WithouFreSpacExt")),
        f"it is a Parallels image, {_CONVERT}",
    ),
    ("ewf", ((0, b"EVF\t\r\n\xff\0"),), "it is an EWF image, which is not read: ewfexport makes a raw one"),
    ("xz", ((0, b"\xfd7zXZ\0"),), "it is compressed by xz and must be unpacked first"),
    ("zstd", ((0, b"\x28\xb5\x2f\xfd"),), "it is compressed by zstd and must be unpacked first"),
    ("gzip", ((0, b"\x1f\x8b\x08"),), "it is compressed by gzip and must be unpacked first"),
    ("bzip2", ((0, b"BZh9"),), "it is compressed by bzip2 and must be unpacked first"),
)

#: a PE executable, which no disk holds but a file may be; real mode kernels begin so as well
EXECUTABLE: Magic = (0, b"MZ")
_HEAD = 65536  #: bytes in which the section table of a PE executable ends

#: asked last: magics of the copies, for what no longer begins with its superblock, and weak ones
RESCUES = (
    Family(  # the two labels at the end
        "zfs",
        "Zfs",
        tuple(
            (16384 - label * END_UNIT, b"\x01" + order + bytes(9) + b"\x01")
            for label in (2, 1)
            for order in (b"\x01", b"\0")
        ),
    ),
    Family(
        "ufs",
        "Ufs",
        tuple(
            (place + 1372, bytes.fromhex(magic)[::order])
            for place in (16384, 32768, 73728, 81920, 98304, 131072)
            for magic in ("00011954", "19540119", "19012038", "00decade")
            for order in (1, -1)
        ),
    ),
    Family("exfat", "Exfat", tuple((12 * size + 3, b"EXFAT   ") for size in (512, 1024, 2048, 4096))),
    # FAT known by a jump instruction or the signature of a boot sector, and by its backup in sector 6
    Family(
        "fat",
        "Fat",
        (
            (0, b"\xeb"),
            (0, b"\xe9"),
            *((sector + 510, b"\x55\xaa") for sector in (0, *(6 * size for size in (512, 1024, 2048, 4096)))),
        ),
        weak=True,
    ),
)


def open_filesystem(source: Source, options: Options) -> Filesystem | None:
    """Open the file system that `source` holds; None when nothing known is there.

    Raises UnsupportedFeature, with its name, for what is known but cannot be read, and the error of
    the reader when a magic was there but the reader could not go on.
    """
    failure: ImageError | None = None
    for family in FAMILIES:
        if any(_found(source, magic) for magic in family.magics):
            try:
                return _reader(family)(source, options)
            except ImageError as error:
                failure = failure or error
    for name, magics, why in (*FOREIGN, *CONTAINERS):
        if any(_found(source, magic) for magic in magics):
            raise UnsupportedFeature(name, why)
    if failure:
        raise failure
    for family in RESCUES:
        if any(_found(source, magic) for magic in family.magics):
            try:
                return _reader(family)(source, options)
            except ImageError:
                if not family.weak:
                    raise
    return None


def container(source: Source) -> str:
    """Return what kind of image this is: `raw`, or the name of one that has to be converted first."""
    for name, magics, _ in CONTAINERS:
        if any(_found(source, magic) for magic in magics):
            return name
    return "raw"


def open_executable(source: Source, options: Options) -> Filesystem | None:
    """Return the sections of a PE executable as a file system; None when `source` is no such thing.

    Raises ImageError when it begins as one, but its headers are damaged.
    """
    if not _found(source, EXECUTABLE):
        return None
    from pybootcfg.filesystems.pe import PortableExecutable

    return PortableExecutable(source, options)


def is_unified(node: Node) -> bool:
    """Tell by its first bytes whether a kernel is a unified kernel image: a PE file with a kernel in it."""
    head = node.read(count=_HEAD)
    if not head.startswith(EXECUTABLE[1]):
        return False
    try:
        executable = open_executable(MemorySource(head, "the kernel"), Options())
    except BootcfgError:
        return False  # a kernel that only looks like one
    return executable is not None and executable.root.lookup(b".linux") is not None


def _reader(family: Family) -> type[Filesystem]:
    module = import_module(f"pybootcfg.filesystems.{family.module}")
    reader: type[Filesystem] = getattr(module, family.reader)
    return reader


def _found(source: Source, magic: Magic) -> bool:
    offset, expected = magic
    if offset < 0:
        offset += source.size // END_UNIT * END_UNIT
    return 0 <= offset <= source.size - len(expected) and source.read(offset, len(expected)) == expected
