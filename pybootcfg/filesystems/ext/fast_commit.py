"""Fast commits: what happened to inodes, names and extents since the last full commit of the journal.

The area behind the log holds tags, not blocks.  They are not replayed into blocks either: the outcome
is the newest inodes, the ranges of blocks that moved, and for each directory the names that came and
went, which the readers of inodes and directories put over what is on the disk.

Facts: the comment at the head of fs/ext4/fast_commit.c; ext4_fc_replay_scan there for what counts as
a complete fast commit, ext4_fc_replay for what the tags do.
"""

from __future__ import annotations

from pybootcfg import limits, schema
from pybootcfg.checksums import crc32c
from pybootcfg.errors import BootcfgError, ImageError
from pybootcfg.filesystems.ext.blocks import Blocks
from pybootcfg.filesystems.ext.directory import FastCommits
from pybootcfg.filesystems.ext.inode import UNCHANGED, InodeTable, Mapped, Newer
from pybootcfg.filesystems.ext.log import Log
from pybootcfg.kind import Kind
from pybootcfg.values import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

layout = schema.load("ext")
jbd2 = schema.load("jbd2")

TAG_SIZE: int = jbd2.fc_tl.size


class Tag(NamedTuple):
    """One tag: what it is, its value, and both as they stand, for the checksum."""

    kind: int
    value: bytes
    raw: bytes


class Replay:
    """Applies the tags in the order of the log; `run` does it."""

    def __init__(self, log: Log, expected: int, inodes: InodeTable, outcome: FastCommits) -> None:
        self.log = log
        self.expected = expected
        self.inodes = inodes
        self.blocks: Blocks = inodes.blocks
        self.outcome = outcome

    def run(self) -> None:
        """Apply the complete fast commits that follow transaction `expected` - 1."""
        steps: dict[int, Callable[[bytes], None]] = {
            jbd2.FC_ADD_RANGE: self._add_range,
            jbd2.FC_DEL_RANGE: self._del_range,
            jbd2.FC_CREAT: self._create,
            jbd2.FC_LINK: self._link,
            jbd2.FC_UNLINK: self._unlink,
            jbd2.FC_INODE: self._inode,
        }
        count = self._complete()
        for number, tag in enumerate(self._tags()):
            if number >= count:
                return
            step = steps.get(tag.kind)
            if step is None:
                continue
            try:
                step(tag.value)
            except BootcfgError as error:
                self.blocks.warn(f"journal: a fast commit's tag {_name(tag.kind)} cannot be applied: {error}")

    def _tags(self) -> Iterator[Tag]:
        """Yield the tags of the area in order, up to the first that cannot be one."""
        budget = limits.EXT_FAST_COMMIT_TAGS.budget("journal")
        for position in self.log.fast_commit_area:
            try:
                data = self.log.read(position)
            except ImageError as error:
                self.blocks.warn(f"journal: the fast commits end where they cannot be read: {error}")
                return
            at = 0
            while at + TAG_SIZE <= len(data):
                budget.spend()
                head = jbd2.fc_tl.decode(data, at)
                end = at + TAG_SIZE + head.fc_len
                if end > len(data) or not self._is_long_enough(head.fc_tag, head.fc_len):
                    return
                yield Tag(head.fc_tag, data[at + TAG_SIZE : end], data[at:end])
                at = end

    def _is_long_enough(self, kind: int, length: int) -> bool:
        """Whether a value of that length can belong to the tag (ext4_fc_value_len_isvalid)."""
        if kind in (jbd2.FC_CREAT, jbd2.FC_LINK, jbd2.FC_UNLINK):
            return bool(0 < length - jbd2.fc_dentry_info.size <= layout.NAME_LEN)
        if kind == jbd2.FC_INODE:
            size = length - jbd2.fc_inode.size
            return bool(layout.GOOD_OLD_INODE_SIZE <= size <= self.blocks.superblock.inode_size)
        if kind in (jbd2.FC_PAD, jbd2.FC_TAIL):
            return bool(length >= (jbd2.fc_tail.size if kind == jbd2.FC_TAIL else 0))
        sizes = {
            jbd2.FC_ADD_RANGE: jbd2.fc_add_range.size,
            jbd2.FC_DEL_RANGE: jbd2.fc_del_range.size,
            jbd2.FC_HEAD: jbd2.fc_head.size,
        }
        return length == sizes.get(kind)

    def _complete(self) -> int:
        """Return how many tags belong to fast commits whose tails are there and have right checksums."""
        count = complete = 0
        register = 0
        for tag in self._tags():
            if count == 0 and tag.kind != jbd2.FC_HEAD:
                break
            count += 1
            if tag.kind == jbd2.FC_TAIL:
                tail = jbd2.fc_tail.decode(tag.value)
                register = crc32c(tag.raw[: TAG_SIZE + jbd2.FC_TAIL_CHECKSUMMED], register)
                if tail.fc_tid != self.expected or tail.fc_crc != register:
                    if not complete:
                        self.blocks.warn("journal: the fast commits have a bad checksum; they are left out")
                    break
                complete = count
                register = 0
                continue
            if tag.kind == jbd2.FC_HEAD:
                head = jbd2.fc_head.decode(tag.value)
                if head.fc_features:
                    self.blocks.warn(
                        f"journal: fast commits with features {head.fc_features:#x} are not supported; "
                        "they are left out"
                    )
                    break
                if head.fc_tid != self.expected:
                    break
            register = crc32c(tag.raw, register)
        return complete

    def _inode(self, value: bytes) -> None:
        """Take over an inode, but where its blocks lie: ranges say that."""
        number = jbd2.fc_inode.decode(value).fc_ino
        logged = value[jbd2.fc_inode.size :]
        current = self.inodes.read(number, in_use=False)
        newer = layout.inode.decode(logged)
        block = current.record.i_block
        if newer.i_flags & layout.EXTENTS_FL:
            if not block.startswith(layout.EXT_MAGIC):
                block = layout.EXT_EMPTY_ROOT
        elif newer.i_flags & layout.INLINE_DATA_FL or newer.i_mode & layout.S_IFMT not in (
            layout.S_IFREG,
            layout.S_IFDIR,
        ):
            block = newer.i_block  # data, a link's target or a device number
        raw = (
            logged[: layout.I_BLOCK_OFFSET]
            + block
            + logged[layout.I_GENERATION_OFFSET :]
            + current.raw[len(logged) :]
        )
        self.outcome.inodes[number] = Newer(raw, self._moved(number))

    def _moved(self, number: int) -> tuple[Mapped, ...]:
        return self.outcome.inodes.get(number, UNCHANGED).moved

    def _add_range(self, value: bytes) -> None:
        tag = jbd2.fc_add_range.decode(value)
        written = tag.ee_len <= layout.EXT_INIT_MAX_LEN
        length = tag.ee_len if written else tag.ee_len - layout.EXT_INIT_MAX_LEN
        physical = tag.ee_start_lo | tag.ee_start_hi << 32
        inode = self.inodes.read(tag.fc_ino)
        self.blocks.check(physical, length, inode.name, inode.offset)
        # What is not written yet reads as zeros, and so does a hole.
        self._move(tag.fc_ino, Mapped(tag.ee_block, physical if written else 0, length))

    def _del_range(self, value: bytes) -> None:
        tag = jbd2.fc_del_range.decode(value)
        self.inodes.offset(tag.fc_ino)
        self._move(tag.fc_ino, Mapped(tag.fc_lblk, 0, tag.fc_len))

    def _move(self, number: int, change: Mapped) -> None:
        """Put one range over those that were moved before."""
        end = change.logical + change.length
        moved = [change]
        for piece in self._moved(number):
            last = piece.logical + piece.length
            if piece.logical < change.logical:
                moved.append(piece._replace(length=min(last, change.logical) - piece.logical))
            if last > end:
                start = max(end, piece.logical)
                physical = piece.physical + start - piece.logical if piece.physical else 0
                moved.append(Mapped(start, physical, last - start))
        moved = sorted(piece for piece in moved if piece.length)
        newer = self.outcome.inodes.get(number, UNCHANGED)
        self.outcome.inodes[number] = newer._replace(moved=tuple(moved))

    def _create(self, value: bytes) -> None:
        number = jbd2.fc_dentry_info.decode(value).fc_ino
        if self.inodes.read(number).kind is Kind.DIRECTORY:
            self.outcome.fresh.add(number)
            self.outcome.names[number] = {}
        self._link(value)

    def _link(self, value: bytes) -> None:
        entry = jbd2.fc_dentry_info.decode(value)
        name = value[jbd2.fc_dentry_info.size :]
        if name in (b".", b"..") or b"/" in name or b"\0" in name:
            raise ImageError(f"an entry is called {name!r}", structure=f"inode[{entry.fc_parent_ino}]")
        self.inodes.offset(entry.fc_ino)
        self._names(entry.fc_parent_ino)[name] = entry.fc_ino

    def _unlink(self, value: bytes) -> None:
        """Take a name away, if it still is that inode's: another one may have got it since."""
        entry = jbd2.fc_dentry_info.decode(value)
        name = value[jbd2.fc_dentry_info.size :]
        directory = self.outcome.directory(self.inodes.read(entry.fc_parent_ino))
        if directory.find(name) == entry.fc_ino:
            self._names(entry.fc_parent_ino)[name] = None

    def _names(self, number: int) -> dict[bytes, int | None]:
        parent = self.inodes.read(number)
        if parent.kind is not Kind.DIRECTORY:
            raise parent.damage("it is no directory")
        return self.outcome.names.setdefault(number, {})


def _name(kind: int) -> str:
    names: dict[int, str] = {bit: name for name, bit in jbd2.FC_TAGS.items()}
    return names.get(kind, str(kind))
