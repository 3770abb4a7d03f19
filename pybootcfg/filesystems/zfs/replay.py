"""The intent log replayed in memory: files and directories as they are after the next import.

Specification: OpenZFS module/zfs/zfs_replay.c and zfs_log.c.  Nothing is written; the changes lie over the
objects of the dataset, and file data stays where it is in the log until it is read.
"""

from __future__ import annotations

import bisect
import functools

from pybootcfg import limits, schema
from pybootcfg.errors import GuestFileMissing, ImageError, LimitExceeded
from pybootcfg.filesystems.base import Inline, Node, Run
from pybootcfg.filesystems.zfs import zil
from pybootcfg.filesystems.zfs.blkptr import SIZE, BlockPointer, bits, decode, ordered
from pybootcfg.filesystems.zfs.dmu import ObjectSet
from pybootcfg.filesystems.zfs.zil import Record
from pybootcfg.filesystems.zfs.znode import Attributes, FileSystem, Znode
from pybootcfg.values import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

layout = schema.load("zfs_zil")
zpl_layout = schema.load("zfs_zpl")

CHUNK = 131072  # bytes of a changed file read at a time
NAMED = 20  # files that the warning names


class Edit(NamedTuple):
    """`length` bytes at `offset` of a file that the log replaces.

    They are zeros (None), or begin `skip` bytes into bytes or a block.
    """

    offset: int
    length: int
    data: bytes | BlockPointer | None
    skip: int = 0

    @property
    def end(self) -> int:
        """The offset after the last byte."""
        return self.offset + self.length

    def part(self, start: int, end: int) -> Edit:
        """Return what of it lies in a range of the file that overlaps it."""
        start, end = max(start, self.offset), min(end, self.end)
        return Edit(start, end - start, self.data, self.skip + start - self.offset)


class Change:
    """What the log does to one object; None leaves it as it is."""

    def __init__(
        self,
        *,
        created: bool = False,
        mode: int | None = None,
        size: int | None = None,
        mtime: int | None = None,
        target: bytes | None = None,
    ) -> None:
        self.created = created
        self.mode = mode
        self.size = size
        self.mtime = mtime
        self.target = target
        self.edits: list[Edit] = []
        self.names: dict[bytes, int | None] = {}  # of a directory; None: removed

    def place(self, edit: Edit) -> None:
        """Put an edit over the earlier ones; the list stays sorted and free of overlaps."""
        first, last = self._range(edit.offset, edit.end)
        olds = self.edits[first:last]
        before = [old.part(old.offset, edit.offset) for old in olds if old.offset < edit.offset]
        after = [old.part(edit.end, old.end) for old in olds if old.end > edit.end]
        self.edits[first:last] = [*before, edit, *after]

    def within(self, start: int, end: int) -> list[Edit]:
        """Return the edits of a range, cut to it."""
        first, last = self._range(start, end)
        return [edit.part(start, end) for edit in self.edits[first:last]]

    def _range(self, start: int, end: int) -> tuple[int, int]:
        first = bisect.bisect_right(self.edits, start, key=_offset)
        if first and self.edits[first - 1].end > start:
            first -= 1
        return first, bisect.bisect_left(self.edits, end, first, key=_offset)


class ReplayedFileSystem(FileSystem):
    """A dataset with the records of its log on top."""

    def __init__(
        self, objects: ObjectSet, key: int, records: list[Record], warn: Callable[[str], None]
    ) -> None:
        super().__init__(objects, key)
        self.changes: dict[int, Change] = {}
        self.touched: dict[str, None] = {}
        self._naming = limits.ZFS_LOG_NAMES.budget()
        self._memory = limits.ZFS_LOG_DATA.budget(f"{objects.name}: intent log")
        done = 0
        try:
            for record in records:
                self._replay(record)
                done += 1
        except ImageError as error:
            warn(f"{objects.name}: the intent log is damaged after {done} records: {error}")
        names = list(self.touched)
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        warn(
            f"{objects.name}: {done} records of the intent log are replayed in memory; "
            f"they touch {', '.join(names[:NAMED])}{more}"
        )

    def node(self, number: int) -> Znode:
        """Return the file or directory whose object is `number`, as the log left it."""
        change = self.changes.get(number)
        return Znode(self, number) if change is None else ReplayedZnode(self, number, change)

    # --- records ---------------------------------------------------------------------------------

    def _replay(self, record: Record) -> None:
        handler = _HANDLERS.get(record.type)
        if handler is not None and (record.type not in _OUT_OF_ORDER or self._there(record)):
            handler(self, record)

    def _there(self, record: Record) -> bool:
        """Return whether the object is there; writes may be logged after its removal."""
        number = bits(self._head(record, "lr_object").lr_foid, layout.LR_FOID_OBJ)
        if number in self.changes:
            return True
        try:
            Znode(self, number).attributes  # noqa: B018 - it is read
        except ImageError:
            return False
        return True

    def _change(self, number: int) -> Change:
        return self.changes.setdefault(bits(number, layout.LR_FOID_OBJ), Change())

    def _head(self, record: Record, name: str) -> Any:
        return ordered(getattr(layout, name), big=record.big).decode(record.data)

    def _touch(self, directory: int, name: bytes) -> None:
        if len(self.touched) < limits.ZFS_LOG_NAMES.value:
            self.touched[self.path(directory, name)] = None

    def _create(self, record: Record) -> None:
        head = self._head(record, "lr_create")
        name, target = self._names(record, _name_offset(record))
        number = bits(head.lr_foid, layout.LR_FOID_OBJ)
        self.changes[number] = Change(
            created=True,
            mode=head.lr_mode,
            size=len(target) if record.type == layout.TX_SYMLINK else 0,
            mtime=head.lr_crtime[0],
            target=target if record.type == layout.TX_SYMLINK else None,
        )
        self._change(head.lr_doid).names[name] = number
        self._touch(head.lr_doid, name)

    def _remove(self, record: Record) -> None:
        head = self._head(record, "lr_object")
        name, _ = self._names(record, layout.lr_object.size)
        self._change(head.lr_foid).names[name] = None
        self._touch(head.lr_foid, name)

    def _link(self, record: Record) -> None:
        head = self._head(record, "lr_link")
        name, _ = self._names(record, layout.lr_link.size)
        self._change(head.lr_doid).names[name] = bits(head.lr_link_obj, layout.LR_FOID_OBJ)
        self._touch(head.lr_doid, name)

    def _rename(self, record: Record) -> None:
        whiteout = record.type == layout.TX_RENAME_WHITEOUT
        kind = "lr_rename_whiteout" if whiteout else "lr_rename"
        head = self._head(record, kind)
        source, target = self._names(record, getattr(layout, kind).size)
        moved = self.node(bits(head.lr_sdoid, layout.LR_FOID_OBJ)).lookup(source)
        replaced = self.node(bits(head.lr_tdoid, layout.LR_FOID_OBJ)).lookup(target)
        if not isinstance(moved, Znode):
            raise ImageError("it renames a file that is not there", structure="intent log")
        exchanged = record.type == layout.TX_RENAME_EXCHANGE and isinstance(replaced, Znode)
        behind = replaced.number if exchanged and isinstance(replaced, Znode) else None
        if whiteout:
            behind = bits(head.lr_whiteout[0], layout.LR_FOID_OBJ)
            self.changes[behind] = Change(created=True, mode=head.lr_whiteout[1], size=0, mtime=0)
        self._change(head.lr_sdoid).names[source] = behind
        self._change(head.lr_tdoid).names[target] = moved.number
        self._touch(head.lr_sdoid, source)
        self._touch(head.lr_tdoid, target)

    def _write(self, record: Record) -> None:
        head = self._head(record, "lr_write")
        offset, length = head.lr_offset, head.lr_length
        pointer = decode(record.data, layout.lr_write.size - SIZE, big=record.big)
        rest = record.data[layout.lr_write.size :]
        data: bytes | BlockPointer | None = rest[:length]
        size = offset + length
        if not rest and length:  # the data is in a block of its own, which may be longer than was written
            data = None if pointer.hole else pointer
            if length < pointer.lsize:
                offset -= offset % pointer.lsize
                length = pointer.lsize
            self._check(pointer)
        elif len(rest) < length:
            raise ImageError("a write is longer than its record", structure="intent log")
        else:
            self._memory.spend(length)
        change = self._existing(head.lr_foid)
        change.place(Edit(offset, length, data))
        change.size = max(self._size(head.lr_foid, change), size)

    def _check(self, pointer: BlockPointer) -> None:
        """Raise ImageError unless the block can be read; the log ends where one cannot."""
        if not pointer.hole:
            self.objects.blocks.cached(pointer)

    def _write_again(self, record: Record) -> None:
        """Take the size of a write whose data another record brings."""
        head = self._head(record, "lr_write")
        change = self._existing(head.lr_foid)
        change.size = max(self._size(head.lr_foid, change), head.lr_offset + head.lr_length)

    def _truncate(self, record: Record) -> None:
        head = self._head(record, "lr_truncate")
        change = self._existing(head.lr_foid)
        size = self._size(head.lr_foid, change)
        end = head.lr_offset + head.lr_length
        change.size = max(size, end) if head.lr_length else end
        if not head.lr_length:
            end = max(size, end)
        if end > head.lr_offset:
            change.place(Edit(head.lr_offset, end - head.lr_offset, None))

    def _set_attributes(self, record: Record) -> None:
        head = self._head(record, "lr_setattr")
        change = self._existing(head.lr_foid)
        mask = head.lr_mask
        only_size = mask == layout.LINUX_ATTR_SIZE and head.lr_size != layout.VNOVAL
        if mask & layout.LINUX_ATTR_CTIME or only_size:
            flags = (layout.LINUX_ATTR_MODE, layout.LINUX_ATTR_SIZE, layout.LINUX_ATTR_MTIME)
        else:
            flags = (layout.AT_MODE, layout.AT_SIZE, layout.AT_MTIME)
        mode, sized, mtime = (bool(mask & bit) for bit in flags)
        if mode:
            kind = self.node(bits(head.lr_foid, layout.LR_FOID_OBJ)).attributes.mode & zpl_layout.S_IFMT
            change.mode = kind | head.lr_mode & 0o7777
        if sized:
            size = self._size(head.lr_foid, change)
            if head.lr_size < size:
                change.place(Edit(head.lr_size, size - head.lr_size, None))
            change.size = head.lr_size
        if mtime:
            change.mtime = head.lr_mtime[0]

    def _clone(self, record: Record) -> None:
        head = self._head(record, "lr_clone_range")
        change = self._existing(head.lr_foid)
        start = layout.lr_clone_range.size
        if head.lr_nbps * SIZE > len(record.data) - start:
            raise ImageError("a clone has more blocks than its record", structure="intent log")
        for index in range(head.lr_nbps):
            pointer = decode(record.data, start + index * SIZE, big=record.big)
            data = None if pointer.hole else pointer
            change.place(Edit(head.lr_offset + index * head.lr_blksz, head.lr_blksz, data))
        change.size = max(self._size(head.lr_foid, change), head.lr_offset + head.lr_length)

    # --- objects ---------------------------------------------------------------------------------

    def _existing(self, number: int) -> Change:
        """Return the change of a file that is there, and remember its name."""
        number = bits(number, layout.LR_FOID_OBJ)
        if number not in self.changes:
            attributes = Znode(self, number).attributes
            self._touch(attributes.parent, self._name(attributes.parent, number))
        return self._change(number)

    def _size(self, number: int, change: Change) -> int:
        if change.size is not None:
            return change.size
        return Znode(self, bits(number, layout.LR_FOID_OBJ)).attributes.size

    def _names(self, record: Record, offset: int) -> tuple[bytes, bytes]:
        """Return the two strings at `offset` of a record; the second may be empty."""
        first, end, rest = record.data[offset:].partition(b"\0")
        if not first or not end or b"/" in first:
            raise ImageError("a record has no name", structure="intent log")
        return first, rest.partition(b"\0")[0]

    def _name(self, directory: int, number: int) -> bytes:
        """Return the name of an object in its directory, for a message."""
        try:
            for name, node in Znode(self, directory).entries():
                self._naming.spend()
                if isinstance(node, Znode) and node.number == number:
                    return name
        except (ImageError, LimitExceeded, GuestFileMissing):
            pass
        return b"object %d" % number

    def path(self, directory: int, name: bytes) -> str:
        """Return the path of a name in a directory, for a message."""
        parts = [name]
        root = self.master.number(zpl_layout.ZFS_ROOT_OBJ)
        number = bits(directory, layout.LR_FOID_OBJ)
        for _ in range(NAMED):
            if number == root:
                return "/" + b"/".join(reversed(parts)).decode("utf-8", "backslashreplace")
            if number in self.changes and self.changes[number].created:
                break
            try:
                parent = Znode(self, number).attributes.parent
            except ImageError:
                break
            parts.append(self._name(parent, number))
            number = parent
        return b"/".join([b"object %d" % number, *reversed(parts)]).decode("utf-8", "backslashreplace")


class ReplayedZnode(Znode):
    """A file or directory that the log changes."""

    filesystem: ReplayedFileSystem

    def __init__(self, filesystem: ReplayedFileSystem, number: int, change: Change) -> None:
        super().__init__(filesystem, number)
        self.change = change

    @property
    def attributes(self) -> Attributes:
        """What the znode says after the log."""
        change = self.change
        if change.created:
            return Attributes(change.mode or 0, change.size or 0, change.mtime or 0, 0, change.target)
        base = self._base.attributes
        return Attributes(
            base.mode if change.mode is None else change.mode,
            base.size if change.size is None else change.size,
            base.mtime if change.mtime is None else change.mtime,
            base.parent,
            base.target,
        )

    @functools.cached_property
    def _base(self) -> Znode:
        return Znode(self.filesystem, self.number)

    def entries(self) -> Iterator[tuple[bytes, Node]]:
        """Yield names and nodes, those of the log last."""
        names = self.change.names
        if not self.change.created:
            for name, node in self._base.entries():
                if name not in names:
                    yield name, node
        for name, number in names.items():
            if number is not None:
                yield name, self.filesystem.node(number)

    def lookup(self, name: bytes) -> Node | None:
        """Return the entry called `name`."""
        if name in self.change.names:
            number = self.change.names[name]
            return None if number is None else self.filesystem.node(number)
        return None if self.change.created else self._base.lookup(name)

    def runs(self) -> Iterator[Run]:
        """Yield the contents piece by piece with the log's edits in place."""
        size = self.size
        if not self.change.edits and not self.change.created and size <= self._base.size:
            yield from super().runs()
            return
        for offset in range(0, size, CHUNK):
            yield Inline(self._piece(offset, min(CHUNK, size - offset)))

    def _piece(self, offset: int, length: int) -> bytes:
        """Return a part of the contents: what is on the disk, then each edit in turn."""
        piece = bytearray(length)
        if not self.change.created:
            kept = max(0, min(length, self._base.size - offset))
            piece[:kept] = self.dnode.read(offset, kept)
        for edit in self.change.within(offset, offset + length):
            piece[edit.offset - offset : edit.end - offset] = self._data(edit)
        return bytes(piece)

    def _data(self, edit: Edit) -> bytes:
        if edit.data is None:
            return bytes(edit.length)
        data = edit.data
        if isinstance(data, BlockPointer):
            data = self.filesystem.objects.blocks.cached(data)
        return data[edit.skip : edit.skip + edit.length].ljust(edit.length, b"\0")


def _offset(edit: Edit) -> int:
    return edit.offset


def open_dataset(
    objects: ObjectSet, key: int, last_txg: int, warn: Callable[[str], None], *, replay: bool
) -> FileSystem:
    """Return the files of a dataset, with what its intent log promises when `replay` is set."""
    try:
        records = zil.pending(objects, last_txg)
    except ImageError as error:
        warn(f"{objects.name}: the intent log cannot be read: {error}")
        records = []
    if not records and zil.unreachable(objects):
        warn(f"{objects.name}: the intent log may hold changes, but its device is missing")
    if records and not replay:
        warn(f"{objects.name}: {len(records)} records of the intent log are not replayed")
    if records and replay:
        return ReplayedFileSystem(objects, key, records, warn)
    return FileSystem(objects, key)


def _name_offset(record: Record) -> int:
    """Return where the name begins in a record of a creation: after attributes, ACL and identities."""
    at: int = layout.lr_create.size
    big = record.big
    if record.type in _WITH_ACL:
        acl = ordered(layout.lr_acl, big=big).decode(record.data, at)
        at += layout.lr_acl.size
    if record.type in _WITH_ATTRIBUTES:
        words = ordered(layout.lr_attr, big=big).decode(record.data, at).lr_attr_masksize
        at += layout.lr_attr.size + 4 * words + layout.LR_ATTR_END_SIZE
    if record.type in _WITH_ACL:
        at += -(-acl.lr_acl_bytes // 8) * 8 + 8 * acl.lr_fuidcnt
        for _ in range(limits.ZFS_LOG_NAMES.check(acl.lr_domcnt, "intent log")):
            at = record.data.find(b"\0", at) + 1
            if not at:
                raise ImageError("a record has no name", structure="intent log")
    return at


_WITH_ACL = (
    layout.TX_CREATE_ACL,
    layout.TX_CREATE_ACL_ATTR,
    layout.TX_MKDIR_ACL,
    layout.TX_MKDIR_ACL_ATTR,
)
_WITH_ATTRIBUTES = (
    layout.TX_CREATE_ATTR,
    layout.TX_CREATE_ACL_ATTR,
    layout.TX_MKDIR_ATTR,
    layout.TX_MKDIR_ACL_ATTR,
)
_OUT_OF_ORDER = (
    layout.TX_WRITE,
    layout.TX_WRITE2,
    layout.TX_TRUNCATE,
    layout.TX_SETATTR,
    layout.TX_CLONE_RANGE,
)
_HANDLERS: dict[int, Callable[[ReplayedFileSystem, Record], None]] = {
    layout.TX_REMOVE: ReplayedFileSystem._remove,
    layout.TX_RMDIR: ReplayedFileSystem._remove,
    layout.TX_LINK: ReplayedFileSystem._link,
    layout.TX_RENAME: ReplayedFileSystem._rename,
    layout.TX_RENAME_EXCHANGE: ReplayedFileSystem._rename,
    layout.TX_RENAME_WHITEOUT: ReplayedFileSystem._rename,
    layout.TX_WRITE: ReplayedFileSystem._write,
    layout.TX_WRITE2: ReplayedFileSystem._write_again,
    layout.TX_TRUNCATE: ReplayedFileSystem._truncate,
    layout.TX_SETATTR: ReplayedFileSystem._set_attributes,
    layout.TX_CLONE_RANGE: ReplayedFileSystem._clone,
    **dict.fromkeys(
        (layout.TX_CREATE, layout.TX_MKDIR, layout.TX_SYMLINK, *_WITH_ACL, *_WITH_ATTRIBUTES),
        ReplayedFileSystem._create,
    ),
}
