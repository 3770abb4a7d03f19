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
DMU_OT_PACKED_NVLIST = 3
DMU_OT_INTENT_LOG = 9
DMU_OT_DNODE = 10
DMU_OT_OBJSET = 11
DMU_OT_DSL_DIR = 12
DMU_OT_DSL_DATASET = 16
DMU_OT_ZNODE = 17
DMU_OT_PLAIN_FILE_CONTENTS = 19
DMU_OT_DIRECTORY_CONTENTS = 20
DMU_OT_MASTER_NODE = 21
DMU_OT_SA = 44

dmu_object_type = Enum(
    Int8un,
    NONE=DMU_OT_NONE,
    OBJECT_DIRECTORY=DMU_OT_OBJECT_DIRECTORY,
    PACKED_NVLIST=DMU_OT_PACKED_NVLIST,
    INTENT_LOG=DMU_OT_INTENT_LOG,
    DNODE=DMU_OT_DNODE,
    OBJSET=DMU_OT_OBJSET,
    DSL_DIR=DMU_OT_DSL_DIR,
    DSL_DATASET=DMU_OT_DSL_DATASET,
    ZNODE=DMU_OT_ZNODE,
    PLAIN_FILE_CONTENTS=DMU_OT_PLAIN_FILE_CONTENTS,
    DIRECTORY_CONTENTS=DMU_OT_DIRECTORY_CONTENTS,
    MASTER_NODE=DMU_OT_MASTER_NODE,
    SA=DMU_OT_SA,
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
