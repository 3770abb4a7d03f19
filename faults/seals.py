"""Checksums made right again after a fault, as by an attacker, who changes a byte and knows the format.

Which checksums there are is found out while the image is booted without a fault, by watching the readers
verify them.  The readers themselves stay as they are.

    gpt         header and entries, primary and backup          (and so the header's over that of the entries)
    vtoc        the exclusive or of the label in a slice (that of SPARC disks is left)
    ext         superblock, group descriptors (crc32c or crc16), inodes, extent blocks, directory blocks and
                their index; of the journal its superblock, descriptors, commits, revokes and data blocks
    exfat       boot region
    zfs         labels and uberblocks; all other blocks are changed as they are after verification and
                decompression, which is what making the whole chain of checksums right comes to

Not made right, hence to be met in the pass `ignored` only: the check-hashes of UFS, entry sets and up-case
table of exFAT, short names below long ones on FAT, version 1 checksums and fast commits of journals, the
intent log of ZFS.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib
import zlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from faults.boot import Run
from faults.checksums import replaced
from faults.disk import MappedDisk
from pybootcfg.checksums import crc16, crc32c, crc32c_word
from pybootcfg.errors import BootcfgError
from pybootcfg.places.addresses import disk_offset
from pybootcfg.source import Source

_ROUNDS = 8  # checksums that cover one another


class Field(NamedTuple):
    """Where bytes `start` to `stop` of a checksum stand."""

    offset: int
    start: int
    stop: int


class Seal(NamedTuple):
    """A checksum of disk `disk`: of `parts`, places (offset, length) and bytes that stand for others."""

    disk: int
    parts: tuple[tuple[int, int] | bytes, ...]
    fields: tuple[Field, ...]
    compute: Callable[[bytes], bytes]

    def covers(self, start: int, stop: int) -> bool:
        """Whether one of the bytes is covered."""
        return any(
            not isinstance(part, bytes) and part[0] < stop and start < part[0] + part[1]
            for part in self.parts
        )

    def holds(self, start: int, stop: int) -> bool:
        """Whether one of the bytes belongs to the checksum itself."""
        return any(
            field.offset < stop and start < field.offset + field.stop - field.start for field in self.fields
        )


class Seals:
    """The checksums of one guest's disks."""

    def __init__(self, found: list[Seal]) -> None:
        self.found = found

    def mend(self, disk: MappedDisk, offset: int, length: int) -> None:
        """Patch the checksums that cover bytes of a disk, and those that cover them in turn."""
        changed = [(offset, offset + length)]
        for _ in range(_ROUNDS):
            mended = []
            for seal in self.found:
                if (
                    seal.disk == disk.number
                    and any(seal.covers(*stretch) for stretch in changed)
                    and not seal.holds(offset, offset + length)
                ):
                    mended += self._mend(disk, seal)
            if not mended:
                return
            changed = mended

    def _mend(self, disk: MappedDisk, seal: Seal) -> list[tuple[int, int]]:
        message = b"".join(part if isinstance(part, bytes) else disk.read(*part) for part in seal.parts)
        checksum = seal.compute(message)
        for field in seal.fields:
            disk.patches.append((field.offset, checksum[field.start : field.stop]))
        return [(field.offset, field.offset + field.stop - field.start) for field in seal.fields]


def find(disks: Sequence[MappedDisk]) -> Seals:
    """Return the checksums that are compared when the disks are booted."""
    found: dict[tuple[Any, ...], Seal] = {}
    note = functools.partial(_note, found)
    run = Run(disks)
    with contextlib.ExitStack() as stack:
        for module, name, watch in _WATCHES:
            place: Any = importlib.import_module(f"pybootcfg.{module}")
            for part in name.split(".")[:-1]:
                place = getattr(place, part)
            last = name.rpartition(".")[2]
            stack.enter_context(replaced(place, last, _watched(getattr(place, last), watch, note)))
        with contextlib.suppress(BootcfgError):
            run.boot()
    run.close()
    return Seals(list(found.values()))


_Note = Callable[..., None]


def _watched(function: Callable[..., Any], watch: Callable[..., None], note: _Note) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*arguments: Any, **keywords: Any) -> Any:
        result = function(*arguments, **keywords)
        watch(note, result, *arguments, **keywords)
        return result

    return call


def _note(
    found: dict[tuple[Any, ...], Seal],
    source: Source,
    at: int,
    parts: Sequence[tuple[int, int] | bytes],
    fields: Sequence[tuple[int, int, int]],
    compute: Callable[[bytes], bytes],
) -> None:
    """Note a checksum whose offsets count from byte `at` of a source."""
    start = disk_offset(source, at)
    disk: Any = source
    while not isinstance(disk, MappedDisk):
        disk = disk.base
    if start is None:
        return
    places = tuple(part if isinstance(part, bytes) else (start + part[0], part[1]) for part in parts)
    seal = Seal(disk.number, places, tuple(Field(start + field[0], *field[1:]) for field in fields), compute)
    found[seal.disk, seal.fields] = seal


def _crc32c(seed: int, message: bytes) -> bytes:
    return crc32c(message, seed).to_bytes(4, "little")


def _crc32c_big(seed: int, message: bytes) -> bytes:
    return crc32c(message, seed).to_bytes(4, "big")


# --- ext -----------------------------------------------------------------------------------------


def _ext_superblock(note: _Note, result: Any, source: Source, offset: int) -> None:
    superblock, _ = result
    if superblock.metadata_csum:
        note(source, offset, [(0, 1020)], [(1020, 0, 4)], functools.partial(_crc32c, 0xFFFFFFFF))


def _ext_descriptor(note: _Note, _: Any, groups: Any, group: int, offset: int) -> None:
    superblock = groups.superblock
    parts: list[Any] = [(0, 30), bytes(2), (32, superblock.desc_size - 32)]
    if superblock.metadata_csum:
        compute = functools.partial(_crc32c, crc32c_word(group, superblock.checksum_seed))
        note(groups.blocks.source, offset, parts, [(30, 0, 2)], compute)
    elif superblock.has_ro_compat("uninit_bg"):
        head = superblock.record.s_uuid + group.to_bytes(4, "little")
        parts = [head, parts[0], *(parts[2:] if superblock.has_incompat("64bit") else [])]
        note(
            groups.blocks.source, offset, parts, [(30, 0, 2)], lambda data: crc16(data).to_bytes(2, "little")
        )


def _ext_inode(note: _Note, inode: Any, table: Any, number: int, **_: Any) -> None:
    superblock = table.blocks.superblock
    if not superblock.metadata_csum or number in table.replaced:
        return
    low, high, generation, size = 0x7C, 0x82, 0x64, superblock.inode_size
    # The generation counts twice: it is in the seed of all checksums of the inode.
    parts: list[Any] = [(generation, 4), (0, low), bytes(2), (low + 2, size - low - 2)]
    fields = [(low, 0, 2)]
    if inode.extra is not None and inode.extra.i_extra_isize >= 4:
        parts[3:] = [(low + 2, high - low - 2), bytes(2), (high + 2, size - high - 2)]
        fields.append((high, 2, 4))
    compute = functools.partial(_crc32c, crc32c_word(number, superblock.checksum_seed))
    note(table.blocks.source, inode.offset, parts, fields, compute)


def _ext_extents(note: _Note, _: Any, mapping: Any, data: bytes, offset: int) -> None:
    if mapping.blocks.superblock.metadata_csum:
        tail = 12 * (1 + int.from_bytes(data[4:6], "little"))  # behind as many entries as there is room for
        compute = functools.partial(_crc32c, mapping.inode.checksum_seed)
        note(mapping.blocks.source, offset, [(0, tail)], [(tail, 0, 4)], compute)


def _ext_directory(note: _Note, _: Any, directory: Any, data: bytes, offset: int, *__: Any) -> None:
    if not directory.blocks.superblock.metadata_csum:
        return
    module: Any = importlib.import_module("pybootcfg.filesystems.ext.directory")
    index = module._count_offset(data) if directory.inode.has(module.layout.INDEX_FL) else 0
    parts: list[Any] = [(0, len(data) - 12)]
    field = len(data) - 4
    if index:
        limit, count = (int.from_bytes(data[at : at + 2], "little") for at in (index, index + 2))
        tail = index + 8 * limit
        parts, field = [(0, index + 8 * count), (tail, 4), bytes(4)], tail + 4
    compute = functools.partial(_crc32c, directory.inode.checksum_seed)
    note(directory.blocks.source, offset, parts, [(field, 0, 4)], compute)


def _journal_superblock(note: _Note, _: Any, log: Any, __: bytes) -> None:
    if log.has_incompat(0x18):
        compute = functools.partial(_crc32c_big, 0xFFFFFFFF)
        parts = [(0, 0xFC), bytes(4), (0x100, 0x300)]
        note(log.blocks.source, log.offset(0), parts, [(0xFC, 0, 4)], compute)


def _journal_records(note: _Note, _: Any, recovery: Any, *__: Any) -> None:
    """Note the checksums of a log; the generator that was asked for is left alone."""
    journal: Any = importlib.import_module("pybootcfg.filesystems.ext.journal")
    log, jbd2 = recovery.log, journal.jbd2
    if not log.checksummed:
        return
    source, size = log.blocks.source, log.blocks.size
    compute = functools.partial(_crc32c_big, log.checksum_seed)
    for position in range(log.first, log.last):
        head = log.read(position)
        magic, kind, sequence = (int.from_bytes(head[at : at + 4], "big") for at in (0, 4, 8))
        at = log.offset(position)
        if magic != 0xC03B3998:
            continue
        if kind == jbd2.COMMIT_BLOCK:
            note(source, at, [(0, 16), bytes(4), (20, size - 20)], [(16, 0, 4)], compute)
        elif kind in (jbd2.DESCRIPTOR_BLOCK, jbd2.REVOKE_BLOCK):
            note(source, at, [(0, size - 4), bytes(4)], [(size - 4, 0, 4)], compute)
        if kind == jbd2.DESCRIPTOR_BLOCK and log.has_incompat(jbd2.INCOMPAT_CSUM_V3):
            _journal_data(note, recovery, position, sequence, head)


def _journal_data(note: _Note, recovery: Any, position: int, sequence: int, data: bytes) -> None:
    log, place = recovery.log, 12
    seed = crc32c(sequence.to_bytes(4, "big"), log.checksum_seed)
    start = log.offset(position)
    for count, tag in enumerate(recovery._tags(data), 1):
        block = log.offset(log.after(position, count)) - start
        size = log.blocks.size
        field = (place + 12, 0, 4)
        note(log.blocks.source, start, [(block, size)], [field], functools.partial(_crc32c_big, seed))
        place += 16 + (0 if tag.flags & 2 else 16)


# --- tables --------------------------------------------------------------------------------------


def _crc32(message: bytes) -> bytes:
    return zlib.crc32(message).to_bytes(4, "little")


def _gpt(note: _Note, header: Any, source: Source, *_: Any) -> None:
    if header is None or header.failure is not None:
        return
    record, at = header.record, header.offset
    size = record.header_size
    if 92 <= size <= header.sector_size:
        note(source, at, [(0, 16), bytes(4), (20, size - 20)], [(16, 0, 4)], _crc32)
    entries = record.partition_entry_lba * header.sector_size - at
    note(source, at, [(entries, len(header.entries))], [(88, 0, 4)], _crc32)


def _xor(message: bytes) -> bytes:
    words = [message[at : at + 2] for at in range(0, len(message), 2)]
    return functools.reduce(lambda one, two: bytes((one[0] ^ two[0], one[1] ^ two[1])), words)


def _vtoc_slice(note: _Note, result: Any, source: Source, slice_: Any, *_: Any) -> None:
    if result:
        note(source, slice_.start + 512, [(0, 510)], [(510, 0, 2)], _xor)


# --- exfat ---------------------------------------------------------------------------------------


def _exfat_boot(note: _Note, _: Any, filesystem: Any, boot: Any, offset: int) -> None:
    module: Any = importlib.import_module("pybootcfg.filesystems.exfat")
    size = 11 << boot.bytes_per_sector_shift
    parts = [(0, 106), (108, 4), (113, size - 113)]
    note(filesystem.source, offset, parts, [(size, 0, 4)], lambda data: _exfat_sum(module, data, 32))


def _exfat_sum(module: Any, data: bytes, bits: int) -> bytes:
    checksum: int = module.checksum(data, bits)
    return checksum.to_bytes(bits // 8, "little")


# --- zfs -----------------------------------------------------------------------------------------


def _sha256(big: bool, message: bytes) -> bytes:
    digest = hashlib.sha256(message).digest()
    return digest if big else b"".join(digest[at : at + 8][::-1] for at in range(0, 32, 8))


def _embedded(note: _Note, source: Source, at: int, size: int, *, big: bool) -> None:
    verifier = b"".join(word.to_bytes(8, "big" if big else "little") for word in (at, 0, 0, 0))
    note(source, at, [(0, size - 32), verifier], [(size - 32, 0, 32)], functools.partial(_sha256, big))


def _zfs_label(note: _Note, config: Any, source: Source, offset: int) -> None:
    label: Any = importlib.import_module("pybootcfg.filesystems.zfs.label")
    if config is not None:
        size = label.layout.VDEV_PHYS_SIZE
        big = label._order(source.read(offset, size), offset)
        _embedded(note, source, offset, size, big=big)


def _zfs_uberblocks(note: _Note, found: Any, device: Any, ashift: int) -> None:
    label: Any = importlib.import_module("pybootcfg.filesystems.zfs.label")
    size = 1 << min(max(ashift, label.layout.UBERBLOCK_SHIFT), label.layout.MAX_UBERBLOCK_SHIFT)
    for block in found:
        _embedded(note, device.source, block.offset, size, big=block.big)


#: module, function in it, what is done when it was called
_WATCHES: list[tuple[str, str, Callable[..., None]]] = [
    ("filesystems.ext.superblock", "read_superblock", _ext_superblock),
    ("filesystems.ext.groups", "Groups._read", _ext_descriptor),
    ("filesystems.ext.inode", "InodeTable.read", _ext_inode),
    ("filesystems.ext.mapping", "ExtentTree._verify", _ext_extents),
    ("filesystems.ext.directory", "Directory._verify", _ext_directory),
    ("filesystems.ext.log", "Log._check", _journal_superblock),
    ("filesystems.ext.journal", "Recovery._records", _journal_records),
    ("volumes.gpt", "_read_header", _gpt),
    ("volumes.vtoc", "expand", _vtoc_slice),
    ("filesystems.exfat", "Exfat._checksum_fault", _exfat_boot),
    ("filesystems.zfs.label", "_config", _zfs_label),
    ("filesystems.zfs.label", "uberblocks", _zfs_uberblocks),
]
