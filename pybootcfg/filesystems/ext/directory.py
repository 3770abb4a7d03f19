"""Directories: lists of entries in blocks or in the inode, found by scanning or by their index.

Facts: kernel documentation, "Directory Entries"; __ext4_check_dir_entry of fs/ext4/dir.c.
"""

from __future__ import annotations

from functools import partial

from pybootcfg import limits, schema
from pybootcfg.checksums import crc32c, crc32c_records, crc32c_zeros
from pybootcfg.errors import ImageError, UnsupportedFeature
from pybootcfg.filesystems.ext.inline import inline_parts
from pybootcfg.filesystems.ext.inode import Inode
from pybootcfg.filesystems.ext.mapping import mapped
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from pybootcfg.filesystems.ext.inode import Newer

layout = schema.load("ext")

HEADER_SIZE: int = layout.directory_entry.size
INTERIOR_COUNT_OFFSET = 8  # bytes from an index block's start to its count, and
ROOT_COUNT_OFFSET = 32  # the same in block 0
SMALL = 1 << 22  # bytes; a directory up to this size is scanned before a miss is believed
STRETCH_SIZE = 65536  # bytes of a directory read at once when all of it is wanted
DOTS = frozenset((b".", b".."))

#: a name and the number of the inode that it is a name of
Entry = tuple[bytes, int]


class Directory:
    """One directory; `changes` are the names that fast commits gave to it (or took: None).

    One that is fresh was made by them too, so that its blocks hold nothing yet.
    """

    def __init__(
        self, inode: Inode, changes: Mapping[bytes, int | None] | None = None, *, is_fresh: bool = False
    ) -> None:
        if inode.has(layout.ENCRYPT_FL):
            raise UnsupportedFeature(
                "encrypt", f"{inode.name} is an encrypted directory: its names cannot be read"
            )
        self.inode = inode
        self.blocks = inode.blocks
        self.changes = changes or {}
        self.is_fresh = is_fresh

    def entries(self) -> Iterator[Entry]:
        """Yield the entries in the order of the disk, without `.` and `..`."""
        left_out = DOTS | self.changes.keys()
        for entry in self._on_disk(self._all_blocks):
            if entry[0] not in left_out:
                yield entry
        for name, number in self.changes.items():
            if number is not None:
                yield name, number

    def find(self, name: bytes) -> int | None:
        """Return the number of the inode called `name`, by the index where there is one."""
        if not 0 < len(name) <= layout.NAME_LEN:
            return None
        if name in self.changes:
            return self.changes[name]
        ignores_case = self.inode.has(layout.CASEFOLD_FL) and self.blocks.superblock.has_incompat("casefold")
        fold, key = None, name
        if ignores_case:
            from pybootcfg.filesystems.ext.casefold import folded

            fold, key = folded, folded(name)
        if self._is_indexed and not (self.changes and ignores_case):
            found, is_sure = self._find_by_index(name, key, fold)
            if is_sure:
                return found
        if fold is not None:
            return next((number for found, number in self.entries() if fold(found) == key), None)
        blocks = partial(self._blocks_with, name)
        return next((number for found, number in self._on_disk(blocks) if found == name), None)

    def _find_by_index(
        self, name: bytes, key: bytes, fold: Callable[[bytes], bytes] | None
    ) -> tuple[int | None, bool]:
        """Return what the index says of a name, and whether that is to be believed."""
        from pybootcfg.filesystems.ext.htree import Index, NotIndexed

        try:
            found = Index(self.inode, self._block, records).find(name, key, fold)
        except NotIndexed:
            return None, False
        except ImageError as error:
            self.blocks.unindexed.add(self.inode.number)
            self.blocks.warn(f"the index of {self.inode.name} is damaged, so that it is scanned: {error}")
            return None, False
        return found, found is not None or self._believes_miss(fold is None or key.isascii())

    def _believes_miss(self, has_sure_hash: bool) -> bool:
        """Whether a name that the index does not lead to is not there.

        Linux may fold what is not ASCII by an older Unicode, and so have it elsewhere.  GRUB never uses the
        index, so that it would find what a damaged one hides; without checksums that is not to be seen.
        """
        if not has_sure_hash:
            return False
        return self.blocks.superblock.metadata_csum or self.inode.size > SMALL

    @property
    def _is_indexed(self) -> bool:
        distrusted = self.inode.number in self.blocks.unindexed
        if distrusted or self.is_fresh or self.inode.has(layout.INLINE_DATA_FL):
            return False
        return self.inode.has(layout.INDEX_FL) and self.blocks.superblock.has_compat("dir_index")

    def _on_disk(self, blocks: Callable[[int, int], Iterator[tuple[bytes, int]]]) -> Iterator[Entry]:
        """Yield the entries in those blocks of the directory that `blocks` yields of each run of them."""
        if self.is_fresh:
            return
        if self.inode.has(layout.INLINE_DATA_FL):
            yield from self._inline()
            return
        limits.DIRECTORY_SIZE.check(self.inode.size, self.inode.name)
        stop = -(-self.inode.size // self.blocks.size)
        for run in mapped(self.inode, 0, stop):
            end = run.physical + min(run.length, stop - run.logical)
            for data, offset in blocks(run.physical, end):
                yield from records(self.inode, data, offset)

    def _blocks_with(self, wanted: bytes, first: int, end: int) -> Iterator[tuple[bytes, int]]:
        """Yield (block, byte offset) for blocks of the volume in which `wanted` stands."""
        for number in range(first, end):
            data = self.blocks.read(number, self.inode.name, self._verify)
            if wanted in data:
                yield data, number * self.blocks.size

    def _all_blocks(self, first: int, end: int) -> Iterator[tuple[bytes, int]]:
        """Yield (block, byte offset) for blocks of the volume, which are read and verified many at a time."""
        size = self.blocks.size
        step = STRETCH_SIZE // size
        for start in range(first, end, step):
            count = min(step, end - start)
            try:
                data = self.blocks.source.read(start * size, count * size, self.inode.name)
            except (ImageError, OSError):
                yield from self._blocks_with(b"", start, start + count)  # up to the one that cannot be read
                continue
            blocks = [data[place : place + size] for place in range(0, len(data), size)]
            offsets = range(start * size, end * size, size)
            for block, offset, register in zip(blocks, offsets, self._registers(blocks), strict=False):
                self._verify(block, offset, register)
                yield block, offset

    def _registers(self, blocks: Sequence[bytes]) -> Sequence[int | None]:
        """Return for each block of entries the register of crc32c that its checksum is to have.

        None is for a block by itself, whose zeros then need no work.
        """
        if len(blocks) == 1 or not self.blocks.superblock.metadata_csum:
            return [None] * len(blocks)
        size = self.blocks.size
        end = size - layout.directory_tail.size
        # Zeros in front leave a zero register as it is, so that they make up for what does not count.
        table = b"".join([block[:end].rjust(size, b"\0") for block in blocks])
        seed = crc32c_zeros(self.inode.checksum_seed, end)
        return [register ^ seed for register in crc32c_records(table, size)]

    def _inline(self) -> Iterator[Entry]:
        """Yield the entries in the inode, where the number of the parent stands for `.` and `..`."""
        block, value = inline_parts(self.inode)
        start = layout.inline_directory.size
        yield from records(self.inode, block.data[start:], block.offset + start)
        yield from records(self.inode, value.data, value.offset)

    def _block(self, logical: int) -> tuple[bytes, int]:
        """Return one block of the directory and its byte offset; ImageError for a hole."""
        if 0 <= logical < -(-self.inode.size // self.blocks.size):
            run = next(mapped(self.inode, logical, logical + 1), None)
            if run is not None and run.logical <= logical:
                number = run.physical + logical - run.logical
                return self.blocks.read(number, self.inode.name, self._verify), number * self.blocks.size
        raise self.inode.damage(f"block {logical} of the directory is not there")

    def _verify(self, data: bytes, offset: int, register: int | None = None) -> None:
        """Warn when a block that was read from byte `offset` has a bad checksum.

        `register` is the right one for a block of entries, where that is known already.
        """
        if not self.blocks.superblock.metadata_csum:
            return
        count_offset = _count_offset(data) if self.inode.has(layout.INDEX_FL) else 0
        if not (
            self._verify_index(data, count_offset) if count_offset else self._verify_leaf(data, register)
        ):
            if count_offset:
                self.blocks.unindexed.add(self.inode.number)
            self.blocks.warn(f"a directory block of {self.inode.name} at byte {offset:#x} has a bad checksum")

    def _verify_leaf(self, data: bytes, register: int | None) -> bool:
        end = len(data) - layout.directory_tail.size
        try:
            stored = layout.directory_tail.decode(data, end).det_checksum
        except ImageError:
            return False  # there is no room for one
        computed = crc32c(data[:end], self.inode.checksum_seed) if register is None else register
        return bool(computed == stored)

    def _verify_index(self, data: bytes, count_offset: int) -> bool:
        header = layout.dx_countlimit.decode(data, count_offset)
        tail = count_offset + header.limit * layout.dx_entry.size
        end = count_offset + header.count * layout.dx_entry.size
        if header.count > header.limit or tail + layout.dx_tail.size > len(data):
            return False
        stored = layout.dx_tail.decode(data, tail).dt_checksum
        covered = data[:end] + data[tail : tail + 4] + bytes(4)
        return bool(crc32c(covered, self.inode.checksum_seed) == stored)


class FastCommits:
    """What the fast commits of one journal made of a file system.

    `inodes` are the newer inodes by number; `names` are, for each directory's inode number, the names
    that came (with an inode number) or went (None); `fresh` are directories that did not exist
    before, whose blocks hold nothing yet.
    """

    def __init__(self) -> None:
        self.inodes: dict[int, Newer] = {}
        self.names: dict[int, dict[bytes, int | None]] = {}
        self.fresh: set[int] = set()

    def directory(self, inode: Inode) -> Directory:
        """Return a directory as it is after the fast commits."""
        return Directory(inode, self.names.get(inode.number), is_fresh=inode.number in self.fresh)


def _count_offset(data: bytes) -> int:
    """Return where an index block has its count; 0 for a block of entries (get_dx_countlimit of Linux)."""
    first = layout.directory_entry.decode(data)
    if not first.inode and record_length(first.rec_len, len(data)) == len(data):
        return INTERIOR_COUNT_OFFSET
    if first.rec_len == layout.MIN_REC_LEN:
        root = layout.dx_root
        try:
            second = root.decode(data).dotdot
        except ImageError:
            return 0
        if record_length(second.rec_len, len(data)) == len(data) - layout.MIN_REC_LEN:
            return ROOT_COUNT_OFFSET
    return 0


def record_length(rec_len: int, block_size: int) -> int:
    """Return the bytes from an entry to the next; 16 bits cannot say 65536 (ext2fs_get_rec_len)."""
    if block_size < 1 << 16:
        return rec_len
    if rec_len in (0, 0xFFFF):
        return block_size
    return rec_len & 0xFFFC | (rec_len & 3) << 16


def records(inode: Inode, data: bytes, offset: int) -> Iterator[Entry]:
    """Yield the entries in use of one block (or inline part) that lies at byte `offset`.

    Raises ImageError for the first entry that cannot be right.
    """
    unpack = layout.directory_entry.unpack
    least: int = layout.MIN_REC_LEN
    size = len(data)
    large = size >= 1 << 16
    last = size - HEADER_SIZE
    position = 0
    while position < size:
        if position > last:
            raise inode.damage("an entry goes beyond its block", offset + position)
        number, length, name_length, _ = unpack(data, position)
        if large:
            length = record_length(length, size)
        start = position + HEADER_SIZE
        name_end = start + name_length
        end = position + length
        if length < least or length & 3 or end > size or name_end > end:
            raise inode.damage(f"an entry of {length} bytes with a name of {name_length}", offset + position)
        if number:
            name = data[start:name_end]
            if name and b"/" not in name and b"\0" not in name:
                yield name, number
            else:
                inode.blocks.warn(
                    f"an entry of {inode.name} at byte {offset + position:#x} is called {name!r}"
                )
        position = end
