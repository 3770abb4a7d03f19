"""The structures of a UFS by name, for `inspect`; docs/inspect.md lists them."""

from __future__ import annotations

from contextlib import suppress

from pybootcfg import limits
from pybootcfg.errors import ImageError
from pybootcfg.filesystems.base import Extent
from pybootcfg.filesystems.ufs.superblock import Layout, hash_without, ufs
from pybootcfg.kind import Kind
from pybootcfg.structures import (
    Checked,
    Followed,
    Stretch,
    Structure,
    Structures,
    fault,
    length_of,
    numbered,
    of_groups,
)
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from pybootcfg.filesystems.ufs.reader import Ufs, UfsNode
    from pybootcfg.schema import Decoder
    from pybootcfg.source import Source
    from pybootcfg.structures import Expected


class UfsStructures(Structures):
    """The structures of one file system."""

    def __init__(self, filesystem: Ufs) -> None:
        self.filesystem = filesystem
        self.superblock = filesystem.superblock
        self.fields = filesystem.superblock.fields
        self.decoder = filesystem.superblock.decoder

    def listed(self) -> Iterator[Structure]:
        """Yield the superblock, the root's inode, and each cylinder group's head and superblock copy."""
        yield from self._superblocks()
        yield self.inode(ufs.ROOTINO)
        for group in self._groups():
            yield from self._heads(group)

    def every(self) -> Iterator[Structure]:
        """Yield the superblock, the groups, the inodes in use and what is theirs."""
        yield from self._superblocks()
        yield from of_groups(self._groups(), self.group, self._in_use, self.of_inode)

    def below(self, name: str) -> Iterator[Structure]:
        """Yield those of the inode or the group that a name begins with; else those listed."""
        family, number, _ = numbered(name)
        if family == "inode" and 0 < number < self.fields.fs_ipg * self.fields.fs_ncg:
            return self.of_inode(number)
        if family == "group" and 0 <= number < self.fields.fs_ncg:
            return self.group(number)
        return self.listed()

    def of_node(self, node: UfsNode) -> Iterator[Structure]:
        """Yield the inode, its indirect blocks, its directory entries or the target of the link."""
        return self.of_inode(node.number)

    def find(self, name: str) -> Structure | None:
        """Return the structure called `name`."""
        family, number, part = numbered(name)
        if family == "inode" and not part:
            exists = 0 < number < self.fields.fs_ipg * self.fields.fs_ncg
            return self.inode(number) if exists else None
        return super().find(name)

    def _groups(self) -> range:
        """Return the cylinder groups that begin on the volume, which may be fewer than it claims to have."""
        length = self.fields.fs_fpg * self.filesystem.fsize
        return range(min(self.fields.fs_ncg, -(-self.filesystem.source.size // length)))

    def _superblocks(self) -> Iterator[Structure]:
        place = self.superblock.offset
        yield Structure("superblock", self._checked_superblock(), place)
        if self.filesystem.layout is Layout.SOLARIS:
            yield Structure("solaris_superblock", self.decoder(ufs.solaris_superblock), place)
        if self.filesystem.is_wapbl():
            yield Structure("netbsd_superblock", self.decoder(ufs.netbsd_superblock), place)
        summary = self._summary()
        if summary:
            yield summary

    def _checked_superblock(self) -> Decoder:
        def expected(source: Source, offset: int) -> dict[str, int]:
            return {"fs_ckhash": self.superblock.hash(source, offset)}

        return self._checked(ufs.CK_SUPERBLOCK, self.decoder(ufs.superblock), expected)

    def _checked_group(self) -> Decoder:
        def expected(source: Source, offset: int) -> dict[str, int]:
            data = source.read(offset, self.fields.fs_cgsize, "cylinder group")
            return {"cg_ckhash": hash_without(data, ufs.CG_CKHASH_OFFSET)}

        return self._checked(ufs.CK_CYLGRP, self.decoder(ufs.cg), expected)

    def _checked_inode(self) -> Decoder:
        def expected(source: Source, offset: int) -> dict[str, int]:
            data = source.read(offset, self.filesystem.dinode.size, "dinode")
            return {"di_ckhash": hash_without(data, ufs.DI_CKHASH_OFFSET)} if any(data) else {}

        decoder = self.filesystem.dinode
        return self._checked(ufs.CK_INODE, decoder, expected) if self.superblock.version == 2 else decoder

    def _checked(self, kind: int, decoder: Decoder, expected: Expected) -> Decoder:
        return Checked(decoder, expected) if self.superblock.checks(kind) else decoder

    def _summary(self) -> Structure | None:
        """Return the counts of all groups, which lie side by side at fs_csaddr (fs_old_csaddr of UFS1)."""
        new = self.superblock.version == 2
        start = (self.fields.fs_csaddr if new else self.fields.fs_old_csaddr) * self.filesystem.fsize
        count = min(self.fields.fs_ncg, limits.ARRAY_ITEMS.value)
        decoder = self.decoder(ufs.csum)
        if not 0 < start <= self.filesystem.source.size - count * decoder.size:
            return None
        return Structure("summary", decoder.repeated(count), start)

    def _heads(self, group: int) -> Iterator[Structure]:
        start, size = self.superblock.cgstart(group), self.filesystem.fsize
        offset = (start + self.fields.fs_cblkno) * size
        if offset < self.filesystem.source.size:
            copy = (start + self.fields.fs_sblkno) * size
            yield Structure(f"group[{group}].superblock", self.decoder(ufs.superblock), copy)
            yield Structure(f"group[{group}].cg", self._checked_group(), offset)

    def group(self, group: int) -> Iterator[Structure]:
        """Yield the copy of the superblock, the head, the bitmaps and the counts of a cylinder group."""
        yield from self._heads(group)
        with suppress(ImageError):  # the head above says what is wrong
            yield from self._bitmaps(group)
            yield from self._counts(group)

    def _group_head(self, group: int) -> tuple[int, Any]:
        """Return where the head of a cylinder group is, and the head."""
        offset = (self.superblock.cgstart(group) + self.fields.fs_cblkno) * self.filesystem.fsize
        return offset, self.decoder(ufs.cg).read(self.filesystem.source, offset)

    def _bitmaps(self, group: int) -> Iterator[Structure]:
        offset, head = self._group_head(group)
        clusters = head.cg_nclusterblks if self._has_clusters else 0
        for name, start, bits in (
            ("inode_bitmap", head.cg_iusedoff, self.fields.fs_ipg),
            ("fragment_bitmap", head.cg_freeoff, head.cg_ndblk),
            ("cluster_bitmap", head.cg_clusteroff if clusters else 0, clusters),
        ):
            size = -(-bits // 8)
            if self.decoder(ufs.cg).size <= start <= self.filesystem.bsize - size:
                yield Structure(f"group[{group}].{name}", Stretch(name, size, bits), offset + start)

    @property
    def _has_clusters(self) -> bool:
        """Whether groups count runs of free blocks; Solaris has no such fields."""
        return self.filesystem.layout is not Layout.SOLARIS and self.fields.fs_contigsumsize > 0

    def _counts(self, group: int) -> Iterator[Structure]:
        """Yield the free blocks of a group counted by the length of runs, and as drives once had them."""
        offset, head = self._group_head(group)
        counts = []
        if self._has_clusters:
            count = self.fields.fs_contigsumsize + 1
            counts.append(("clustersum", ufs.cg_clustersum, head.cg_clustersumoff, count))
        if self.superblock.version == 1:
            blks = (head.cg_iusedoff - head.cg_old_boff) // ufs.cg_old_blks.size
            counts.append(("blktot", ufs.cg_old_blktot, head.cg_old_btotoff, self.fields.fs_old_cpg))
            counts.append(("blks", ufs.cg_old_blks, head.cg_old_boff, blks))
        for name, decoder, start, count in counts:
            room = self.filesystem.bsize - start
            if self.decoder(ufs.cg).size <= start and 0 < count * decoder.size <= room:
                yield Structure(
                    f"group[{group}].{name}", self.decoder(decoder).repeated(count), offset + start
                )

    def _in_use(self, group: int) -> Iterator[int]:
        """Yield the numbers of the inodes that the bitmap of a group says are in use."""
        found = next((one for one in self._bitmaps(group) if one.name.endswith("inode_bitmap")), None)
        if found is None:
            return
        bits = self.filesystem.source.read(found.offset, length_of(found.decoder), "inode bitmap")
        for index in range(self.fields.fs_ipg):
            if bits[index // 8] >> index % 8 & 1 and (group or index > ufs.WINO):
                yield group * self.fields.fs_ipg + index

    def inode(self, number: int) -> Structure:
        """Return an inode."""
        return Structure(f"inode[{number}]", self._checked_inode(), self.filesystem.inode_offset(number))

    def of_inode(self, number: int) -> Iterator[Structure]:
        """Yield an inode and what belongs to it; ImageError where that is damaged."""
        from pybootcfg.filesystems.ufs.reader import UfsNode

        yield self.inode(number)
        node = UfsNode(self.filesystem, number)
        if node.kind is Kind.SYMLINK and node.has_short_target:
            yield Structure(f"inode[{number}].shortlink", self.filesystem.shortlink, node.offset)
        elif node.kind in (Kind.FILE, Kind.DIRECTORY, Kind.SYMLINK):
            yield from self._indirect(node)
        if node.kind is Kind.DIRECTORY:
            yield from self._directory(node)
        if self.superblock.version == 2:
            yield from self._attributes(node)

    def _attributes(self, node: UfsNode) -> Iterator[Structure]:
        """Yield the extended attributes of an inode, which fill its blocks for them from the start."""
        filesystem, name = self.filesystem, f"inode[{node.number}].extattr"
        decoder = self.decoder(ufs.extattr)
        left, index = node.inode.di_extsize, 0
        for fragment in node.inode.di_extb:
            length = min(left, filesystem.bsize)
            if not fragment or length <= 0:
                return
            filesystem.check_fragments(fragment, -(-length // filesystem.fsize), name)
            start, at = fragment * filesystem.fsize, 0
            data = filesystem.source.read(start, length, name)
            while at + decoder.size <= length:
                entry = decoder.decode(data, at)
                base = -(-(decoder.size + entry.ea_namelength) // ufs.EA_ALIGNMENT) * ufs.EA_ALIGNMENT
                contents = entry.ea_length - base - entry.ea_contentpadlen
                if entry.ea_length % ufs.EA_ALIGNMENT or contents < 0 or at + entry.ea_length > length:
                    message = f"an extended attribute of {entry.ea_length} bytes with {length - at} left"
                    yield fault(f"{name}[{index}]", ImageError(message, offset=start + at))
                    return
                padding = base - decoder.size - entry.ea_namelength
                parts = ("name", entry.ea_namelength), ("name_padding", padding), ("contents", contents)
                shown = Followed(decoder, *parts, ("padding", entry.ea_contentpadlen))
                yield Structure(f"{name}[{index}]", shown, start + at)
                at, index = at + entry.ea_length, index + 1
            left -= length

    def _indirect(self, node: UfsNode) -> Iterator[Structure]:
        """Yield the blocks of pointers of a file, each once; their numbers count fragments."""
        filesystem = self.filesystem
        budget = limits.INSPECT_BLOCKS.budget(f"inode {node.number}")
        todo = list(enumerate(node.inode.di_ib, 1))
        seen: set[int] = set()
        for level, fragment in todo:
            if not fragment or fragment in seen:
                continue
            seen.add(fragment)
            name = f"inode[{node.number}].indirect_block[{fragment}]"
            filesystem.check_fragments(fragment, filesystem.frag, name)
            decoder = filesystem.daddr.repeated(filesystem.nindir)
            yield Structure(name, decoder, fragment * filesystem.fsize)
            if level > 1:
                below = [pointer for pointer in filesystem.pointers(fragment, name) if pointer]
                budget.spend(len(below))  # what waits takes memory
                todo += [(level - 1, pointer) for pointer in below]

    def _directory(self, node: UfsNode) -> Iterator[Structure]:
        """Yield the entries of a directory, free ones too, block by block (of fs_bsize bytes)."""
        limits.UFS_DIRECTORY_SIZE.check(node.size, f"directory inode {node.number}")
        size, block = self.filesystem.bsize, 0
        for run in node.runs():
            if isinstance(run, Extent):
                for start in range(0, run.length, size):
                    data = run.source.read(run.offset + start, min(size, run.length - start), "directory")
                    name = f"inode[{node.number}].directory_block[{block + start // size}].entry"
                    yield from self._entries(name, data, run.offset + start)
            block += -(-run.length // size)

    def _entries(self, name: str, data: bytes, offset: int) -> Iterator[Structure]:
        decoder = self.filesystem.direct
        place = number = 0
        while place + decoder.size <= len(data):
            entry = decoder.decode(data, place)
            room = min(entry.d_reclen, len(data) - place) - decoder.size
            if entry.d_reclen % 4 or room < 0 or place + entry.d_reclen > len(data):
                yield Structure(f"{name}[{number}]", decoder, offset + place)
                message = f"an entry of {entry.d_reclen} bytes with {len(data) - place} bytes left"
                yield fault(f"{name}[{number}]", ImageError(message, offset=offset + place))
                return
            length = min(entry.d_namlen, room)
            shown = Followed(decoder, ("name", length), ("unused", room - length))
            yield Structure(f"{name}[{number}]", shown, offset + place)
            place += entry.d_reclen
            number += 1

    def owner(self, offset: int) -> str:
        """Return the name of the structure of a cylinder group, or the inode, at a byte."""
        group = offset // self.filesystem.fsize // max(1, self.fields.fs_fpg)
        if not 0 <= group < self.fields.fs_ncg:
            return ""
        for found in (*self._superblocks(), *self.group(group)):
            if found.offset <= offset < found.offset + length_of(found.decoder):
                return found.name
        first = max(1, group * self.fields.fs_ipg)
        with suppress(ImageError):
            start = self.filesystem.inode_offset(first)
            index = (offset - start) // self.filesystem.dinode.size
            if 0 <= index < self.fields.fs_ipg - (group == 0):
                return f"inode[{first + index}]"
        return ""
