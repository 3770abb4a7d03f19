"""The journal of ext3 and ext4 (jbd and jbd2), big-endian; its fast commits little-endian.

Specification: "ext4 Data Structures and Algorithms", chapter Journal (jbd2),
https://www.kernel.org/doc/html/latest/filesystems/ext4/journal.html, and the headers <linux/jbd2.h> and
fs/ext4/fast_commit.h of Linux.
"""

from construct import (
    Array,
    Bytes,
    Const,
    Enum,
    FlagsEnum,
    Int8ub,
    Int16ub,
    Int16ul,
    Int32ub,
    Int32ul,
    Int64ub,
    Padding,
    Struct,
)

from pybootcfg.formats._fields import UnixTime, Uuid

MAGIC = 0xC03B3998
MAGIC_BYTES = bytes.fromhex("c03b3998")

DESCRIPTOR_BLOCK = 1
COMMIT_BLOCK = 2
SUPERBLOCK_V1 = 3
SUPERBLOCK_V2 = 4
REVOKE_BLOCK = 5

COMPAT = {"journal_checksum": 0x1}
INCOMPAT = {
    "journal_incompat_revoke": 0x1,
    "journal_64bit": 0x2,
    "journal_async_commit": 0x4,
    "journal_checksum_v2": 0x8,
    "journal_checksum_v3": 0x10,
    "fast_commit": 0x20,
}
COMPAT_CHECKSUM = 0x1
INCOMPAT_64BIT = 0x2
INCOMPAT_ASYNC_COMMIT = 0x4
INCOMPAT_CSUM_V2 = 0x8
INCOMPAT_CSUM_V3 = 0x10
INCOMPAT_FAST_COMMIT = 0x20
INCOMPAT_UNDERSTOOD = 0x3F

BLOCK_TYPE = Enum(
    Int32ub,
    descriptor=DESCRIPTOR_BLOCK,
    commit=COMMIT_BLOCK,
    superblock_v1=SUPERBLOCK_V1,
    superblock_v2=SUPERBLOCK_V2,
    revoke=REVOKE_BLOCK,
)

#: begins every block of the log but those of data
header = Struct("h_magic" / Int32ub, "h_blocktype" / BLOCK_TYPE, "h_sequence" / Int32ub)

superblock = Struct(
    "h_magic" / Const(MAGIC, Int32ub),
    "h_blocktype" / BLOCK_TYPE,
    "h_sequence" / Int32ub,
    "s_blocksize" / Int32ub * "bytes",
    "s_maxlen" / Int32ub * "blocks",  # in the journal, this one included
    "s_first" / Int32ub * "blocks",  # where the log may begin
    "s_sequence" / Int32ub,  # of the first commit that the log must hold
    "s_start" / Int32ub * "blocks",  # where it does begin; 0: it is empty
    "s_errno" / Int32ub,
    # the fields from here on are there in version 2
    "s_feature_compat" / FlagsEnum(Int32ub, **COMPAT),
    "s_feature_incompat" / FlagsEnum(Int32ub, **INCOMPAT),
    "s_feature_ro_compat" / Int32ub,
    "s_uuid" / Uuid(),
    "s_nr_users" / Int32ub * "file systems",
    "s_dynsuper" / Int32ub * "blocks",
    "s_max_transaction" / Int32ub * "blocks",
    "s_max_trans_data" / Int32ub * "blocks",
    "s_checksum_type" / Enum(Int8ub, none=0, crc32=1, md5=2, sha1=3, crc32c=4),
    "s_padding2" / Padding(3),
    "s_num_fc_blks" / Int32ub * "blocks",  # of the area for fast commits
    "s_head" / Int32ub * "blocks",
    "s_padding" / Padding(160),
    "s_checksum" / Int32ub,  # crc32c of these 1024 bytes with this field zero
    "s_users" / Array(48, Bytes(16)),
)
SUPERBLOCK_SIZE = 1024
SUPERBLOCK_CHECKSUM_OFFSET = 252
DEFAULT_FAST_COMMIT_BLOCKS = 256
MIN_JOURNAL_BLOCKS = 1024

#: up to checksum version 1; with version 2 a 16-bit word follows that nothing uses
tag = Struct("t_blocknr" / Int32ub * "blocks", "t_checksum" / Int16ub, "t_flags" / Int16ub)
#: the same with journal_64bit
tag_64bit = Struct(*tag.subcons, "t_blocknr_high" / Int32ub * "x 2^32 blocks")
#: with checksum version 3, 64-bit or not
tag3 = Struct(
    "t_blocknr" / Int32ub * "blocks",
    "t_flags" / Int32ub,
    "t_blocknr_high" / Int32ub * "x 2^32 blocks",
    "t_checksum" / Int32ub,
)
FLAG_ESCAPE = 1  # the block began with the magic, which was zeroed
FLAG_SAME_UUID = 2  # no UUID follows the tag
FLAG_DELETED = 4
FLAG_LAST_TAG = 8
TAG_UUID_SIZE = 16
CSUM_V2_TAG_PADDING = 2

#: ends descriptor and revoke blocks with checksums of version 2 and 3
block_tail = Struct("t_checksum" / Int32ub)

revoke_header = Struct(
    "h_magic" / Int32ub,
    "h_blocktype" / BLOCK_TYPE,
    "h_sequence" / Int32ub,
    "r_count" / Int32ub * "bytes",  # used in the block, these included
)
revoke_record = Int32ub * "blocks"
revoke_record_64bit = Int64ub * "blocks"

commit_header = Struct(
    "h_magic" / Int32ub,
    "h_blocktype" / BLOCK_TYPE,
    "h_sequence" / Int32ub,
    "h_chksum_type" / Int8ub,
    "h_chksum_size" / Int8ub * "bytes",
    "h_padding" / Padding(2),
    "h_chksum" / Array(8, Int32ub),
    "h_commit_sec" / UnixTime(Int64ub),
    "h_commit_nsec" / Int32ub * "nanoseconds",
)
COMMIT_CHECKSUM_OFFSET = 16
CRC32_CHKSUM = 1
CRC32_CHKSUM_SIZE = 4

# --- fast commits: tags with values, little-endian -----------------------------------------------
FC_ADD_RANGE = 1
FC_DEL_RANGE = 2
FC_CREAT = 3
FC_LINK = 4
FC_UNLINK = 5
FC_INODE = 6
FC_PAD = 7
FC_TAIL = 8
FC_HEAD = 9

FC_TAGS = {
    "add_range": FC_ADD_RANGE,
    "del_range": FC_DEL_RANGE,
    "creat": FC_CREAT,
    "link": FC_LINK,
    "unlink": FC_UNLINK,
    "inode": FC_INODE,
    "pad": FC_PAD,
    "tail": FC_TAIL,
    "head": FC_HEAD,
}

fc_tl = Struct("fc_tag" / Enum(Int16ul, **FC_TAGS), "fc_len" / Int16ul * "bytes")
fc_head = Struct("fc_features" / Int32ul, "fc_tid" / Int32ul)
fc_tail = Struct("fc_tid" / Int32ul, "fc_crc" / Int32ul)
FC_TAIL_CHECKSUMMED = 4  # bytes of the value that count for fc_crc
fc_add_range = Struct(
    "fc_ino" / Int32ul,
    "ee_block" / Int32ul * "blocks",  # the rest is an extent as ext4 has it
    "ee_len" / Int16ul * "blocks",
    "ee_start_hi" / Int16ul * "x 2^32 blocks",
    "ee_start_lo" / Int32ul * "blocks",
)
fc_del_range = Struct("fc_ino" / Int32ul, "fc_lblk" / Int32ul * "blocks", "fc_len" / Int32ul * "blocks")
#: the name follows
fc_dentry_info = Struct("fc_parent_ino" / Int32ul, "fc_ino" / Int32ul)
#: the inode follows
fc_inode = Struct("fc_ino" / Int32ul)
