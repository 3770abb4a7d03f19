"""Reader of UFS1 and UFS2: inodes, directories, symbolic links.

The specifications are named in formats/ufs.py; the rules followed here are those of the kernels'
ufs_lookup, ufs_readlink and ffs_load_inode.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import cached_property

from pybootcfg import limits
from pybootcfg.errors import ImageError, UnsupportedFeature
from pybootcfg.filesystems.base import Extent, Filesystem, Node, Options, Run
from pybootcfg.filesystems.ufs.blocks import BlockMap
from pybootcfg.filesystems.ufs.superblock import Layout, find, hash_without, ufs
from pybootcfg.kind import Kind, of_mode
from pybootcfg.source import Source
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator
    from typing import Any

    from pybootcfg.filesystems.ufs.inspection import UfsStructures

FLAGS = (
    (ufs.FS_DOSOFTDEP, "soft-updates"),
    (ufs.FS_NEEDSFSCK, "needs-fsck"),
    (ufs.FS_SUJ, "soft-updates-journal"),
    (ufs.FS_ACLS, "acls"),
    (ufs.FS_MULTILABEL, "multilabel"),
    (ufs.FS_GJOURNAL, "gjournal"),
    (ufs.FS_NFS4ACLS, "nfsv4acls"),
    (ufs.FS_METACKHASH, "check-hashes"),
    (ufs.FS_TRIM, "trim"),
    (ufs.FS_NFS4ACLS_NETBSD, "nfsv4acls"),
)

KNOWN_FLAGS = sum(flag for flag, _ in FLAGS) | ufs.FS_UNCLEAN | ufs.FS_FLAGS_UPDATED

DIRECTORY_CHUNK = 64 * limits.KIB  # bytes of a directory in memory at once
CACHED_POINTER_BLOCKS = 8  # indirect blocks kept; one of 64 KiB holds 16384 pointers


class UfsNode(Node):
    """One inode, read when it is first asked something."""

    def __init__(self, filesystem: Ufs, number: int) -> None:
        self.filesystem = filesystem
        self.number = number

    @property
    def key(self) -> Hashable:
        """The inode number."""
        return self.number

    @cached_property
    def offset(self) -> int:
        """Where the inode lies, in bytes; ImageError when there is no inode of this number."""
        return self.filesystem.inode_offset(self.number)

    @cached_property
    def inode(self) -> Any:
        """The dinode, its fields named as in <ufs/ufs/dinode.h>."""
        filesystem = self.filesystem
        data = filesystem.source.read(self.offset, filesystem.dinode.size, "dinode")
        inode = filesystem.dinode.decode(data, at=self.offset)
        if inode.di_mode == 0:
            raise self._damage("it is not in use, but a directory names it")
        if inode.di_size > filesystem.max_file_size:
            raise self._damage(f"its size of {inode.di_size} bytes is more than its pointers can reach")
        if filesystem.checks_inodes and hash_without(data, ufs.DI_CKHASH_OFFSET) != inode.di_ckhash:
            filesystem.warn(f"inode {self.number}: its check-hash is wrong")
        return inode

    @cached_property
    def kind(self) -> Kind:
        """What this is, by the inode (directories may not know)."""
        kind = of_mode(self.inode.di_mode)
        if kind is None:
            raise self._damage(f"mode {self.inode.di_mode:#o} is of no known type")
        return kind

    @property
    def size(self) -> int:
        """Length of the contents in bytes; 0 for what has none."""
        return int(self.inode.di_size) if self.kind in (Kind.FILE, Kind.DIRECTORY, Kind.SYMLINK) else 0

    @property
    def mode(self) -> int:
        """Permission bits (07777)."""
        return int(self.inode.di_mode & 0o7777)

    @property
    def mtime(self) -> int:
        """Last change of the contents, in seconds since 1970 UTC."""
        return int(self.inode.di_mtime)

    @property
    def is_snapshot(self) -> bool:
        """Whether this file is a snapshot of the file system (BSD)."""
        return self.filesystem.layout is Layout.BSD44 and bool(self.inode.di_flags & ufs.SF_SNAPSHOT)

    def runs(self) -> Iterator[Run]:
        """Yield where the contents lie; UnsupportedFeature for what Solaris' fiocompress wrote."""
        solaris = self.filesystem.layout is Layout.SOLARIS
        if solaris and self.kind is Kind.FILE and self.inode.di_flags & ufs.ICOMPRESS:
            raise UnsupportedFeature("fiocompress", f"inode {self.number} is compressed by fiocompress")
        return BlockMap(self.filesystem, self, self.size).runs()

    def entries(self) -> Iterator[tuple[bytes, Node]]:
        """Yield names and nodes; goes on after damage, with a warning, at the next DIRBLKSIZ."""
        for data, at in self._chunks():
            for name, number in self._records(data, at):
                if number is None:
                    self.filesystem.warn(f"directory inode {self.number} is damaged at byte {at:#x}")
                elif name not in (b".", b".."):
                    yield name, UfsNode(self.filesystem, number)

    def lookup(self, name: bytes) -> Node | None:
        """Return the entry called `name`; only blocks in which the name's bytes occur are decoded.

        Raises ImageError when the name is not found but its bytes are in a damaged block.
        """
        if name in (b"", b".", b"..") or len(name) > ufs.MAXNAMLEN:
            return None
        damaged = None
        for data, at in self._chunks():
            place = data.find(name)
            while place >= 0:
                start = place - place % ufs.DIRBLKSIZ_NEXT
                block = data[start : start + ufs.DIRBLKSIZ_NEXT]
                for found, number in self._records(block, at + start):
                    if number is None:
                        damaged = at + start
                    elif found == name:
                        return UfsNode(self.filesystem, number)
                place = data.find(name, start + ufs.DIRBLKSIZ_NEXT)
        if damaged is not None:
            raise self._damage("the directory is damaged where the name is", damaged)
        return None

    @property
    def has_short_target(self) -> bool:
        """Whether the target of a symbolic link lies in the inode.

        So does one that is shorter than fs_maxsymlinklen; and on file systems that are older than that
        field, one that holds no block.
        """
        filesystem = self.filesystem
        old = self.inode.di_blocks == 0 and self.size <= filesystem.shortlink_room
        return self.size < filesystem.maxsymlinklen or old

    def target(self) -> bytes:
        """Return where a symbolic link points, from the inode or from its block."""
        filesystem = self.filesystem
        size = limits.PATH_LENGTH.check(self.size, f"symbolic link inode {self.number}")
        if self.has_short_target:
            return bytes(filesystem.shortlink.read(filesystem.source, self.offset).di_shortlink[:size])
        return self.read(limits.PATH_LENGTH)

    def _chunks(self) -> Iterator[tuple[bytes, int]]:
        """Yield the directory's bytes, piece by piece, and where each lies in the source."""
        if self.kind is not Kind.DIRECTORY:
            raise self._damage("it is not a directory")
        limits.UFS_DIRECTORY_SIZE.check(self.size, f"directory inode {self.number}")
        for run in self.runs():
            if not isinstance(run, Extent):
                self.filesystem.warn(f"directory inode {self.number} has a hole")
                continue
            for start in range(0, run.length, DIRECTORY_CHUNK):
                at = run.offset + start
                yield run.source.read(at, min(DIRECTORY_CHUNK, run.length - start), "directory"), at

    def _records(self, data: bytes, at: int) -> Iterator[tuple[bytes, int | None]]:
        """Yield (name, inode number) of the entries in use, (b"", None) for damage that was skipped.

        What is damage: ufs_dirbadentry of FreeBSD's ufs_lookup.c.  Free entries and whiteouts are
        left out.
        """
        filesystem = self.filesystem
        decode, old = filesystem.direct.decode, filesystem.old_directories
        head = filesystem.direct.size
        offset, end = 0, len(data)
        while offset < end:
            # No entry crosses DIRBLKSIZ; the larger one is let pass, since no field tells which it is.
            room = min(end, (offset | (ufs.DIRBLKSIZ_NEXT - 1)) + 1) - offset
            entry = decode(data, offset, at=at) if room >= head else None
            if entry is None or entry.d_reclen % 4 or not head <= entry.d_reclen <= room:
                yield b"", None
                offset = (offset | (ufs.DIRBLKSIZ - 1)) + 1
                continue
            number, length = entry.d_ino, entry.d_namlen
            if number > ufs.WINO and (old or entry.d_type != ufs.DT_WHT):
                name = data[offset + head : offset + head + length]
                fits = 0 < length <= min(ufs.MAXNAMLEN, entry.d_reclen - head)
                sound = fits and b"/" not in name and b"\0" not in name
                yield (name, number) if sound else (b"", None)
            offset += entry.d_reclen

    def _damage(self, message: str, offset: int | None = None) -> ImageError:
        return ImageError(
            f"inode {self.number}: {message}",
            offset=self.offset if offset is None else offset,
            structure="dinode" if offset is None else "directory",
            source=self.filesystem.source.name,
        )


class Ufs(Filesystem):
    """A UFS1 or UFS2; the byte order, the version and the layout are told by the superblock."""

    family = "ufs"

    def __init__(self, source: Source, options: Options) -> None:
        super().__init__(source, options)
        self.superblock = superblock = find(source, self.warn)
        fields, decoder = superblock.fields, superblock.decoder
        self.layout = superblock.layout
        self.bsize = int(fields.fs_bsize)  #: bytes
        self.fsize = int(fields.fs_fsize)  #: bytes
        self.frag = int(fields.fs_frag)  #: fragments in a block
        self.nindir = int(fields.fs_nindir)  #: pointers in a block
        self.blocks = min(source.size, superblock.size * self.fsize) // self.bsize
        self.max_file_size = (
            ufs.NDADDR + sum(self.nindir**level for level in range(1, ufs.NIADDR + 1))
        ) * self.bsize
        new = superblock.version == 2
        self.dinode = decoder(ufs.ufs2_dinode if new else ufs.ufs1_dinode)
        self.daddr = decoder(ufs.ufs2_daddr_t if new else ufs.ufs1_daddr_t)
        self.shortlink = decoder(ufs.ufs2_shortlink if new else ufs.ufs1_shortlink)
        self.shortlink_room = int(ufs.NDADDR + ufs.NIADDR) * self.daddr.size  #: bytes
        self.maxsymlinklen = self._maxsymlinklen()
        self.old_directories = not new and self.maxsymlinklen == 0
        self.direct = decoder(ufs.odirect if self.old_directories else ufs.direct)
        self.checks_inodes = new and superblock.checks(ufs.CK_INODE)
        self._pointers: OrderedDict[int, tuple[int, ...]] = OrderedDict()
        self._warn_of_state()

    def _maxsymlinklen(self) -> int:
        """Bytes below which a target lies in the inode; 0 also tells the 4.2BSD directories."""
        if self.layout is not Layout.BSD44:
            return 0
        return max(0, min(int(self.superblock.fields.fs_maxsymlinklen), self.shortlink_room))

    def _warn_of_state(self) -> None:
        superblock = self.superblock
        length = superblock.size * self.fsize
        if length > self.source.size:
            self.warn(f"the file system has {length} bytes, but only {self.source.size} are there")
        if superblock.checks(ufs.CK_SUPERBLOCK) and not superblock.is_hash_right():
            self.warn("the superblock's check-hash is wrong")
        if superblock.flags & ufs.FS_NEEDSFSCK and self.layout is Layout.BSD44:
            self.warn("fsck is needed: a kernel found the file system damaged")
        if not self._is_clean():
            journal = " and its journal was not replayed" if self._has_journal() else ""
            self.warn(f"the file system was not unmounted cleanly{journal}")

    def _is_clean(self) -> bool:
        fields = self.superblock.fields
        if self.layout is Layout.OLD:
            return True  # 4.2BSD has no such field
        if self.layout is Layout.SOLARIS:
            solaris = self.superblock.solaris
            state = solaris.fs_state if self.superblock.big else fields.fs_old_npsect
            if (state + fields.fs_old_time) & 0xFFFFFFFF != ufs.FSOKAY:
                return False
            if fields.fs_clean == ufs.FSLOG:
                return bool(solaris.fs_rolled != ufs.FS_NEED_ROLL)
        return fields.fs_clean in (ufs.FS_ISCLEAN, ufs.FS_WASCLEAN, ufs.FSOSF1)

    def _has_journal(self) -> bool:
        if self.layout is Layout.SOLARIS:
            return bool(self.superblock.solaris.fs_logbno)
        return self.is_wapbl() or bool(self.superblock.flags & (ufs.FS_SUJ | ufs.FS_GJOURNAL))

    def is_wapbl(self) -> bool:
        """Whether NetBSD's meaning of the flag that it shares with FS_NFS4ACLS is the right one."""
        if not self.superblock.flags & ufs.FS_DOWAPBL or self.layout is not Layout.BSD44:
            return False
        decoder = self.superblock.decoder(ufs.netbsd_superblock)
        netbsd = decoder.read(self.source, self.superblock.offset)
        return bool(netbsd.fs_journal_version == ufs.UFS_WAPBL_VERSION and netbsd.fs_journal_location)

    @property
    def name(self) -> str:
        """`ufs1` or `ufs2`."""
        return f"ufs{self.superblock.version}"

    @property
    def label(self) -> str:
        """fs_volname of UFS2, as blkid and GRUB have it; UFS1 has none."""
        if self.superblock.version == 1:
            return ""
        name: bytes = self.superblock.fields.fs_volname
        return name.partition(b"\0")[0].decode("utf-8", "surrogateescape")

    @property
    def uuid(self) -> str:
        """The two words of fs_id as 16 hexadecimal digits, as blkid and GRUB have them."""
        words = self.superblock.fields.fs_id
        return "".join(f"{word:08x}" for word in words) if any(words) else ""

    @property
    def features(self) -> tuple[str, ...]:
        """Flags by name, then what is not told by flags."""
        superblock = self.superblock
        names = []
        if self.layout is Layout.BSD44:
            names = [name for flag, name in FLAGS if superblock.flags & flag]
            if unknown := superblock.flags & ~KNOWN_FLAGS:
                names.append(f"unknown-{unknown:#x}")
            if self.is_wapbl():
                names[names.index("nfsv4acls")] = "wapbl"
        elif self.layout is Layout.SOLARIS:
            names.append("solaris")
            if superblock.solaris.fs_logbno:
                names.append("logging")
            if superblock.fields.fs_old_flags & ufs.FSLARGEFILES:
                names.append("largefiles")
        if superblock.fields.fs_magic == ufs.MTB_UFS_MAGIC:
            names.append("multi-terabyte")
        if superblock.fields.fs_magic == ufs.FS_UFS2EA_MAGIC:
            names.append("extended-attributes")
        if self.old_directories and self.layout is not Layout.SOLARIS:
            names.append("4.2bsd-directories")
        names.append("big-endian" if superblock.big else "little-endian")
        return tuple(names)

    @cached_property
    def root(self) -> Node:
        """The root directory, inode 2."""
        return UfsNode(self, ufs.ROOTINO)

    @cached_property
    def structures(self) -> UfsStructures:
        """The structures that `inspect` can show."""
        from pybootcfg.filesystems.ufs.inspection import UfsStructures

        return UfsStructures(self)

    def inode_offset(self, number: int) -> int:
        """Return where inode `number` lies, in bytes; ImageError when there is no such inode."""
        fields = self.superblock.fields
        group, index = divmod(number, fields.fs_ipg)
        if number <= 0 or group >= fields.fs_ncg:
            raise ImageError(
                f"inode {number} does not exist: the last is {fields.fs_ipg * fields.fs_ncg - 1}",
                structure="dinode",
                source=self.source.name,
            )
        block, slot = divmod(index, fields.fs_inopb)
        fragment = self.superblock.cgstart(group) + fields.fs_iblkno + block * self.frag
        self.check_fragments(fragment, self.frag, f"the block of inode {number}")
        return int(fragment * self.fsize + slot * self.dinode.size)

    def check_fragments(self, first: int, count: int, what: str) -> None:
        """Raise ImageError unless `count` fragments from `first` on are within the file system."""
        if not 0 < first <= self.superblock.size - count:
            raise ImageError(
                f"{what}: fragments {first} to {first + count - 1} are beyond the file system's end"
                f" at {self.superblock.size}",
                structure="block pointer",
                source=self.source.name,
            )

    def pointers(self, fragment: int, what: str) -> tuple[int, ...]:
        """Return the pointers of the indirect block at `fragment`."""
        found = self._pointers.get(fragment)
        if found is None:
            self.check_fragments(fragment, self.frag, what)
            offset = fragment * self.fsize
            data = self.source.read(offset, self.bsize, "indirect block")
            found = self.daddr.array(data, self.nindir, at=offset)
            if len(self._pointers) >= CACHED_POINTER_BLOCKS:
                self._pointers.popitem(last=False)
            self._pointers[fragment] = found
        else:
            self._pointers.move_to_end(fragment)
        return found
