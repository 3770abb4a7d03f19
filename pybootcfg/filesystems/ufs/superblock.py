"""The superblock of a UFS: found, believed only when its fields agree, else replaced by a copy.

The order of the search and what a superblock must satisfy are FreeBSD's (SBLOCKSEARCH in
<ufs/ffs/fs.h>, validate_sblock of ffs_subr.c).  Every cylinder group begins with a copy.
"""

from __future__ import annotations

from functools import cached_property

from pybootcfg import limits, schema
from pybootcfg.checksums import crc32c
from pybootcfg.errors import ImageError, UnsupportedFeature
from pybootcfg.schema import Decoder
from pybootcfg.source import Source
from pybootcfg.values import TYPE_CHECKING, StrEnum

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

ufs = schema.load("ufs")

READABLE = frozenset((ufs.FS_UFS1_MAGIC, ufs.FS_UFS2_MAGIC, ufs.FS_UFS2EA_MAGIC, ufs.MTB_UFS_MAGIC))
HPUX = frozenset((ufs.FS_MAGIC_LFN, ufs.FS_MAGIC_SEC, ufs.FS_MAGIC_FEA, ufs.FS_MAGIC_4GB))


class Layout(StrEnum):
    """Who laid out the fields after fs_csaddr; UFS1 has one magic for all of them."""

    BSD44 = "4.4BSD"
    SOLARIS = "Solaris"
    OLD = "4.2BSD"  # and SunOS, SVR4, NeXTSTEP: neither's fields


class Superblock:
    """One superblock as read at byte `offset` of `source`; `fields` are named as in <ufs/ffs/fs.h>."""

    def __init__(self, source: Source, offset: int, big: bool, fields: Any) -> None:
        self.source = source
        self.offset = offset
        self.big = big  #: big-endian
        self.fields = fields

    def decoder(self, structure: Decoder) -> Decoder:
        """Return the decoder of `structure` for this file system's byte order."""
        return structure.big if self.big else structure.little

    @cached_property
    def version(self) -> int:
        """1 or 2: the format of inodes and pointers."""
        return 2 if self.fields.fs_magic in (ufs.FS_UFS2_MAGIC, ufs.FS_UFS2EA_MAGIC) else 1

    @cached_property
    def solaris(self) -> Any:
        """The fields as Solaris has them."""
        return self.decoder(ufs.solaris_superblock).read(self.source, self.offset)

    @cached_property
    def layout(self) -> Layout:
        """The layout, told by where fs_qbmask and fs_qfmask (known values) lie."""
        fields = self.fields
        expected = fields.fs_bsize - 1, fields.fs_fsize - 1
        if self.version == 2 or (fields.fs_qbmask, fields.fs_qfmask) == expected:
            return Layout.BSD44
        if (self.solaris.fs_qbmask, self.solaris.fs_qfmask) == expected:
            return Layout.SOLARIS
        return Layout.OLD

    @cached_property
    def size(self) -> int:
        """Size of the file system in fragments."""
        return int(self.fields.fs_size if self.version == 2 else self.fields.fs_old_size)

    @cached_property
    def flags(self) -> int:
        """fs_flags, from where they lie (FS_FLAGS_UPDATED)."""
        fields = self.fields
        return int(fields.fs_flags if fields.fs_old_flags & ufs.FS_FLAGS_UPDATED else fields.fs_old_flags)

    def cgstart(self, group: int) -> int:
        """Return the first fragment of a cylinder group, as the macro of <ufs/ffs/fs.h> does."""
        fields = self.fields
        start = int(fields.fs_fpg * group)
        if self.version == 1:  # the groups' heads were spread over the platters
            start += fields.fs_old_cgoffset * (group & ~fields.fs_old_cgmask)
        return start

    def is_copy(self) -> bool:
        """Whether this is a cylinder group's copy rather than the superblock proper."""
        if self.version == 2 or self.fields.fs_old_flags & ufs.FS_FLAGS_UPDATED:
            return bool(self.fields.fs_sblockloc != self.offset)
        return bool(self.offset > ufs.SBLOCK_UFS1)

    def is_placed_copy(self) -> bool:
        """Whether it lies where its own fields say that a cylinder group has its copy."""
        fields = self.fields
        fragment, rest = divmod(self.offset, fields.fs_fsize)
        group = fragment // fields.fs_fpg
        # A head that is moved down its group (fs_old_cgoffset) still lies within the group.
        return bool(rest == 0 and fragment == self.cgstart(group) + fields.fs_sblkno)

    def checks(self, what: int) -> bool:
        """Whether check-hashes of `what` (CK_ flags) are kept up (FreeBSD 12 and later)."""
        return bool(
            self.layout is Layout.BSD44
            and self.flags & ufs.FS_METACKHASH
            and self.fields.fs_metackhash & what
        )

    def is_hash_right(self) -> bool:
        """Whether fs_ckhash is that of the superblock, as ffs_calc_sbhash of ffs_subr.c computes it."""
        if not ufs.superblock.little.size <= self.fields.fs_sbsize <= ufs.SBLOCKSIZE:
            return False
        return self.hash(self.source, self.offset) == int(self.fields.fs_ckhash)

    def hash(self, source: Source, offset: int) -> int:
        """Return the check-hash of this superblock or of a copy, at `offset`."""
        return hash_without(source.read(offset, self.fields.fs_sbsize, "superblock"), ufs.FS_CKHASH_OFFSET)

    def fault(self) -> str:
        """Return the first contradiction among the fields, empty when there is none."""
        return next(self._faults(), "")

    def _faults(self) -> Iterator[str]:
        yield from self._size_faults()
        yield from self._group_faults()

    def _size_faults(self) -> Iterator[str]:
        fields = self.fields
        bsize, fsize = fields.fs_bsize, fields.fs_fsize
        if not (ufs.MINBSIZE <= bsize <= ufs.MAXBSIZE and bsize.bit_count() == 1):
            yield f"fs_bsize is {bsize}, not a power of two from {ufs.MINBSIZE} to {ufs.MAXBSIZE}"
        elif not (ufs.DEV_BSIZE <= fsize <= bsize <= fsize * ufs.MAXFRAG and fsize.bit_count() == 1):
            yield f"fs_fsize is {fsize}, which does not fit fs_bsize {bsize}"
        else:
            derived = {
                "fs_frag": bsize // fsize,
                "fs_bshift": _log2(bsize),
                "fs_fshift": _log2(fsize),
                "fs_fragshift": _log2(bsize // fsize),
                "fs_nindir": bsize // (8 if self.version == 2 else 4),
                "fs_inopb": bsize // (256 if self.version == 2 else 128),
            }
            for name, expected in derived.items():
                if getattr(fields, name) != expected:
                    yield f"{name} is {getattr(fields, name)}, but must be {expected}"
            if not 0 <= fields.fs_fsbtodb <= _log2(fsize):
                yield f"fs_fsbtodb is {fields.fs_fsbtodb}, which does not fit fs_fsize {fsize}"

    def _group_faults(self) -> Iterator[str]:
        fields = self.fields
        heads = (fields.fs_sblkno, fields.fs_cblkno, fields.fs_iblkno, fields.fs_dblkno)
        if fields.fs_fpg <= 0 or fields.fs_ncg <= 0 or fields.fs_ipg <= 0:
            yield f"{fields.fs_ncg} cylinder groups of {fields.fs_fpg} fragments, {fields.fs_ipg} inodes each"
        elif not 0 < heads[0] < heads[1] < heads[2] < heads[3] <= fields.fs_fpg:
            yield f"fs_sblkno, fs_cblkno, fs_iblkno, fs_dblkno are {heads}: not in order within a group"
        elif not (fields.fs_ncg - 1) * fields.fs_fpg + heads[3] <= self.size <= fields.fs_ncg * fields.fs_fpg:
            yield f"a size of {self.size} fragments does not fit {fields.fs_ncg} groups of {fields.fs_fpg}"
        elif -(-fields.fs_ipg // fields.fs_inopb) * fields.fs_frag > fields.fs_dblkno - fields.fs_iblkno:
            yield f"fs_ipg is {fields.fs_ipg}, too many inodes for the room before fs_dblkno"
        elif self.version == 1 and not 0 <= fields.fs_old_cgoffset <= fields.fs_fpg:
            yield f"fs_old_cgoffset is {fields.fs_old_cgoffset}, outside a cylinder group"


def find(source: Source, warn: Callable[[str], None]) -> Superblock:
    """Return the superblock of the file system that `source` holds, or a copy of it with a warning.

    Raises ImageError when there is none that can be believed, UnsupportedFeature for HP-UX and for
    what newfs left unfinished.
    """
    faults: list[tuple[int, str]] = []
    copies: list[Superblock] = []
    for offset in ufs.SBLOCKSEARCH:
        found = _read(source, offset)
        if found is None:
            continue
        if fault := found.fault():
            faults.append((offset, fault))
        elif found.is_copy():
            copies.append(found)
        else:
            return found
    copy = copies[0] if copies else _search(source)
    if copy is not None:
        reason = f"damaged ({faults[0][1]})" if faults else "missing"
        warn(f"the superblock is {reason}; its copy at byte {copy.offset:#x} is used")
        return copy
    offset, fault = faults[0] if faults else (ufs.SBLOCK_UFS2, "no superblock, and no copy of one")
    raise ImageError(fault, offset=offset, structure="superblock", source=source.name)


def hash_without(data: bytes, hash_offset: int) -> int:
    """Return the check-hash of a structure: CRC-32C, not inverted, the hash itself taken as zero."""
    return crc32c(data[:hash_offset] + bytes(4) + data[hash_offset + 4 :])


def _read(source: Source, offset: int) -> Superblock | None:
    """Return the superblock at `offset`, None when no known magic is there in either byte order."""
    if offset + ufs.superblock.little.size > source.size:
        return None
    data = source.read(offset, ufs.superblock.little.size, "superblock")
    for big in (False, True):
        decoder = ufs.superblock.big if big else ufs.superblock.little
        fields = decoder.decode(data, at=offset)
        if fields.fs_magic in READABLE:
            return Superblock(source, offset, big, fields)
        if fields.fs_magic == ufs.FS_BAD_MAGIC:
            raise UnsupportedFeature("FS_BAD_MAGIC", "newfs did not finish making this UFS")
        if fields.fs_magic in HPUX:
            raise UnsupportedFeature("hpux-hfs", "HP-UX HFS is not supported")
    return None


def _search(source: Source) -> Superblock | None:
    """Return the first cylinder group's copy that can be believed.

    Copies begin at a block's start, hence at a multiple of the smallest block size.
    """
    end = min(source.size - ufs.superblock.little.size, limits.UFS_SUPERBLOCK_SEARCH.value)
    for offset in range(ufs.MINBSIZE, end + 1, ufs.MINBSIZE):
        data = source.read(offset + ufs.FS_MAGIC_OFFSET, 4)
        if ufs.fs_magic.little.decode(data) in READABLE or ufs.fs_magic.big.decode(data) in READABLE:
            found = _read(source, offset)
            if found is not None and not found.fault() and found.is_placed_copy():
                return found
    return None


def _log2(power: int) -> int:
    return power.bit_length() - 1
