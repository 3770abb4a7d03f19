"""ZFS: objects that a pool keeps about itself, beside datasets and space maps.

Specifications: OpenZFS <sys/bpobj.h>, <sys/dsl_deadlist.h>, <sys/dsl_dir.h>, <sys/dsl_bookmark.h>,
<sys/spa_impl.h> (spa_history_phys), module/zfs/spa_history.c, <sys/vdev_indirect_mapping.h>,
<sys/vdev_indirect_births.h>, <sys/ddt.h>, <sys/ddt_impl.h>, <sys/brt_impl.h>; for packed lists in the
order of their host illumos <sys/nvpair.h>.  All numbers are in the order of the host, but for the lengths
in the history, which are little-endian on every host.
"""

from construct import (
    Array,
    Bytes,
    Computed,
    Enum,
    Int8un,
    Int16sn,
    Int16un,
    Int32sn,
    Int32un,
    Int64ul,
    Int64un,
    Padding,
    Struct,
    Switch,
    this,
)

from pybootcfg.formats._fields import UnixTime
from pybootcfg.formats.zfs_label import data_type

object_word = Int64un  # an element of an array of object numbers or the like

# --- lists of block pointers -----------------------------------------------------------------------

_bpobj = (
    "bpo_num_blkptrs" / Int64un * "block pointers",
    "bpo_bytes" / Int64un * "bytes",
    "bpo_comp" / Int64un * "bytes",
    "bpo_uncomp" / Int64un * "bytes",
    "bpo_subobjs" / Int64un,  # the object with the numbers of further lists
    "bpo_num_subobjs" / Int64un * "lists",
    "bpo_num_freed" / Int64un * "block pointers",  # of a livelist
)
bpobj_phys_v0 = Struct(*_bpobj[:2])
bpobj_phys_v1 = Struct(*_bpobj[:4])
bpobj_phys_v2 = Struct(*_bpobj[:6])
bpobj_phys = Struct(*_bpobj)
"""The bonus buffer of DMU_OT_BPOBJ; its length says which of these it is.  The data are the pointers."""

dsl_deadlist_phys = Struct(
    "dl_used" / Int64un * "bytes",
    "dl_comp" / Int64un * "bytes",
    "dl_uncomp" / Int64un * "bytes",
    "dl_pad" / Array(37, Int64un),
)
"""The bonus buffer of a ZAP that maps transaction groups to lists of block pointers."""

# --- datasets --------------------------------------------------------------------------------------

dsl_dir_used = Struct(
    "dd_used_head" / Int64un * "bytes",
    "dd_used_snap" / Int64un * "bytes",
    "dd_used_child" / Int64un * "bytes",
    "dd_used_child_rsrv" / Int64un * "bytes",
    "dd_used_refrsrv" / Int64un * "bytes",
    "dd_clones" / Int64un,
    "dd_pad" / Array(13, Int64un),
)
"""What follows dsl_dir_phys up to 256 bytes."""

_bookmark = (
    "zbm_guid" / Int64un,
    "zbm_creation_txg" / Int64un * "txg",
    "zbm_creation_time" / UnixTime(Int64un),
    "zbm_redaction_obj" / Int64un,
    "zbm_flags" / Int64un,
    "zbm_referenced_bytes_refd" / Int64un * "bytes",
    "zbm_compressed_bytes_refd" / Int64un * "bytes",
    "zbm_uncompressed_bytes_refd" / Int64un * "bytes",
    "zbm_referenced_freed_before_next_snap" / Int64un * "bytes",
    "zbm_compressed_freed_before_next_snap" / Int64un * "bytes",
    "zbm_uncompressed_freed_before_next_snap" / Int64un * "bytes",
    "zbm_ivset_guid" / Int64un,
)
bookmark_phys_v1 = Struct(*_bookmark[:3])
bookmark_phys = Struct(*_bookmark)
"""A bookmark: the value in the ZAP that DS_FIELD_BOOKMARK_NAMES names."""

DS_FIELD_BOOKMARK_NAMES = b"com.delphix:bookmarks"

# --- the history of commands -----------------------------------------------------------------------

spa_history_phys = Struct(
    "sh_pool_create_len" / Int64un * "bytes",  # of the first records, which are never overwritten
    "sh_phys_max_off" / Int64un * "bytes",  # where the ring ends
    "sh_bof" / Int64un * "bytes",  # the oldest record; both count on where the ring begins anew
    "sh_eof" / Int64un * "bytes",
    "sh_records_lost" / Int64un * "records",
)

spa_history_record = Struct("reclen" / Int64ul * "bytes")
"""Then a packed list of that length."""

nvs_header_native = Struct("nvh_encoding" / Int8un, "nvh_endian" / Int8un, Padding(2))

NV_ENCODE_NATIVE = 0

nvlist_native = Struct("nvl_version" / Int32sn, "nvl_nvflag" / Int32un)

nvpair_size_native = Int32sn

nvpair_native = Struct(
    "nvp_size" / Int32sn * "bytes",  # of the whole pair
    "nvp_name_sz" / Int16sn * "bytes",
    "nvp_reserve" / Int16sn,
    "nvp_value_elem" / Int32sn * "elements",
    "nvp_type" / Enum(Int32un, **data_type.encmapping),
    "name" / Bytes(this.nvp_name_sz),
    "name_padding" / Bytes(-this.nvp_name_sz & 7),
    "value"
    / Switch(
        this.nvp_type,
        {"UINT64": Int64un, "UINT64_ARRAY": Array(this.nvp_value_elem, Int64un)},
        default=Bytes(this.nvp_size - 16 - this.nvp_name_sz - (-this.nvp_name_sz & 7)),
    ),
)
"""A pair as it is in memory; the value of an embedded list is its head, its pairs follow."""

# --- removed devices -------------------------------------------------------------------------------

vdev_indirect_mapping_phys = Struct(
    "vim_max_offset" / Int64un * "bytes",
    "vim_bytes_mapped" / Int64un * "bytes",
    "vim_count" / Int64un * "entries",
)
vdev_indirect_birth_phys = Struct("vib_count" / Int64un * "entries")
vdev_indirect_birth_entry_phys = Struct(
    "vibe_offset" / Int64un * "bytes",  # what lies before it
    "vibe_phys_birth_txg" / Int64un * "txg",  # was copied in this one
)

# --- values in the object directory ----------------------------------------------------------------
# <sys/dsl_scan.h>, <sys/spa_impl.h>, <sys/vdev_removal.h>

DMU_POOL_SCAN = b"scan"
DMU_POOL_ERRORSCRUB = b"error_scrub"
DMU_POOL_REMOVING = b"com.delphix:removing"
DMU_POOL_CONDENSING_INDIRECT = b"com.delphix:condensing_indirect"

scan_func = Enum(Int64un, NONE=0, SCRUB=1, RESILVER=2, ERRORSCRUB=3)
scan_state = Enum(Int64un, NONE=0, SCANNING=1, FINISHED=2, CANCELED=3, ERRORSCRUBBING=4)

dsl_scan_phys = Struct(
    "scn_func" / scan_func,
    "scn_state" / scan_state,
    "scn_queue_obj" / Int64un,
    "scn_min_txg" / Int64un * "txg",
    "scn_max_txg" / Int64un * "txg",
    "scn_cur_min_txg" / Int64un * "txg",
    "scn_cur_max_txg" / Int64un * "txg",
    "scn_start_time" / UnixTime(Int64un),
    "scn_end_time" / UnixTime(Int64un),
    "scn_to_examine" / Int64un * "bytes",
    "scn_examined" / Int64un * "bytes",
    "scn_skipped" / Int64un * "bytes",
    "scn_processed" / Int64un * "bytes",
    "scn_errors" / Int64un * "errors",
    "scn_ddt_class_max" / Int64un,
    "scn_ddt_bookmark" / Array(4, Int64un),  # class, type, checksum, cursor
    "scn_bookmark" / Array(4, Int64un),  # objset, object, level, block
    "scn_flags" / Int64un,
)

dsl_errorscrub_phys = Struct(
    "dep_func" / scan_func,
    "dep_state" / scan_state,
    "dep_cursor" / Int64un,
    "dep_start_time" / UnixTime(Int64un),
    "dep_end_time" / UnixTime(Int64un),
    "dep_to_examine" / Int64un * "errors",
    "dep_examined" / Int64un * "errors",
    "dep_errors" / Int64un * "errors",
    "dep_paused_flags" / Int64un,
)

spa_removing_phys = Struct(
    "sr_state" / scan_state,
    "sr_removing_vdev" / Int64un,
    "sr_prev_indirect_vdev" / Int64un,
    "sr_start_time" / UnixTime(Int64un),
    "sr_end_time" / UnixTime(Int64un),
    "sr_to_copy" / Int64un * "bytes",
    "sr_copied" / Int64un * "bytes",
)

spa_condensing_indirect_phys = Struct(
    "scip_vdev" / Int64un,
    "scip_prev_obsolete_sm_object" / Int64un,
    "scip_next_mapping_object" / Int64un,
)

# --- deduplication ---------------------------------------------------------------------------------

DMU_POOL_DDT = b"DDT-"  # begins the names of its objects
DDT_LOG = b"DDT-log-"
DLR_RECLEN = (8, 16)  # of dlr_info: first bit, bits

ddt_stat = Struct(
    "dds_blocks" / Int64un * "blocks",
    "dds_lsize" / Int64un * "bytes",
    "dds_psize" / Int64un * "bytes",
    "dds_dsize" / Int64un * "bytes",
    "dds_ref_blocks" / Int64un * "blocks",
    "dds_ref_lsize" / Int64un * "bytes",
    "dds_ref_psize" / Int64un * "bytes",
    "dds_ref_dsize" / Int64un * "bytes",
)
ddt_histogram = Array(64, ddt_stat)
"""A value in the ZAP of statistics: element i is of blocks with 1 << i references and more."""

_ddt_key = (
    "ddk_cksum" / Array(4, Int64un),
    "ddk_prop" / Int64un,  # lsize and psize (16 bits each), compress (7 bits), encrypted (1 bit)
)
ddt_key = Struct(*_ddt_key)

DDT_KEY_FLAGS = b"flags"
DDT_FLAG_FLAT = 1
DDT_ZAP_COMPRESS_FUNCTION = (0, 7)  # of the first byte of a value; the value follows, compressed
DDT_ZAP_COMPRESS_BYTEORDER = (7, 1)  # 1: little-endian

ddt_value_head = Int8un

ddt_phys = Array(
    4,  # by number of copies, from none given
    Struct(
        "ddp_dva" / Array(6, Int64un),
        "ddp_refcnt" / Int64un * "references",
        "ddp_phys_birth" / Int64un * "txg",
    ),
)
"""The value of an entry before the feature fast_dedup."""

ddt_phys_flat = Struct(
    "ddp_dva" / Array(6, Int64un),
    "ddp_refcnt" / Int64un * "references",
    "ddp_phys_birth" / Int64un * "txg",
    "ddp_class_start" / UnixTime(Int64un),
)

ddt_log_header = Struct(
    "dlh_info" / Int64un,  # version (8 bits), flags (8 bits): 1 being flushed, 2 has a checkpoint
    "dlh_length" / Int64un * "bytes",
    "dlh_first_txg" / Int64un * "txg",
    "dlh_checkpoint" / ddt_key,
)

ddt_log_record = Struct(
    "dlr_info" / Int64un,
    "type" / Enum(Computed(this.dlr_info & 0xFF), ENTRY=1),
    "reclen" / Computed(this.dlr_info >> 8 & 0xFFFF) * "bytes",
    "entry_type" / Computed(this.dlr_info >> 48 & 0xFF),
    "entry_class" / Enum(Computed(this.dlr_info >> 56), DITTO=0, DUPLICATE=1, UNIQUE=2),
    "dlre_key" / ddt_key,
    "dlre_phys" / ddt_phys_flat,
)
ddt_log_info = Int64un  # its first word; 0 ends a block

# --- cloned blocks ---------------------------------------------------------------------------------

BRT_OBJECT_VDEV_PREFIX = b"com.fudosecurity:brt:vdev:"

brt_vdev_phys = Struct(
    "bvp_mos_entries" / Int64un,  # the ZAP: offset to number of references
    "bvp_size" / Int64un * "ranges",
    "bvp_byteorder" / Int64un,
    "bvp_totalcount" / Int64un * "entries",
    "bvp_rangesize" / Int64un * "bytes",
    "bvp_usedspace" / Int64un * "bytes",
    "bvp_savedspace" / Int64un * "bytes",
)
brt_entcount = Int16un * "entries"  # in one range; of the data of the object
