"""ext2, ext3 and ext4, little-endian throughout.

Specification: "ext4 Data Structures and Algorithms", https://www.kernel.org/doc/html/latest/filesystems/ext4/
(chapters Super Block, Block Group Descriptors, Index Nodes, Directory Entries, Extended Attributes) and the
header <ext2fs/ext2_fs.h> of e2fsprogs, whose names for features `dumpe2fs` prints.
"""

from construct import Array, Bytes, Const, Enum, FlagsEnum, Int8ul, Int16ul, Int32ul, Int64ul, Padding, Struct

from pybootcfg.formats._fields import Mode, PowerOfTwo, UnixTime, Uuid

SUPERBLOCK_OFFSET = 1024  # bytes from the start of the volume, whatever the block size
SUPERBLOCK_SIZE = 1024
MIN_BLOCK_SIZE = 1024
MAX_LOG_BLOCK_SIZE = 6  # 64 KiB
MAX_DESC_SIZE = 1024
MIN_DESC_SIZE = 32
MIN_DESC_SIZE_64BIT = 64
GOOD_OLD_REV = 0
DYNAMIC_REV = 1
GOOD_OLD_INODE_SIZE = 128
GOOD_OLD_FIRST_INO = 11
ROOT_INO = 2
NAME_LEN = 255
CRC32C_CHKSUM = 1  # s_checksum_type

COMPAT = {
    "dir_prealloc": 0x1,
    "imagic_inodes": 0x2,
    "has_journal": 0x4,
    "ext_attr": 0x8,
    "resize_inode": 0x10,
    "dir_index": 0x20,
    "lazy_bg": 0x40,
    "snapshot_bitmap": 0x100,
    "sparse_super2": 0x200,
    "fast_commit": 0x400,
    "stable_inodes": 0x800,
    "orphan_file": 0x1000,
}
INCOMPAT = {
    "compression": 0x1,
    "filetype": 0x2,
    "needs_recovery": 0x4,
    "journal_dev": 0x8,
    "meta_bg": 0x10,
    "extent": 0x40,
    "64bit": 0x80,
    "mmp": 0x100,
    "flex_bg": 0x200,
    "ea_inode": 0x400,
    "dirdata": 0x1000,
    "metadata_csum_seed": 0x2000,
    "large_dir": 0x4000,
    "inline_data": 0x8000,
    "encrypt": 0x10000,
    "casefold": 0x20000,
}
RO_COMPAT = {
    "sparse_super": 0x1,
    "large_file": 0x2,
    "huge_file": 0x8,
    "uninit_bg": 0x10,
    "dir_nlink": 0x20,
    "extra_isize": 0x40,
    "quota": 0x100,
    "bigalloc": 0x200,
    "metadata_csum": 0x400,
    "replica": 0x800,
    "read-only": 0x1000,
    "project": 0x2000,
    "shared_blocks": 0x4000,
    "verity": 0x8000,
    "orphan_present": 0x10000,
}

#: incompatible features that a reader must know and this project's does
INCOMPAT_UNDERSTOOD = 0xFFFFFFFF & sum(
    bit for name, bit in INCOMPAT.items() if name not in ("compression", "journal_dev", "dirdata")
)
#: what blkid calls ext2, and what it calls ext3; all else is ext4
EXT2_INCOMPAT = INCOMPAT["filetype"] | INCOMPAT["meta_bg"]
EXT3_INCOMPAT = EXT2_INCOMPAT | INCOMPAT["needs_recovery"]
RO_COMPAT_BTREE_DIR = 0x4  # never used; e2fsprogs has no name for it
EXT3_RO_COMPAT = RO_COMPAT["sparse_super"] | RO_COMPAT["large_file"] | RO_COMPAT_BTREE_DIR

SIGNED_HASH = 0x1  # s_flags: directory hashes were made with a signed char
UNSIGNED_HASH = 0x2
JNL_BACKUP_BLOCKS = 1  # s_jnl_backup_type: s_jnl_blocks holds i_block, i_size_high and i_size

HASHES = {
    "legacy": 0,
    "half_md4": 1,
    "tea": 2,
    "legacy_unsigned": 3,
    "half_md4_unsigned": 4,
    "tea_unsigned": 5,
    "siphash": 6,
}

superblock = Struct(
    "s_inodes_count" / Int32ul * "inodes",
    "s_blocks_count_lo" / Int32ul * "blocks",
    "s_r_blocks_count_lo" / Int32ul * "blocks",
    "s_free_blocks_count_lo" / Int32ul * "blocks",
    "s_free_inodes_count" / Int32ul * "inodes",
    "s_first_data_block" / Int32ul * "blocks",
    "s_log_block_size" / PowerOfTwo(Int32ul, 1024) * "bytes",
    "s_log_cluster_size" / PowerOfTwo(Int32ul, 1024) * "bytes",
    "s_blocks_per_group" / Int32ul * "blocks",
    "s_clusters_per_group" / Int32ul * "clusters",
    "s_inodes_per_group" / Int32ul * "inodes",
    "s_mtime" / UnixTime(Int32ul),
    "s_wtime" / UnixTime(Int32ul),
    "s_mnt_count" / Int16ul * "mounts",
    "s_max_mnt_count" / Int16ul * "mounts",
    "s_magic" / Const(0xEF53, Int16ul),
    "s_state" / FlagsEnum(Int16ul, valid=1, error=2, orphan=4, fast_commit_replay=0x20),
    "s_errors" / Enum(Int16ul, **{"continue": 1, "remount-ro": 2, "panic": 3}),
    "s_minor_rev_level" / Int16ul,
    "s_lastcheck" / UnixTime(Int32ul),
    "s_checkinterval" / Int32ul * "seconds",
    "s_creator_os" / Enum(Int32ul, Linux=0, Hurd=1, Masix=2, FreeBSD=3, Lites=4),
    "s_rev_level" / Enum(Int32ul, original=GOOD_OLD_REV, dynamic=DYNAMIC_REV),
    "s_def_resuid" / Int16ul,
    "s_def_resgid" / Int16ul,
    # the fields from here on are zero in revision 0
    "s_first_ino" / Int32ul,
    "s_inode_size" / Int16ul * "bytes",
    "s_block_group_nr" / Int16ul,  # the group that this copy lies in
    "s_feature_compat" / FlagsEnum(Int32ul, **COMPAT),
    "s_feature_incompat" / FlagsEnum(Int32ul, **INCOMPAT),
    "s_feature_ro_compat" / FlagsEnum(Int32ul, **RO_COMPAT),
    "s_uuid" / Uuid(),
    "s_volume_name" / Bytes(16),
    "s_last_mounted" / Bytes(64),
    "s_algorithm_usage_bitmap" / Int32ul,
    "s_prealloc_blocks" / Int8ul * "blocks",
    "s_prealloc_dir_blocks" / Int8ul * "blocks",
    "s_reserved_gdt_blocks" / Int16ul * "blocks",
    "s_journal_uuid" / Uuid(),
    "s_journal_inum" / Int32ul,
    "s_journal_dev" / Int32ul,
    "s_last_orphan" / Int32ul,
    "s_hash_seed" / Array(4, Int32ul),
    "s_def_hash_version" / Enum(Int8ul, **HASHES),
    "s_jnl_backup_type" / Int8ul,
    "s_desc_size" / Int16ul * "bytes",
    "s_default_mount_opts" / Int32ul,
    "s_first_meta_bg" / Int32ul * "blocks of group descriptors",
    "s_mkfs_time" / UnixTime(Int32ul),
    "s_jnl_blocks" / Bytes(68),  # i_block of the journal's inode, then i_size_high and i_size
    "s_blocks_count_hi" / Int32ul * "x 2^32 blocks",
    "s_r_blocks_count_hi" / Int32ul * "x 2^32 blocks",
    "s_free_blocks_count_hi" / Int32ul * "x 2^32 blocks",
    "s_min_extra_isize" / Int16ul * "bytes",
    "s_want_extra_isize" / Int16ul * "bytes",
    "s_flags" / FlagsEnum(Int32ul, signed_hash=SIGNED_HASH, unsigned_hash=UNSIGNED_HASH, test_filesys=4),
    "s_raid_stride" / Int16ul * "blocks",
    "s_mmp_interval" / Int16ul * "seconds",
    "s_mmp_block" / Int64ul * "blocks",
    "s_raid_stripe_width" / Int32ul * "blocks",
    "s_log_groups_per_flex" / PowerOfTwo(Int8ul) * "groups",
    "s_checksum_type" / Enum(Int8ul, none=0, crc32c=CRC32C_CHKSUM),
    "s_encryption_level" / Int8ul,
    "s_reserved_pad" / Int8ul,
    "s_kbytes_written" / Int64ul * "KiB",
    "s_snapshot_inum" / Int32ul,
    "s_snapshot_id" / Int32ul,
    "s_snapshot_r_blocks_count" / Int64ul * "blocks",
    "s_snapshot_list" / Int32ul,
    "s_error_count" / Int32ul * "errors",
    "s_first_error_time" / UnixTime(Int32ul),
    "s_first_error_ino" / Int32ul,
    "s_first_error_block" / Int64ul * "blocks",
    "s_first_error_func" / Bytes(32),
    "s_first_error_line" / Int32ul,
    "s_last_error_time" / UnixTime(Int32ul),
    "s_last_error_ino" / Int32ul,
    "s_last_error_line" / Int32ul,
    "s_last_error_block" / Int64ul * "blocks",
    "s_last_error_func" / Bytes(32),
    "s_mount_opts" / Bytes(64),
    "s_usr_quota_inum" / Int32ul,
    "s_grp_quota_inum" / Int32ul,
    "s_overhead_clusters" / Int32ul * "clusters",
    "s_backup_bgs" / Array(2, Int32ul),  # with sparse_super2: the only groups with copies of this
    "s_encrypt_algos" / Array(4, Int8ul),
    "s_encrypt_pw_salt" / Bytes(16),
    "s_lpf_ino" / Int32ul,
    "s_prj_quota_inum" / Int32ul,
    "s_checksum_seed" / Int32ul,
    "s_wtime_hi" / Int8ul * "x 2^32 seconds",
    "s_mtime_hi" / Int8ul * "x 2^32 seconds",
    "s_mkfs_time_hi" / Int8ul * "x 2^32 seconds",
    "s_lastcheck_hi" / Int8ul * "x 2^32 seconds",
    "s_first_error_time_hi" / Int8ul * "x 2^32 seconds",
    "s_last_error_time_hi" / Int8ul * "x 2^32 seconds",
    "s_first_error_errcode" / Int8ul,
    "s_last_error_errcode" / Int8ul,
    "s_encoding" / Enum(Int16ul, ascii=0, utf8_12_1=1),
    "s_encoding_flags" / FlagsEnum(Int16ul, strict=1),
    "s_orphan_file_inum" / Int32ul,
    "s_reserved" / Padding(376),
    "s_checksum" / Int32ul,  # crc32c of all before it
)
SUPERBLOCK_CHECKSUMMED = 1020  # bytes

INODE_UNINIT = 1
BLOCK_UNINIT = 2
GROUP_FLAGS = FlagsEnum(Int16ul, inode_uninit=INODE_UNINIT, block_uninit=BLOCK_UNINIT, inode_zeroed=4)

group_descriptor = Struct(
    "bg_block_bitmap_lo" / Int32ul * "blocks",
    "bg_inode_bitmap_lo" / Int32ul * "blocks",
    "bg_inode_table_lo" / Int32ul * "blocks",
    "bg_free_blocks_count_lo" / Int16ul * "blocks",
    "bg_free_inodes_count_lo" / Int16ul * "inodes",
    "bg_used_dirs_count_lo" / Int16ul * "directories",
    "bg_flags" / GROUP_FLAGS,
    "bg_exclude_bitmap_lo" / Int32ul * "blocks",
    "bg_block_bitmap_csum_lo" / Int16ul,
    "bg_inode_bitmap_csum_lo" / Int16ul,
    "bg_itable_unused_lo" / Int16ul * "inodes",
    "bg_checksum" / Int16ul,
)
DESCRIPTOR_CHECKSUM_OFFSET = 30

#: with the feature 64bit; s_desc_size may be larger still
group_descriptor_64bit = Struct(
    *group_descriptor.subcons,
    "bg_block_bitmap_hi" / Int32ul * "x 2^32 blocks",
    "bg_inode_bitmap_hi" / Int32ul * "x 2^32 blocks",
    "bg_inode_table_hi" / Int32ul * "x 2^32 blocks",
    "bg_free_blocks_count_hi" / Int16ul * "x 2^16 blocks",
    "bg_free_inodes_count_hi" / Int16ul * "x 2^16 inodes",
    "bg_used_dirs_count_hi" / Int16ul * "x 2^16 directories",
    "bg_itable_unused_hi" / Int16ul * "x 2^16 inodes",
    "bg_exclude_bitmap_hi" / Int32ul * "x 2^32 blocks",
    "bg_block_bitmap_csum_hi" / Int16ul,
    "bg_inode_bitmap_csum_hi" / Int16ul,
    "bg_reserved" / Int32ul,
)

# i_mode: the type of the file
S_IFMT = 0xF000
S_IFIFO = 0x1000
S_IFCHR = 0x2000
S_IFDIR = 0x4000
S_IFBLK = 0x6000
S_IFREG = 0x8000
S_IFLNK = 0xA000
S_IFSOCK = 0xC000

INODE_FLAGS = {
    "secrm": 0x1,
    "unrm": 0x2,
    "compr": 0x4,
    "sync": 0x8,
    "immutable": 0x10,
    "append": 0x20,
    "nodump": 0x40,
    "noatime": 0x80,
    "dirty": 0x100,
    "comprblk": 0x200,
    "nocompr": 0x400,
    "encrypt": 0x800,
    "index": 0x1000,
    "imagic": 0x2000,
    "journal_data": 0x4000,
    "notail": 0x8000,
    "dirsync": 0x10000,
    "topdir": 0x20000,
    "huge_file": 0x40000,
    "extents": 0x80000,
    "verity": 0x100000,
    "ea_inode": 0x200000,
    "eofblocks": 0x400000,
    "snapfile": 0x1000000,
    "dax": 0x2000000,
    "inline_data": 0x10000000,
    "projinherit": 0x20000000,
    "casefold": 0x40000000,
}
COMPRBLK_FL = INODE_FLAGS["comprblk"]
ENCRYPT_FL = INODE_FLAGS["encrypt"]
INDEX_FL = INODE_FLAGS["index"]
EXTENTS_FL = INODE_FLAGS["extents"]
INLINE_DATA_FL = INODE_FLAGS["inline_data"]
CASEFOLD_FL = INODE_FLAGS["casefold"]

inode = Struct(
    "i_mode" / Mode(Int16ul),
    "i_uid" / Int16ul,
    "i_size_lo" / Int32ul * "bytes",
    "i_atime" / UnixTime(Int32ul),
    "i_ctime" / UnixTime(Int32ul),
    "i_mtime" / UnixTime(Int32ul),
    "i_dtime" / UnixTime(Int32ul),
    "i_gid" / Int16ul,
    "i_links_count" / Int16ul * "links",
    "i_blocks_lo" / Int32ul * "sectors of 512 bytes",  # with the flag huge_file: blocks
    "i_flags" / FlagsEnum(Int32ul, **INODE_FLAGS),
    "l_i_version" / Int32ul,
    "i_block" / Bytes(60),  # 15 block pointers, an extent tree, a short link or the first inline data
    "i_generation" / Int32ul,
    "i_file_acl_lo" / Int32ul * "blocks",
    "i_size_high" / Int32ul * "x 2^32 bytes",
    "i_obso_faddr" / Int32ul,
    "l_i_blocks_high" / Int16ul * "x 2^32 sectors",
    "l_i_file_acl_high" / Int16ul * "x 2^32 blocks",
    "l_i_uid_high" / Int16ul,
    "l_i_gid_high" / Int16ul,
    "l_i_checksum_lo" / Int16ul,
    "l_i_reserved" / Int16ul,
)
#: the fields behind the first 128 bytes; those beyond i_extra_isize are not there
inode_extra = Struct(
    "i_extra_isize" / Int16ul * "bytes",  # of these fields, itself included
    "i_checksum_hi" / Int16ul,
    "i_ctime_extra" / Int32ul,
    "i_mtime_extra" / Int32ul,  # bits 0-1: the epoch, on top of i_mtime; bits 2-31: nanoseconds
    "i_atime_extra" / Int32ul,
    "i_crtime" / UnixTime(Int32ul),
    "i_crtime_extra" / Int32ul,
    "i_version_hi" / Int32ul,
    "i_projid" / Int32ul,
)
#: both, for people to look at
inode_large = Struct(*inode.subcons, *inode_extra.subcons)
I_BLOCK_OFFSET = 40
I_BLOCK_SIZE = 60
I_GENERATION_OFFSET = 100
I_CHECKSUM_LO_OFFSET = 124
I_CHECKSUM_HI_OFFSET = 130
CHECKSUM_HI_EXTRA_ISIZE = 4  # i_extra_isize from which on a field is there
MTIME_EXTRA_EXTRA_ISIZE = 12

block_pointer = Int32ul * "blocks"
NDIR_BLOCKS = 12

extent_header = Struct(
    "eh_magic" / Const(0xF30A, Int16ul),
    "eh_entries" / Int16ul * "entries",
    "eh_max" / Int16ul * "entries",
    "eh_depth" / Int16ul * "levels",  # 0 for a leaf
    "eh_generation" / Int32ul,
)
extent = Struct(
    "ee_block" / Int32ul * "blocks",
    "ee_len" / Int16ul * "blocks",  # over EXT_INIT_MAX_LEN: unwritten, less that many
    "ee_start_hi" / Int16ul * "x 2^32 blocks",
    "ee_start_lo" / Int32ul * "blocks",
)
extent_index = Struct(
    "ei_block" / Int32ul * "blocks",
    "ei_leaf_lo" / Int32ul * "blocks",
    "ei_leaf_hi" / Int16ul * "x 2^32 blocks",
    "ei_unused" / Int16ul,
)
extent_tail = Struct("et_checksum" / Int32ul)
EXT_MAGIC = bytes.fromhex("0af3")  # how a block that holds extents begins
EXT_EMPTY_ROOT = bytes.fromhex("0af3 0000 0400 0000 00000000").ljust(I_BLOCK_SIZE, b"\0")  # no extent of four
EXT_INIT_MAX_LEN = 32768
EXT_MAX_DEPTH = 5

#: the name follows; without the feature filetype the last byte is not the type but zero
directory_entry = Struct(
    "inode" / Int32ul,
    "rec_len" / Int16ul * "bytes",  # to the next entry; 0 and 65535 mean 65536
    "name_len" / Int8ul * "bytes",
    "file_type"
    / Enum(Int8ul, unknown=0, file=1, dir=2, char=3, block=4, fifo=5, socket=6, symlink=7, tail=0xDE),
)
FT_DIR_CSUM = 0xDE
MIN_REC_LEN = 12
#: looks like an unused entry at the end of a directory block
directory_tail = Struct(
    "det_reserved_zero1" / Const(0, Int32ul),
    "det_rec_len" / Const(12, Int16ul),
    "det_reserved_zero2" / Const(0, Int8ul),
    "det_reserved_ft" / Const(FT_DIR_CSUM, Int8ul),
    "det_checksum" / Int32ul,
)
#: how an inline directory begins, in place of the entries "." and ".."
inline_directory = Struct("parent" / Int32ul)

#: block 0 of an indexed directory; the entries for "." and ".." hide the index from old kernels
dx_root = Struct(
    "dot" / directory_entry,
    "dot_name" / Bytes(4),
    "dotdot" / directory_entry,
    "dotdot_name" / Bytes(4),
    "reserved_zero" / Const(0, Int32ul),
    "hash_version" / Enum(Int8ul, **HASHES),
    "info_length" / Const(8, Int8ul) * "bytes",
    "indirect_levels" / Int8ul * "levels",
    "unused_flags" / Int8ul,
)
#: the other blocks of an index
dx_node = Struct("fake" / directory_entry)
#: lies where the hash of the first entry would be, which is always zero
dx_countlimit = Struct("limit" / Int16ul * "entries", "count" / Int16ul * "entries")
dx_entry = Struct("hash" / Int32ul, "block" / Int32ul * "blocks")
dx_tail = Struct("dt_reserved" / Int32ul, "dt_checksum" / Int32ul)
DX_BLOCK_MASK = 0x0FFFFFFF
DX_LEVELS = 2  # of index blocks, the root included; 3 with the feature large_dir
DX_LEVELS_LARGE = 3

#: begins the attributes that lie behind i_extra_isize in an inode
xattr_ibody_header = Struct("h_magic" / Int32ul)
XATTR_MAGIC = 0xEA020000
XATTR_CHECKSUM_OFFSET = 16  # in the block's header
#: begins the block that i_file_acl names
xattr_header = Struct(
    "h_magic" / Const(XATTR_MAGIC, Int32ul),
    "h_refcount" / Int32ul * "inodes",  # that share the block
    "h_blocks" / Int32ul * "blocks",
    "h_hash" / Int32ul,
    "h_checksum" / Int32ul,
    "h_reserved" / Array(3, Int32ul),
)
#: the name follows, padded to 4 bytes; a zero word ends the list
xattr_entry = Struct(
    "e_name_len" / Int8ul * "bytes",
    "e_name_index"
    / Enum(Int8ul, user=1, acl_access=2, acl_default=3, trusted=4, lustre=5, security=6, system=7),
    "e_value_offs" / Int16ul * "bytes",  # from the first entry
    "e_value_inum" / Int32ul,  # the inode that holds the value, with the feature ea_inode
    "e_value_size" / Int32ul * "bytes",
    "e_hash" / Int32ul,
)
XATTR_INDEX_SYSTEM = 7
XATTR_NAME_DATA = b"data"  # system.data: the rest of an inline file
