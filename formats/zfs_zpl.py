"""ZFS POSIX layer: the master node, directory entries and znodes before system attributes.

Specifications: "ZFS On-Disk Specification" chapter 6; OpenZFS <sys/zfs_znode.h>, <sys/fs/zfs.h>.
"""

from construct import Array, Bytes, Int64un, Struct

from pybootcfg.formats._fields import Mode, TimePair

MASTER_NODE_OBJ = 1
ZPL_VERSION_STR = b"VERSION"
ZFS_ROOT_OBJ = b"ROOT"
ZFS_SA_ATTRS = b"SA_ATTRS"
ZFS_PROP_CASE = b"casesensitivity"

ZPL_VERSION_INITIAL = 1
ZPL_VERSION_SA = 5

ZFS_CASE_SENSITIVE = 0
ZFS_CASE_INSENSITIVE = 1
ZFS_CASE_MIXED = 2

ZFS_DIRENT_OBJ = (0, 48)  # of a directory entry's value: first bit, bits

znode_phys = Struct(
    "zp_atime" / TimePair(Array(2, Int64un)),
    "zp_mtime" / TimePair(Array(2, Int64un)),
    "zp_ctime" / TimePair(Array(2, Int64un)),
    "zp_crtime" / TimePair(Array(2, Int64un)),
    "zp_gen" / Int64un * "txg",
    "zp_mode" / Mode(Int64un),
    "zp_size" / Int64un * "bytes",
    "zp_parent" / Int64un,
    "zp_links" / Int64un * "links",
    "zp_xattr" / Int64un,
    "zp_rdev" / Int64un,
    "zp_flags" / Int64un,
    "zp_uid" / Int64un,
    "zp_gid" / Int64un,
    "zp_zap" / Int64un,
    "zp_pad" / Array(3, Int64un),
    "zp_acl" / Bytes(88),
)
"""The bonus buffer of DMU_OT_ZNODE; a short symbolic link's target follows it there."""

# --- file types, in zp_mode ------------------------------------------------------------------------

S_IFMT = 0o170000
S_IFIFO = 0o010000
S_IFCHR = 0o020000
S_IFDIR = 0o040000
S_IFBLK = 0o060000
S_IFREG = 0o100000
S_IFLNK = 0o120000
S_IFSOCK = 0o140000
