"""ReiserFS 3.5 and 3.6: the super block, and what holds the file system together.

Specification: fs/reiserfs of Linux 6.1; labels and UUIDs as libblkid of util-linux 2.38 gives them.
"""

from __future__ import annotations

import functools

from pybootcfg import schema
from pybootcfg.errors import ImageError, LimitExceeded
from pybootcfg.filesystems.base import Extent, Filesystem, Node, Options, uuid_text
from pybootcfg.filesystems.reiserfs import directory, hashes
from pybootcfg.filesystems.reiserfs.journal import Journal, Transaction
from pybootcfg.filesystems.reiserfs.node import ReiserfsNode
from pybootcfg.filesystems.reiserfs.tree import Tree
from pybootcfg.source import Overlay, Source
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    from pybootcfg.filesystems.reiserfs.inspection import ReiserfsStructures

layout = schema.load("reiserfs")

_FORMAT_3_5 = layout.REISERFS_SUPER_MAGIC_STRING.ljust(10, b"\0")
_FORMAT_3_6 = layout.REISER2FS_SUPER_MAGIC_STRING.ljust(10, b"\0")
_RELOCATED = layout.REISER2FS_JR_SUPER_MAGIC_STRING.ljust(10, b"\0")
_MAGICS = (_FORMAT_3_5, _FORMAT_3_6, _RELOCATED)


class Reiserfs(Filesystem):
    """A ReiserFS file system, its journal replayed in memory."""

    family = "reiserfs"

    def __init__(self, source: Source, options: Options) -> None:
        super().__init__(source, options)
        self.superblock_offset = _superblock_offset(source)
        superblock = self._superblock(source)
        self.journal, self.pending, self._newest = self._read_journal(superblock)
        #: the file system as it is once the journal is replayed
        self.replayed = Overlay(source, superblock.s_blocksize, self._newest) if self._newest else source
        self.block_size: int = superblock.s_blocksize
        self.superblock = superblock = self._superblock(self.replayed)
        if superblock.s_blocksize != self.block_size:
            raise self._damage("the copy in the journal has another block size")
        self.tree = Tree(
            self.replayed, self.block_size, superblock.s_block_count, superblock.s_root_block, self.warn
        )
        self.root_object = (layout.REISERFS_ROOT_PARENT_OBJECTID, layout.REISERFS_ROOT_OBJECTID)
        self._warn_of_state()

    def _superblock(self, source: Source) -> Any:
        """Read and check the super block, the part that both formats have."""
        at = self.superblock_offset
        superblock = layout.reiserfs_super_block_v1.read(source, at)
        size, count, root = superblock.s_blocksize, superblock.s_block_count, superblock.s_root_block
        if superblock.s_magic not in _MAGICS:
            raise self._damage("the copy in the journal is not one of a super block")
        if size & (size - 1) or not layout.MIN_BLOCKSIZE <= size <= layout.MAX_BLOCKSIZE:
            raise self._damage(f"block size {size} is not a power of two from 512 to 8192")
        if root == layout.UNFINISHED_REBUILD:
            raise self._damage("a run of reiserfsck --rebuild-tree was not finished")
        if not 0 < root < count:
            raise self._damage(f"the root is block {root} of {count}")
        return superblock

    def _damage(self, message: str) -> ImageError:
        return ImageError(
            message, offset=self.superblock_offset, structure="superblock", source=self.source.name
        )

    def _read_journal(self, superblock: Any) -> tuple[Journal | None, list[Transaction], dict[int, int]]:
        """Return the journal, what is to be replayed, and where each block's newest copy is."""
        if superblock.s_magic == _RELOCATED and superblock.s_journal.jp_journal_dev:
            if superblock.s_umount_state != layout.REISERFS_VALID_FS:
                self.warn("the journal is on another device and was not replayed; files may be out of date")
            return None, [], {}
        journal: Journal | None = None
        pending: list[Transaction] = []
        newest: dict[int, int] = {}
        try:
            journal = Journal(self.source, superblock)
            for transaction in journal.pending():
                copies = journal.copies(transaction)
                pending.append(transaction)
                if self.options.replay_journal:
                    newest.update(copies)
        except (ImageError, LimitExceeded) as error:
            self.warn(f"the journal cannot be replayed: {error}")
        if pending and not self.options.replay_journal:
            self.warn(f"the journal holds {len(pending)} transactions that were not replayed")
        return journal, pending, newest

    def _warn_of_state(self) -> None:
        superblock = self.superblock
        if superblock.s_fs_state:
            self.warn("the super block says that the file system has errors; reiserfsck may repair them")
        if superblock.s_block_count * self.block_size > self.source.size:
            self.warn("the volume is shorter than its file system")

    @property
    def name(self) -> str:
        """One name for both formats, as everybody else gives it."""
        return "reiserfs"

    @property
    def version(self) -> str:
        """The format, `3.5` or `3.6`; either may hold objects of the other."""
        magic = self.superblock.s_magic
        newer = magic == _FORMAT_3_6 or (
            magic == _RELOCATED and self.superblock.s_version == layout.REISERFS_VERSION_2
        )
        return "3.6" if newer else "3.5"

    @functools.cached_property
    def root(self) -> Node:
        """The object whose key never changes."""
        return ReiserfsNode(self, *self.root_object)

    @functools.cached_property
    def identity(self) -> Any:
        """The whole super block; None for format 3.5, where something else lies there."""
        if self.superblock.s_magic == _FORMAT_3_5:
            return None
        return layout.reiserfs_super_block.read(self.replayed, self.superblock_offset)

    @property
    def label(self) -> str:
        """The label of the super block; format 3.5 has none."""
        if self.identity is None:
            return ""
        text: bytes = self.identity.s_label.partition(b"\0")[0]
        return text.rstrip().decode("utf-8", "surrogateescape")

    @property
    def uuid(self) -> str:
        """The UUID of the super block; format 3.5 has none."""
        if self.identity is None or not any(self.identity.s_uuid):
            return ""
        return uuid_text(self.identity.s_uuid)

    @property
    def features(self) -> tuple[str, ...]:
        """The format, the kind of journal, the hash, and the flags of the super block."""
        names = [self.version]
        if self.superblock.s_magic == _RELOCATED:
            names.append("journal_relocated")
        names += [hashes.NAMES[code] for code in self.hash_codes if len(self.hash_codes) == 1]
        if self.version == "3.6" and self.identity.s_flags & layout.REISERFS_ATTRS_CLEARED:
            names.append("attrs_cleared")
        return tuple(names)

    @functools.cached_property
    def hash_codes(self) -> tuple[int, ...]:
        """The hashes that names may be sorted by, most often one; none when they must be scanned.

        The super block's word is held against the root directory, as Linux finds an unset one.
        """
        code = self.superblock.s_hash_function_code
        try:
            fitting = directory.fitting_hashes(self.tree, self.root_object)
        except (ImageError, LimitExceeded) as error:
            self.warn(f"the root directory cannot be read: {error}")
            fitting = tuple(hashes.FUNCTIONS)
        if code in fitting:
            return (code,)
        if code:
            self.warn(f"names are not sorted by the hash that the super block says ({code})")
        return fitting

    def extent(self, start: int, length: int) -> Extent:
        """Return `length` bytes from byte `start` on, straight from the disk where no newer copies are."""
        size = self.block_size
        blocks = range(start // size, -(-(start + length) // size))
        stale = len(self._newest) and not self._newest.keys().isdisjoint(blocks)
        return Extent(self.replayed if stale else self.source, start, length)

    @property
    def journal_state(self) -> str:
        """Whether transactions wait in the journal."""
        if self.journal is None:
            return ""
        done = "replayed in memory" if self._newest else "not replayed"
        return f"not clean: {len(self.pending)} transactions, {done}" if self.pending else "clean"

    @functools.cached_property
    def structures(self) -> ReiserfsStructures:
        """The structures that `inspect` can show."""
        from pybootcfg.filesystems.reiserfs.inspection import ReiserfsStructures

        return ReiserfsStructures(self)

    def place(self, at: int) -> int:
        """Return where on the disk the block at byte `at` of the replayed file system lies."""
        number, rest = divmod(at, self.block_size)
        newest = self._newest.get(number)
        return at if newest is None else newest + rest


def _superblock_offset(source: Source) -> int:
    """Return where the super block is, in bytes; Linux looks at the old place first, too."""
    for offset in (layout.REISERFS_OLD_DISK_OFFSET_IN_BYTES, layout.REISERFS_DISK_OFFSET_IN_BYTES):
        if offset + layout.reiserfs_super_block.size > source.size:
            continue
        superblock = layout.reiserfs_super_block_v1.read(source, offset)
        if superblock.s_magic not in _MAGICS:
            continue
        journal = superblock.s_journal.jp_journal_1st_block * superblock.s_blocksize
        if not 0 < journal <= offset:  # else it is a copy in a journal
            return int(offset)
    raise ImageError("there is no ReiserFS super block", structure="superblock", source=source.name)
