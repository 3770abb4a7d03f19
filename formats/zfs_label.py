"""ZFS device labels: four a device, each with the vdev tree as an nvlist and a ring of uberblocks.

Specifications: "ZFS On-Disk Specification" chapters 1.2 and 1.3; OpenZFS <sys/vdev_impl.h>,
<sys/uberblock_impl.h>, <sys/zio.h> (zio_eck); for nvlists illumos <sys/nvpair.h>, nvpair.c and RFC 4506
(XDR).  Uberblocks and checksums are in the byte order of the host, nvlists are big-endian.

A label begins with 16 KiB that hold no pool data (VTOC, boot environments); two labels lie at the
start of the device, two at its end rounded down to a multiple of the label's size.
"""

from construct import (
    Array,
    Bytes,
    Const,
    Enum,
    Int8ub,
    Int32sb,
    Int32ub,
    Int64sb,
    Int64ub,
    Int64un,
    Padding,
    Struct,
    Switch,
    this,
)

from pybootcfg.formats._fields import UnixTime
from pybootcfg.formats.zfs_blkptr import blkptr, blkptr_shown_big, blkptr_shown_little

# --- where things lie, in bytes --------------------------------------------------------------------

VDEV_LABELS = 4
VDEV_LABEL_SIZE = 262144
VDEV_LABEL_START_SIZE = 4194304  # two labels and the boot area: what DVA offsets count from
VDEV_BOOT_SIZE = 3670016
VDEV_PHYS_OFFSET = 16384  # in a label
VDEV_PHYS_SIZE = 114688
VDEV_UBERBLOCK_RING_OFFSET = 131072  # in a label
VDEV_UBERBLOCK_RING = 131072
UBERBLOCK_SHIFT = 10  # a slot is 1 << ashift, but no less than 1 << UBERBLOCK_SHIFT
MAX_UBERBLOCK_SHIFT = 13

# --- embedded checksum -----------------------------------------------------------------------------

ZEC_MAGIC = 0x0210DA7AB10C7A11

zio_eck = Struct(
    "zec_magic" / Int64un,
    "zec_cksum" / Array(4, Int64un),  # of the block with the verifier in this place
)

# --- uberblock -------------------------------------------------------------------------------------

UBERBLOCK_MAGIC = 0x00BAB10C
UB_ROOTBP_OFFSET = 40
MMP_MAGIC = 0xA11CEA11
MMP_SEQ_VALID = (1, 1)  # of ub_mmp_config: first bit, bits
MMP_SEQ = (32, 16)

_before_rootbp = (
    "ub_version" / Int64un,
    "ub_txg" / Int64un * "txg",
    "ub_guid_sum" / Int64un,
    "ub_timestamp" / UnixTime(Int64un),
)
_after_rootbp = (
    "ub_software_version" / Int64un,
    "ub_mmp_magic" / Int64un,
    "ub_mmp_delay" / Int64un * "nanoseconds",
    "ub_mmp_config" / Int64un,
    "ub_checkpoint_txg" / Int64un * "txg",
    "ub_raidz_reflow_info" / Int64un,
)
uberblock = Struct("ub_magic" / Int64un, *_before_rootbp, "ub_rootbp" / blkptr, *_after_rootbp)

uberblock_shown_little = Struct(
    "ub_magic" / Const(UBERBLOCK_MAGIC, Int64un),
    *_before_rootbp,
    "ub_rootbp" / blkptr_shown_little,
    *_after_rootbp,
)
uberblock_shown_big = Struct(
    "ub_magic" / Const(UBERBLOCK_MAGIC, Int64un),
    *_before_rootbp,
    "ub_rootbp" / blkptr_shown_big,
    *_after_rootbp,
)

# --- nvlist ----------------------------------------------------------------------------------------

NV_ENCODE_XDR = 1
NV_LITTLE_ENDIAN = 1  # of the host; XDR is big-endian all the same

nvs_header = Struct(
    "nvh_encoding" / Const(NV_ENCODE_XDR, Int8ub),
    "nvh_endian" / Int8ub,
    Padding(2),
)

nvlist = Struct(
    "nvl_version" / Int32sb,
    "nvl_nvflag" / Int32ub,
)
"""Head of a list; nvpairs follow until one of size 0."""

DATA_TYPE_BOOLEAN = 1
DATA_TYPE_UINT64 = 8
DATA_TYPE_STRING = 9
DATA_TYPE_UINT64_ARRAY = 16
DATA_TYPE_NVLIST = 19
DATA_TYPE_NVLIST_ARRAY = 20

data_type = Enum(
    Int32ub,
    BOOLEAN=DATA_TYPE_BOOLEAN,
    BYTE=2,
    INT16=3,
    UINT16=4,
    INT32=5,
    UINT32=6,
    INT64=7,
    UINT64=DATA_TYPE_UINT64,
    STRING=DATA_TYPE_STRING,
    BYTE_ARRAY=10,
    INT16_ARRAY=11,
    UINT16_ARRAY=12,
    INT32_ARRAY=13,
    UINT32_ARRAY=14,
    INT64_ARRAY=15,
    UINT64_ARRAY=DATA_TYPE_UINT64_ARRAY,
    STRING_ARRAY=17,
    HRTIME=18,
    NVLIST=DATA_TYPE_NVLIST,
    NVLIST_ARRAY=DATA_TYPE_NVLIST_ARRAY,
    BOOLEAN_VALUE=21,
    INT8=22,
    UINT8=23,
    BOOLEAN_ARRAY=24,
    INT8_ARRAY=25,
    UINT8_ARRAY=26,
)

nvpair_size = Struct(
    "encoded_size" / Int32ub * "bytes",  # of the whole pair with this field; 0 ends the list
    "decoded_size" / Int32ub * "bytes",
)

nvpair_name = Struct("length" / Int32ub * "bytes")
"""Then the name, padded to a multiple of four."""

nvpair_type = Struct(
    "type" / data_type,
    "nelem" / Int32ub,
)
"""Then the value: embedded lists as `nvlist`s, all else as XDR has it."""

nvpair = Struct(
    "encoded_size" / Int32ub * "bytes",
    "decoded_size" / Int32ub * "bytes",
    "name_length" / Int32ub * "bytes",
    "name" / Bytes(this.name_length),
    "name_padding" / Bytes(-this.name_length & 3),
    "type" / data_type,
    "nelem" / Int32ub,
    "value"
    / Switch(
        this.type,
        {
            "UINT64": Int64ub,
            "INT64": Int64sb,
            "UINT32": Int32ub,
            "INT32": Int32sb,
            "BOOLEAN_VALUE": Int32ub,
            "BYTE_ARRAY": Bytes(this.nelem),
            "STRING": Struct("length" / Int32ub * "bytes", "text" / Bytes(this.length)),
            "UINT64_ARRAY": Struct("length" / Int32ub * "elements", "elements" / Array(this.length, Int64ub)),
        },
        default=Bytes(0),
    ),
)
"""A pair as `inspect` shows it."""

uint64 = Int64ub
string_length = Int32ub
array_length = Int32ub  # of arrays of numbers; arrays of lists have none
