"""ZFS datasets and snapshots: objects of the Meta Object Set.

Specifications: "ZFS On-Disk Specification" chapter 4; OpenZFS <sys/dsl_dir.h>, <sys/dsl_dataset.h>,
zfsprops(7).  Both structures are the bonus buffers of their objects.
"""

from construct import Array, Int64un, Struct

from pybootcfg.formats._fields import UnixTime
from pybootcfg.formats.zfs_blkptr import blkptr

dsl_dir_phys = Struct(
    "dd_creation_time" / UnixTime(Int64un),
    "dd_head_dataset_obj" / Int64un,
    "dd_parent_obj" / Int64un,
    "dd_origin_obj" / Int64un,
    "dd_child_dir_zapobj" / Int64un,
    "dd_used_bytes" / Int64un * "bytes",
    "dd_compressed_bytes" / Int64un * "bytes",
    "dd_uncompressed_bytes" / Int64un * "bytes",
    "dd_quota" / Int64un * "bytes",
    "dd_reserved" / Int64un * "bytes",
    "dd_props_zapobj" / Int64un,
    "dd_deleg_zapobj" / Int64un,
    "dd_flags" / Int64un,
)

DD_FIELD_CRYPTO_KEY_OBJ = b"com.datto:crypto_key_obj"

DS_FLAG_INCONSISTENT = 1  # a receive did not finish

dsl_dataset_phys = Struct(
    "ds_dir_obj" / Int64un,
    "ds_prev_snap_obj" / Int64un,
    "ds_prev_snap_txg" / Int64un * "txg",
    "ds_next_snap_obj" / Int64un,
    "ds_snapnames_zapobj" / Int64un,
    "ds_num_children" / Int64un * "references",
    "ds_creation_time" / UnixTime(Int64un),
    "ds_creation_txg" / Int64un * "txg",
    "ds_deadlist_obj" / Int64un,
    "ds_referenced_bytes" / Int64un * "bytes",
    "ds_compressed_bytes" / Int64un * "bytes",
    "ds_uncompressed_bytes" / Int64un * "bytes",
    "ds_unique_bytes" / Int64un * "bytes",
    "ds_fsid_guid" / Int64un,
    "ds_guid" / Int64un,
    "ds_flags" / Int64un,
    "ds_bp" / blkptr,
    "ds_next_clones_obj" / Int64un,
    "ds_props_obj" / Int64un,
    "ds_userrefs_obj" / Int64un,
    "ds_pad" / Array(5, Int64un),
)

# --- properties ------------------------------------------------------------------------------------

PROP_MOUNTPOINT = b"mountpoint"
PROP_CANMOUNT = b"canmount"
PROP_RECEIVED = b"$recvd"  # suffix: the value that came with a received stream
PROP_INHERIT = b"$inherit"  # suffix: inherited in spite of a received value

ZFS_CANMOUNT_OFF = 0
ZFS_CANMOUNT_ON = 1
ZFS_CANMOUNT_NOAUTO = 2

MOUNTPOINT_NONE = b"none"
MOUNTPOINT_LEGACY = b"legacy"
