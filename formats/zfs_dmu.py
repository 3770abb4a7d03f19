"""ZFS objects: dnodes and object sets.

Specifications: "ZFS On-Disk Specification" chapter 3; OpenZFS <sys/dnode.h>, <sys/dmu.h>,
<sys/dmu_objset.h>.
"""

from construct import Array, Bytes, Enum, Int8un, Int16un, Int64un, Padding, Struct, this

from pybootcfg.formats._fields import PowerOfTwo
from pybootcfg.formats.zfs_blkptr import blkptr, blkptr_shown_big, blkptr_shown_little
from pybootcfg.formats.zfs_zil import zil_header

# --- dnode -----------------------------------------------------------------------------------------

DNODE_SHIFT = 9  # a slot; a dnode takes 1 + dn_extra_slots of them
DNODE_CORE_SIZE = 64
DNODE_BLOCK_SIZE = 16384
DNODE_BLOCK_MAX = 131072  # ZFS makes no other size than the above
DN_MAX_NBLKPTR = 3
DN_MIN_INDBLKSHIFT = 10
DN_MAX_INDBLKSHIFT = 17
DN_MAX_LEVELS = 12
DNODE_FLAG_SPILL_BLKPTR = 4

DMU_OT_NONE = 0
DMU_OT_OBJECT_DIRECTORY = 1
DMU_OT_OBJECT_ARRAY = 2
DMU_OT_PACKED_NVLIST = 3
DMU_OT_PACKED_NVLIST_SIZE = 4
DMU_OT_BPOBJ = 5  # called BPLIST before version 26
DMU_OT_BPOBJ_HDR = 6
DMU_OT_SPACE_MAP_HEADER = 7
DMU_OT_SPACE_MAP = 8
DMU_OT_INTENT_LOG = 9
DMU_OT_DNODE = 10
DMU_OT_OBJSET = 11
DMU_OT_DSL_DIR = 12
DMU_OT_DSL_DATASET = 16
DMU_OT_ZNODE = 17
DMU_OT_OLDACL = 18
DMU_OT_PLAIN_FILE_CONTENTS = 19
DMU_OT_DIRECTORY_CONTENTS = 20
DMU_OT_MASTER_NODE = 21
DMU_OT_SPA_HISTORY = 29
DMU_OT_SPA_HISTORY_OFFSETS = 30
DMU_OT_ACL = 33
DMU_OT_FUID = 35
DMU_OT_FUID_SIZE = 36
DMU_OT_DDT_ZAP = 42
DMU_OT_DDT_STATS = 43
DMU_OT_SA = 44
DMU_OT_DEADLIST_HDR = 51
DMU_OT_BPOBJ_SUBOBJ = 53

dmu_object_type = Enum(
    Int8un,
    NONE=DMU_OT_NONE,
    OBJECT_DIRECTORY=DMU_OT_OBJECT_DIRECTORY,
    OBJECT_ARRAY=DMU_OT_OBJECT_ARRAY,
    PACKED_NVLIST=DMU_OT_PACKED_NVLIST,
    PACKED_NVLIST_SIZE=DMU_OT_PACKED_NVLIST_SIZE,
    BPOBJ=DMU_OT_BPOBJ,
    BPOBJ_HDR=DMU_OT_BPOBJ_HDR,
    SPACE_MAP_HEADER=DMU_OT_SPACE_MAP_HEADER,
    SPACE_MAP=DMU_OT_SPACE_MAP,
    INTENT_LOG=DMU_OT_INTENT_LOG,
    DNODE=DMU_OT_DNODE,
    OBJSET=DMU_OT_OBJSET,
    DSL_DIR=DMU_OT_DSL_DIR,
    DSL_DIR_CHILD_MAP=13,
    DSL_DS_SNAP_MAP=14,
    DSL_PROPS=15,
    DSL_DATASET=DMU_OT_DSL_DATASET,
    ZNODE=DMU_OT_ZNODE,
    OLDACL=DMU_OT_OLDACL,
    PLAIN_FILE_CONTENTS=DMU_OT_PLAIN_FILE_CONTENTS,
    DIRECTORY_CONTENTS=DMU_OT_DIRECTORY_CONTENTS,
    MASTER_NODE=DMU_OT_MASTER_NODE,
    UNLINKED_SET=22,
    ZVOL=23,
    ZVOL_PROP=24,
    PLAIN_OTHER=25,
    UINT64_OTHER=26,
    ZAP_OTHER=27,
    ERROR_LOG=28,
    SPA_HISTORY=DMU_OT_SPA_HISTORY,
    SPA_HISTORY_OFFSETS=DMU_OT_SPA_HISTORY_OFFSETS,
    POOL_PROPS=31,
    DSL_PERMS=32,
    ACL=DMU_OT_ACL,
    SYSACL=34,
    FUID=DMU_OT_FUID,
    FUID_SIZE=DMU_OT_FUID_SIZE,
    NEXT_CLONES=37,
    SCAN_QUEUE=38,
    USERGROUP_USED=39,
    USERGROUP_QUOTA=40,
    USERREFS=41,
    DDT_ZAP=DMU_OT_DDT_ZAP,
    DDT_STATS=DMU_OT_DDT_STATS,
    SA=DMU_OT_SA,
    SA_MASTER_NODE=45,
    SA_ATTR_REGISTRATION=46,
    SA_ATTR_LAYOUTS=47,
    SCAN_XLATE=48,
    DEDUP=49,
    DEADLIST=50,
    DEADLIST_HDR=DMU_OT_DEADLIST_HDR,
    DSL_CLONES=52,
    BPOBJ_SUBOBJ=DMU_OT_BPOBJ_SUBOBJ,
    # since extensible_dataset: how the bytes are swapped, 0x40 for metadata, 0x20 for what is encrypted
    OTN_UINT8_DATA=128,
    OTN_UINT16_DATA=129,
    OTN_UINT32_DATA=130,
    OTN_UINT64_DATA=131,
    OTN_ZAP_DATA=132,
    OTN_UINT8_METADATA=192,
    OTN_UINT16_METADATA=193,
    OTN_UINT32_METADATA=194,
    OTN_UINT64_METADATA=195,
    OTN_ZAP_METADATA=196,
)

dnode_core = Struct(
    "dn_type" / dmu_object_type,
    "dn_indblkshift" / PowerOfTwo(Int8un) * "bytes",
    "dn_nlevels" / Int8un * "levels",  # 1: the block pointers point at data
    "dn_nblkptr" / Int8un * "block pointers",
    "dn_bonustype" / dmu_object_type,
    "dn_checksum" / Int8un,
    "dn_compress" / Int8un,
    "dn_flags" / Int8un,
    "dn_datablkszsec" / Int16un * "sectors of 512 bytes",
    "dn_bonuslen" / Int16un * "bytes",
    "dn_extra_slots" / Int8un * "slots of 512 bytes",
    Padding(3),
    "dn_maxblkid" / Int64un * "blocks",
    "dn_used" / Int64un,
    Padding(32),
)
"""Then dn_nblkptr block pointers, the bonus buffer and, at the very end, the spill block pointer."""

dnode_phys = Struct(
    "core" / dnode_core,
    "dn_blkptr" / Array(1, blkptr),
    "dn_bonus" / Bytes(320),
)
"""A dnode of one slot and one block pointer."""

dnode_shown_little = Struct(
    "core" / dnode_core,
    "dn_blkptr" / Array(this.core.dn_nblkptr, blkptr_shown_little),
    "dn_bonus" / Bytes(this.core.dn_bonuslen),
)
dnode_shown_big = Struct(
    "core" / dnode_core,
    "dn_blkptr" / Array(this.core.dn_nblkptr, blkptr_shown_big),
    "dn_bonus" / Bytes(this.core.dn_bonuslen),
)
"""A dnode as `inspect` shows it."""

# --- object set ------------------------------------------------------------------------------------

OBJSET_PHYS_SIZE_V1 = 1024  # later versions add dnodes for accounting
DMU_OST_META = 1
DMU_OST_ZFS = 2
DMU_OST_ZVOL = 3

objset_phys = Struct(
    "os_meta_dnode" / dnode_phys,
    "os_zil_header" / zil_header,
    "os_type" / Int64un,
    "os_flags" / Int64un,
)

objset_shown_little = Struct("os_meta_dnode" / dnode_shown_little)
objset_shown_big = Struct("os_meta_dnode" / dnode_shown_big)
