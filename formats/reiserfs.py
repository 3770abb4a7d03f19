"""ReiserFS 3.5 and 3.6, a file system whose metadata and small files lie in one balanced (S+) tree.

Specification: Documentation/filesystems/reiserfs and fs/reiserfs/reiserfs.h of Linux 6.1 (names are
taken from there); Florian Buchholz, "The structure of the Reiser file system",
https://reiserfs.wiki.kernel.org.  Byte order: little-endian throughout.

Blocks are `s_blocksize` bytes and count from the start of the volume.  Everything that a directory
holds, and where the blocks of a file are, is an item with a four-part key (directory id, object id,
offset, type); the items lie in the leaves, sorted by key.
"""

from construct import Bytes, Enum, FlagsEnum, Int16ul, Int32ul, Int64ul, Struct

from pybootcfg.formats._fields import Mode, UnixTime, Uuid

# --- super block -----------------------------------------------------------------------------------
REISERFS_DISK_OFFSET_IN_BYTES = 64 << 10
REISERFS_OLD_DISK_OFFSET_IN_BYTES = 8 << 10  # before 3.5.10

REISERFS_SUPER_MAGIC_STRING = b"ReIsErFs"  # format 3.5
REISER2FS_SUPER_MAGIC_STRING = b"ReIsEr2Fs"  # format 3.6
REISER2FS_JR_SUPER_MAGIC_STRING = b"ReIsEr3Fs"  # either format, journal of other size or place

MIN_BLOCKSIZE = 512
MAX_BLOCKSIZE = 8192
UNFINISHED_REBUILD = 0xFFFFFFFF  # s_root_block while reiserfsck --rebuild-tree runs

journal_params = Struct(
    "jp_journal_1st_block" / Int32ul * "blocks",  # where the journal starts, on its device
    "jp_journal_dev" / Int32ul,  # device number; 0 for the file system's own device
    "jp_journal_size" / Int32ul * "blocks",  # without the journal header
    "jp_journal_trans_max" / Int32ul * "blocks",  # in one transaction at most; 0 stands for 1024
    "jp_journal_magic" / Int32ul,  # random; the same in the super block and in the journal header
    "jp_journal_max_batch" / Int32ul * "blocks",
    "jp_journal_max_commit_age" / Int32ul * "seconds",
    "jp_journal_max_trans_age" / Int32ul * "seconds",
)

s_umount_state = Enum(Int16ul, REISERFS_VALID_FS=1, REISERFS_ERROR_FS=2)
s_fs_state = FlagsEnum(Int16ul, FS_ERROR=1, FS_FATAL=2)
s_hash_function_code = Enum(Int32ul, UNSET_HASH=0, TEA_HASH=1, YURA_HASH=2, R5_HASH=3)
s_version = Enum(Int16ul, REISERFS_VERSION_1=0, REISERFS_VERSION_2=2)  # for ReIsEr3Fs only
s_flags = FlagsEnum(Int32ul, reiserfs_attrs_cleared=1)

REISERFS_VALID_FS = 1
TEA_HASH, YURA_HASH, R5_HASH = 1, 2, 3
REISERFS_VERSION_2 = 2
REISERFS_ATTRS_CLEARED = 1

#: all there is of it on a file system of format 3.5
reiserfs_super_block_v1 = Struct(
    "s_block_count" / Int32ul * "blocks",
    "s_free_blocks" / Int32ul * "blocks",
    "s_root_block" / Int32ul * "blocks",
    "s_journal" / journal_params,
    "s_blocksize" / Int16ul * "bytes",
    "s_oid_maxsize" / Int16ul * "object ids",
    "s_oid_cursize" / Int16ul * "object ids",
    "s_umount_state" / s_umount_state,
    "s_magic" / Bytes(10),
    "s_fs_state" / s_fs_state,
    "s_hash_function_code" / s_hash_function_code,
    "s_tree_height" / Int16ul * "levels",  # one more than the level of the root
    "s_bmap_nr" / Int16ul * "blocks",
    "s_version" / s_version,
    "s_reserved_for_journal" / Int16ul * "blocks",
)

reiserfs_super_block = Struct(
    "s_v1" / reiserfs_super_block_v1,
    "s_inode_generation" / Int32ul,
    "s_flags" / s_flags,
    "s_uuid" / Uuid(),
    "s_label" / Bytes(16),
    "s_mnt_count" / Int16ul * "mounts",
    "s_max_mnt_count" / Int16ul * "mounts",
    "s_lastcheck" / UnixTime(Int32ul),
    "s_check_interval" / Int32ul * "seconds",
    "s_unused" / Bytes(76),
)

# --- keys ------------------------------------------------------------------------------------------
REISERFS_ROOT_PARENT_OBJECTID = 1
REISERFS_ROOT_OBJECTID = 2

TYPE_STAT_DATA = 0
TYPE_INDIRECT = 1
TYPE_DIRECT = 2
TYPE_DIRENTRY = 3
TYPE_ANY = 15

V1_SD_UNIQUENESS = 0
V1_DIRENTRY_UNIQUENESS = 500
V1_INDIRECT_UNIQUENESS = 0xFFFFFFFE
V1_DIRECT_UNIQUENESS = 0xFFFFFFFF

KEY_FORMAT_3_5 = 0
KEY_FORMAT_3_6 = 1

k_uniqueness = Enum(
    Int32ul,
    V1_SD_UNIQUENESS=V1_SD_UNIQUENESS,
    V1_DIRENTRY_UNIQUENESS=V1_DIRENTRY_UNIQUENESS,
    V1_INDIRECT_UNIQUENESS=V1_INDIRECT_UNIQUENESS,
    V1_DIRECT_UNIQUENESS=V1_DIRECT_UNIQUENESS,
)

#: a key of format 3.5, and of format 3.6 read as such: there the last 8 bytes are one number, the type
#: in its upper 4 bits and the offset in the lower 60.  Types 1 to 3 in those 4 bits tell format 3.6.
reiserfs_key = Struct(
    "k_dir_id" / Int32ul,  # object id of the parent directory, where the object was made
    "k_objectid" / Int32ul,
    "k_offset" / Int32ul,  # byte in the file, from 1; hash and generation in a directory; 0 for stat data
    "k_uniqueness" / k_uniqueness,  # the type
)
OFFSET_V2_TYPE_SHIFT = 28  # of k_uniqueness, when it is the upper half of a 3.6 offset

# --- nodes -----------------------------------------------------------------------------------------
DISK_LEAF_NODE_LEVEL = 1

block_head = Struct(
    "blk_level" / Int16ul,  # 1 for a leaf, more for internal nodes
    "blk_nr_item" / Int16ul * "items",  # of a leaf, keys of an internal node
    "blk_free_space" / Int16ul * "bytes",
    "blk_reserved" / Int16ul,
    "blk_right_delim_key" / reiserfs_key,  # not kept up to date since 3.6
)

#: after the keys of an internal node, one more than there are keys
disk_child = Struct(
    "dc_block_number" / Int32ul * "blocks",
    "dc_size" / Int16ul * "bytes",  # used in the child
    "dc_reserved" / Int16ul,
)

item_head = Struct(
    "ih_key" / reiserfs_key,
    "ih_entry_count" / Int16ul * "entries",  # of a directory item; of others free space (3.5) or 0xffff
    "ih_item_len" / Int16ul * "bytes",
    "ih_item_location" / Int16ul * "bytes",  # from the start of the block
    "ih_version" / Int16ul,  # KEY_FORMAT_3_5 or KEY_FORMAT_3_6; the top bit belongs to reiserfsck
)
IH_VERSION_MASK = 0x7FFF

# --- items -----------------------------------------------------------------------------------------
stat_data_v1 = Struct(
    "sd_mode" / Mode(Int16ul),
    "sd_nlink" / Int16ul * "links",
    "sd_uid" / Int16ul,
    "sd_gid" / Int16ul,
    "sd_size" / Int32ul * "bytes",
    "sd_atime" / UnixTime(Int32ul),
    "sd_mtime" / UnixTime(Int32ul),
    "sd_ctime" / UnixTime(Int32ul),
    "sd_rdev" / Int32ul,  # sd_blocks for what is no device
    "sd_first_direct_byte" / Int32ul,
)

stat_data = Struct(
    "sd_mode" / Mode(Int16ul),
    "sd_attrs" / Int16ul,
    "sd_nlink" / Int32ul * "links",
    "sd_size" / Int64ul * "bytes",
    "sd_uid" / Int32ul,
    "sd_gid" / Int32ul,
    "sd_atime" / UnixTime(Int32ul),
    "sd_mtime" / UnixTime(Int32ul),
    "sd_ctime" / UnixTime(Int32ul),
    "sd_blocks" / Int32ul * "blocks",
    "sd_rdev" / Int32ul,  # sd_generation for what is no device
)

S_IFMT = 0xF000
S_IFSOCK = 0xC000
S_IFLNK = 0xA000
S_IFREG = 0x8000
S_IFBLK = 0x6000
S_IFDIR = 0x4000
S_IFCHR = 0x2000
S_IFIFO = 0x1000

MAX_FILE_SIZE = (1 << 60) - 1  # bytes: the offset of a 3.6 key has 60 bits and counts from 1

unformatted_pointer = Int32ul  # of an indirect item: a block of the file, 0 for a hole

deh_state = FlagsEnum(Int16ul, DEH_Statdata=1, DEH_Visible=4)
DEH_VISIBLE = 4

reiserfs_de_head = Struct(
    "deh_offset" / Int32ul,  # hash of the name in bits 7-30, generation in bits 0-6
    "deh_dir_id" / Int32ul,
    "deh_objectid" / Int32ul,
    "deh_location" / Int16ul * "bytes",  # of the name in the item; it ends where the previous entry's begins
    "deh_state" / deh_state,
)

DOT_OFFSET = 1
DOT_DOT_OFFSET = 2
HASH_VALUE_MASK = 0x7FFFFF80
REISERFS_MAX_NAME = 255  # bytes
PRIVROOT_NAME = b".reiserfs_priv"  # extended attributes, hidden from the root directory

# --- journal ---------------------------------------------------------------------------------------
JOURNAL_DESC_MAGIC = b"ReIsErLB"
JOURNAL_DESC_MAGIC_FROM_END = 12  # bytes between the magic and the end of a description block
JOURNAL_TRANS_MAX_DEFAULT = 1024

#: in the block after the journal
reiserfs_journal_header = Struct(
    "j_last_flush_trans_id" / Int32ul,  # everything up to it is in its place
    "j_first_unflushed_offset" / Int32ul * "blocks",  # of the journal, where replay starts
    "j_mount_id" / Int32ul,
    "jh_journal" / journal_params,
)

#: followed by `j_realblock`, and 12 bytes before the end of its block by the magic
reiserfs_journal_desc = Struct(
    "j_trans_id" / Int32ul,
    "j_len" / Int32ul * "blocks",  # between this one and the commit block
    "j_mount_id" / Int32ul,
)

#: followed by the rest of `j_realblock`
reiserfs_journal_commit = Struct(
    "j_trans_id" / Int32ul,
    "j_len" / Int32ul * "blocks",
)

realblock = Int32ul  # where the block belongs
JOURNAL_TRANS_HALF_OVERHEAD = 24  # bytes of a description block that hold no realblock
