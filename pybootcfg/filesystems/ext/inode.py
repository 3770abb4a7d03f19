"""Inodes: found by number, read a piece of the table at a time, their checksums verified.

Facts: kernel documentation, "Index Nodes"; ext4_inode_csum of fs/ext4/inode.c.
"""

from __future__ import annotations

from collections import OrderedDict

from pybootcfg import schema
from pybootcfg.checksums import crc32c, crc32c_records, crc32c_word, crc32c_zeros
from pybootcfg.errors import ImageError
from pybootcfg.filesystems.ext.blocks import Blocks
from pybootcfg.filesystems.ext.groups import Groups
from pybootcfg.filesystems.ext.superblock import MAX_SIZE
from pybootcfg.kind import Kind, of_mode
from pybootcfg.values import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

layout = schema.load("ext")

PIECE_SIZE = 4096  # bytes of an inode table read at once
PIECES_KEPT = 64


class Mapped(NamedTuple):
    """`length` blocks of a file from `logical` on lie on the volume from `physical` on."""

    logical: int
    physical: int
    length: int


class Newer(NamedTuple):
    """What fast commits made of an inode: all its bytes, and where some of its blocks lie now."""

    raw: bytes | None
    moved: tuple[Mapped, ...]


UNCHANGED = Newer(None, ())


class Inode:
    """One inode: `raw` has its bytes, `offset` is where they lie.

    `record` has the fields of the first 128 bytes, and `extra`, None where there is no room for them,
    those behind.
    """

    __slots__ = ("blocks", "extra", "moved", "number", "offset", "raw", "record")

    def __init__(
        self, blocks: Blocks, number: int, raw: bytes, offset: int, moved: tuple[Mapped, ...] = ()
    ) -> None:
        self.blocks = blocks
        self.number = number
        self.raw = raw
        self.offset = offset
        self.moved = moved
        self.record: Any = decoder_of(len(raw)).decode(raw, at=offset)
        self.extra: Any = self.record if len(raw) > layout.GOOD_OLD_INODE_SIZE else None

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"inode[{self.number}]"

    @property
    def kind(self) -> Kind:
        """The type of the file; ImageError when it is none."""
        mode = self.record.i_mode
        kind = of_mode(mode)
        if kind is None:
            raise self.damage(f"the mode {mode:#o} is of no type of file")
        return kind

    @property
    def size(self) -> int:
        """Length of the contents in bytes; ImageError when no offset reaches so far."""
        record = self.record
        size: int = record.i_size_lo
        # In directories the upper half was an ACL once.
        if record.i_size_high and (
            record.i_mode & layout.S_IFMT != layout.S_IFDIR
            or self.blocks.superblock.has_incompat("large_dir")
        ):
            size |= record.i_size_high << 32
        if size >= MAX_SIZE:
            raise self.damage(f"the size {size:#x} is beyond all offsets")
        return size

    @property
    def mtime(self) -> int:
        """Last change of the contents, in seconds since 1970; bits 0-1 of i_mtime_extra extend it to 2446."""
        extra = self.extra
        if extra is None:
            return seconds_of(self.record.i_mtime, 0, 0)
        return seconds_of(self.record.i_mtime, extra.i_extra_isize, extra.i_mtime_extra)

    def has(self, flag: int) -> bool:
        """Whether a bit of i_flags is set."""
        return bool(self.record.i_flags & flag)

    @property
    def has_right_checksum(self) -> bool:
        """Whether its checksum is right."""
        return self.is_sound(None)

    def is_sound(self, register: int | None) -> bool:
        """Whether its checksum is right; `register` is that of `_without_checksums`, None when unknown."""
        return all(getattr(self.record, name) == value for name, value in self.checksum(register).items())

    def checksum(self, register: int | None = None) -> dict[str, int]:
        """Return what the fields of its checksum should hold; `register` as for `is_sound`."""
        size, low = len(self.raw), layout.I_CHECKSUM_LO_OFFSET
        wide = self.extra is not None and self.extra.i_extra_isize >= layout.CHECKSUM_HI_EXTRA_ISIZE
        if self.extra is not None and not wide:
            # What would be i_checksum_hi is none, and counts as it is.
            computed = crc32c(self.raw[:low] + bytes(2) + self.raw[low + 2 :], self.checksum_seed)
        else:
            if register is None:
                register = crc32c_records(_without_checksums(self.raw, size), size)[0]
            computed = crc32c_zeros(self.checksum_seed, size) ^ register
        lower = {"l_i_checksum_lo": computed & 0xFFFF}
        return {**lower, "i_checksum_hi": computed >> 16} if wide else lower

    @property
    def checksum_seed(self) -> int:
        """The register that all crc32c of this inode's metadata start from."""
        seed = crc32c_word(self.number, self.blocks.superblock.checksum_seed)
        return crc32c_word(self.record.i_generation, seed)

    def damage(self, message: str, offset: int | None = None) -> ImageError:
        """Return the error for what cannot be right about this inode."""
        return self.blocks.damage(message, self.name, self.offset if offset is None else offset)


class _Piece(NamedTuple):
    """Inodes that lie side by side, and the registers of their crc32c from zero."""

    data: bytes
    registers: list[int]


class InodeTable:
    """All inodes of a file system by number; `replaced` holds those that fast commits made newer."""

    def __init__(self, blocks: Blocks, groups: Groups, replaced: Mapping[int, Newer] | None = None) -> None:
        self.blocks = blocks
        self.groups = groups
        self.replaced = {} if replaced is None else replaced
        self._pieces: OrderedDict[int, _Piece] = OrderedDict()
        size = blocks.superblock.inode_size
        self._per_piece = max(PIECE_SIZE, size) // size

    def offset(self, number: int) -> int:
        """Return where the inode stands, in bytes; ImageError when there is none of that number."""
        superblock = self.blocks.superblock
        if not 0 < number <= superblock.inodes_count:
            raise ImageError(
                f"inode {number} wanted, but there are {superblock.inodes_count}",
                source=self.blocks.source.name,
            )
        group, index = divmod(number - 1, superblock.inodes_per_group)
        table = self.groups.descriptor(group).inode_table
        return table * superblock.block_size + index * superblock.inode_size

    def read(self, number: int, *, in_use: bool = True) -> Inode:
        """Return the inode of that number; a bad checksum is a warning if the inode is known to be in use."""
        superblock = self.blocks.superblock
        offset = self.offset(number)
        newer = self.replaced.get(number, UNCHANGED)
        if newer.raw is not None:
            return Inode(self.blocks, number, newer.raw, offset, newer.moved)
        size = superblock.inode_size
        index = (number - 1) % superblock.inodes_per_group
        position = index % self._per_piece
        start = offset - position * size
        count = min(self._per_piece, superblock.inodes_per_group - index + position)
        piece = self._piece(start, count * size)
        raw = piece.data[position * size : (position + 1) * size]
        inode = Inode(self.blocks, number, raw, offset, newer.moved)
        if in_use and piece.registers and not inode.is_sound(piece.registers[position]):
            self.blocks.warn(f"{inode.name} has a bad checksum")
        return inode

    def _piece(self, start: int, length: int) -> _Piece:
        piece = self._pieces.get(start)
        if piece is not None:
            self._pieces.move_to_end(start)
            return piece
        data = self.blocks.source.read(start, length, "inode table")
        registers = []
        if self.blocks.superblock.metadata_csum:
            size = self.blocks.superblock.inode_size
            registers = crc32c_records(_without_checksums(data, size), size)
        piece = _Piece(data, registers)
        if len(self._pieces) >= PIECES_KEPT:
            self._pieces.popitem(last=False)
        self._pieces[start] = piece
        return piece


def seconds_of(seconds: int, extra_isize: int, extra: int) -> int:
    """Return i_mtime, which has a sign, with the bits that i_mtime_extra has of it if it is there."""
    if seconds >= 1 << 31:
        seconds -= 1 << 32
    return seconds + ((extra & 3) << 32) if extra_isize >= layout.MTIME_EXTRA_EXTRA_ISIZE else seconds


def decoder_of(size: int) -> Any:
    """Return the decoder of inodes of so many bytes."""
    return layout.inode_large if size > layout.GOOD_OLD_INODE_SIZE else layout.inode


def checksum_offsets(size: int) -> Sequence[int]:
    """Return where an inode of so many bytes has those of its checksum, the lowest first."""
    low, high = layout.I_CHECKSUM_LO_OFFSET, layout.I_CHECKSUM_HI_OFFSET
    return (low, low + 1) if size == layout.GOOD_OLD_INODE_SIZE else (low, low + 1, high, high + 1)


def _without_checksums(data: bytes, size: int) -> bytes:
    """Return inodes with zeros for their checksums, for the checksums are taken so."""
    cleared = bytearray(data)
    nothing = bytes(len(data) // size)
    for offset in checksum_offsets(size):
        cleared[offset::size] = nothing
    return bytes(cleared)
