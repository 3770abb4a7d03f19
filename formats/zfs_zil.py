"""ZFS intent log: what was promised to be on disk before its transaction group was.

Specifications: OpenZFS <sys/zil.h>.  A log block begins (ZILOG2) or ends (ZILOG) with `zil_chain`; records
of `lrc_reclen` bytes fill it up to `zc_nused`.  A block whose checksum is wrong ends the chain.
"""

from construct import Array, Int32un, Int64un, Struct

from pybootcfg.formats._fields import Mode, TimePair
from pybootcfg.formats.zfs_blkptr import blkptr

zil_header = Struct(
    "zh_claim_txg" / Int64un * "txg",
    "zh_replay_seq" / Int64un,
    "zh_log" / blkptr,
    "zh_claim_blk_seq" / Int64un,
    "zh_flags" / Int64un,
    "zh_claim_lr_seq" / Int64un,
    "zh_pad" / Array(3, Int64un),
)

ZIL_MIN_BLKSZ = 4096  # the checksum of ZILOG2 is over a multiple of it

zil_chain = Struct(
    "zc_pad" / Int64un,
    "zc_next_blk" / blkptr,
    "zc_nused" / Int64un * "bytes",
    "zec_magic" / Int64un,
    "zec_cksum" / Array(4, Int64un),
)

ZIL_ZC_SEQ = 3  # the word of a log block's checksum that counts the blocks

# --- records ---------------------------------------------------------------------------------------

TX_COMMIT = 0
TX_CREATE = 1
TX_MKDIR = 2
TX_MKXATTR = 3
TX_SYMLINK = 4
TX_REMOVE = 5
TX_RMDIR = 6
TX_LINK = 7
TX_RENAME = 8
TX_WRITE = 9
TX_TRUNCATE = 10
TX_SETATTR = 11
TX_ACL_V0 = 12
TX_ACL = 13
TX_CREATE_ACL = 14
TX_CREATE_ATTR = 15
TX_CREATE_ACL_ATTR = 16
TX_MKDIR_ACL = 17
TX_MKDIR_ATTR = 18
TX_MKDIR_ACL_ATTR = 19
TX_WRITE2 = 20
TX_SETSAXATTR = 21
TX_RENAME_EXCHANGE = 22
TX_RENAME_WHITEOUT = 23
TX_CLONE_RANGE = 24
TX_CI = 1 << 63  # names were to be taken without regard to case

LR_FOID_OBJ = (0, 48)  # of an object number in a record; above it the number of slots

lr = Struct(
    "lrc_txtype" / Int64un,
    "lrc_reclen" / Int64un * "bytes",
    "lrc_txg" / Int64un * "txg",
    "lrc_seq" / Int64un,
)

lr_object = Struct("lr_foid" / Int64un)
"""Records of one object begin with its number, those of a name with the directory's."""

lr_create = Struct(
    "lr_doid" / Int64un,
    "lr_foid" / Int64un,
    "lr_mode" / Mode(Int64un),
    "lr_uid" / Int64un,
    "lr_gid" / Int64un,
    "lr_gen" / Int64un,
    "lr_crtime" / TimePair(Array(2, Int64un)),
    "lr_rdev" / Int64un,
)
"""Then the name, and for a symbolic link where it points."""

lr_link = Struct("lr_doid" / Int64un, "lr_link_obj" / Int64un)

lr_rename = Struct("lr_sdoid" / Int64un, "lr_tdoid" / Int64un)
"""Then both names."""

lr_rename_whiteout = Struct(
    "lr_sdoid" / Int64un,
    "lr_tdoid" / Int64un,
    "lr_whiteout" / Array(8, Int64un),  # object, mode, …
)
"""Then both names."""

lr_acl = Struct(
    "lr_aclcnt" / Int64un * "entries",
    "lr_domcnt" / Int64un,
    "lr_fuidcnt" / Int64un,
    "lr_acl_bytes" / Int64un * "bytes",
    "lr_acl_flags" / Int64un,
)
"""After `lr_create` in records with an ACL; then attributes, entries, identities, domains, the name."""

lr_attr = Struct("lr_attr_masksize" / Int32un * "words of 4 bytes")
"""Optional attributes: that many 32-bit words, then LR_ATTR_END_SIZE bytes."""

LR_ATTR_END_SIZE = 56

lr_write = Struct(
    "lr_foid" / Int64un,
    "lr_offset" / Int64un * "bytes",
    "lr_length" / Int64un * "bytes",
    "lr_blkoff" / Int64un * "bytes",
    "lr_blkptr" / blkptr,
)
"""Then the data, unless it is where lr_blkptr points."""

lr_truncate = Struct(
    "lr_foid" / Int64un,
    "lr_offset" / Int64un * "bytes",
    "lr_length" / Int64un * "bytes",  # 0: to the end
)

# What lr_mask means depends on the system: Linux stores its own bits, all others those of Solaris.
LINUX_ATTR_MODE = 0x0001
LINUX_ATTR_SIZE = 0x0008
LINUX_ATTR_MTIME = 0x0020
LINUX_ATTR_CTIME = 0x0040  # nearly always there, and no attribute that Solaris can set
AT_MODE = 0x0002
AT_SIZE = 0x0080
AT_MTIME = 0x0200
VNOVAL = (1 << 64) - 1  # an lr_size that FreeBSD does not set

lr_setattr = Struct(
    "lr_foid" / Int64un,
    "lr_mask" / Int64un,
    "lr_mode" / Mode(Int64un),
    "lr_uid" / Int64un,
    "lr_gid" / Int64un,
    "lr_size" / Int64un * "bytes",
    "lr_atime" / TimePair(Array(2, Int64un)),
    "lr_mtime" / TimePair(Array(2, Int64un)),
)

lr_clone_range = Struct(
    "lr_foid" / Int64un,
    "lr_offset" / Int64un * "bytes",
    "lr_length" / Int64un * "bytes",
    "lr_blksz" / Int64un * "bytes",
    "lr_nbps" / Int64un * "block pointers",
)
"""Then the block pointers."""
