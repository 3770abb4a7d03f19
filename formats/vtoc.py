"""Solaris disk labels: the VTOC inside an x86 MBR slice, and the SPARC label of a whole disk.

- illumos <sys/dklabel.h> and <sys/vtoc.h>, whose names these are:
  https://github.com/illumos/illumos-gate/blob/master/usr/src/uts/common/sys/dklabel.h
- Solaris fmthard(8) and prtvtoc(8) for the tags

The x86 label (16 slices) is little-endian and lies in the second sector of its MBR slice; p_start
counts from the start of that slice.  The SPARC label (8 slices) is big-endian and lies in sector 0.
"""

from construct import (
    Array,
    Bytes,
    Const,
    Enum,
    FlagsEnum,
    Int16ub,
    Int16ul,
    Int16un,
    Int32ub,
    Int32ul,
    Padding,
    Struct,
)

from pybootcfg.formats._fields import UnixTime

DKL_MAGIC = 0xDABE
VTOC_SANE = 0x600DDEEE
SECTOR_SIZE = 512  # bytes, both labels
X86_LABEL_OFFSET = 512  # bytes from the start of the MBR slice

# p_tag
V_UNASSIGNED = 0
V_ROOT = 2
V_BACKUP = 5  # the whole slice or disk
TAGS = {
    0: "unassigned",
    1: "boot",
    2: "root",
    3: "swap",
    4: "usr",
    5: "backup",
    6: "stand",
    7: "var",
    8: "home",
    9: "alternates",
    10: "cache",
    11: "reserved",
    12: "system",
    0x18: "BIOS boot",
    0x82: "Linux swap",
    0x83: "Linux",
    0x8E: "Linux LVM",
    0xFD: "Linux RAID",
}

# p_flag
V_UNMNT = 0x01
V_RONLY = 0x10


_TAG_NUMBERS = {name: tag for tag, name in TAGS.items()}

x86_partition = Struct(
    "p_tag" / Enum(Int16ul, **_TAG_NUMBERS),
    "p_flag" / FlagsEnum(Int16ul, unmountable=V_UNMNT, read_only=V_RONLY),
    "p_start" / Int32ul * "sectors",  # from the start of the MBR slice
    "p_size" / Int32ul * "sectors",
)

x86_label = Struct(
    "v_bootinfo" / Array(3, Int32ul),
    "v_sanity" / Const(VTOC_SANE, Int32ul),
    "v_version" / Int32ul,
    "v_volume" / Bytes(8),
    "v_sectorsz" / Int16ul * "bytes",
    "v_nparts" / Int16ul * "partitions",
    "v_reserved" / Array(10, Int32ul),
    "v_part" / Array(16, x86_partition),
    "timestamp" / Array(16, UnixTime(Int32ul)),
    "v_asciilabel" / Bytes(128),
    "dkl_pcyl" / Int32ul * "cylinders",
    "dkl_ncyl" / Int32ul * "cylinders",
    "dkl_acyl" / Int16ul * "cylinders",
    "dkl_bcyl" / Int16ul * "cylinders",
    "dkl_nhead" / Int32ul * "heads",
    "dkl_nsect" / Int32ul * "sectors per track",
    "dkl_intrlv" / Int16ul,
    "dkl_skew" / Int16ul,
    "dkl_apc" / Int16ul * "sectors",
    "dkl_rpm" / Int16ul * "revolutions per minute",
    "dkl_write_reinstruct" / Int16ul,
    "dkl_read_reinstruct" / Int16ul,
    "dkl_extra" / Array(4, Int16ul),
    "dkl_pad" / Bytes(12),
    "dkl_magic" / Int16ul,
    "dkl_cksum" / Int16ul,  # the XOR of all 16-bit words is zero
)

sparc_tag = Struct(
    "p_tag" / Enum(Int16ub, **_TAG_NUMBERS),
    "p_flag" / FlagsEnum(Int16ub, unmountable=V_UNMNT, read_only=V_RONLY),
)

sparc_map = Struct(
    "dkl_cylno" / Int32ub * "cylinders",
    "dkl_nblk" / Int32ub * "sectors",
)

sparc_label = Struct(
    "dkl_asciilabel" / Bytes(128),
    "v_version" / Int32ub,
    "v_volume" / Bytes(8),
    "v_nparts" / Int16ub * "partitions",
    "v_part" / Array(8, sparc_tag),
    Padding(2),
    "v_bootinfo" / Array(3, Int32ub),
    "v_sanity" / Int32ub,  # absent before SunOS 5: then the tags say nothing
    "v_reserved" / Array(10, Int32ub),
    "v_timestamp" / Array(8, UnixTime(Int32ub)),
    "dkl_write_reinstruct" / Int16ub,
    "dkl_read_reinstruct" / Int16ub,
    "dkl_pad" / Bytes(152),
    "dkl_rpm" / Int16ub * "revolutions per minute",
    "dkl_pcyl" / Int16ub * "cylinders",
    "dkl_apc" / Int16ub * "sectors",
    "dkl_obs1" / Int16ub,
    "dkl_obs2" / Int16ub,
    "dkl_intrlv" / Int16ub,
    "dkl_ncyl" / Int16ub * "cylinders",
    "dkl_acyl" / Int16ub * "cylinders",
    "dkl_nhead" / Int16ub * "heads",
    "dkl_nsect" / Int16ub * "sectors per track",
    "dkl_obs3" / Int16ub,
    "dkl_obs4" / Int16ub,
    "dkl_map" / Array(8, sparc_map),
    "dkl_magic" / Const(DKL_MAGIC, Int16ub),
    "dkl_cksum" / Int16ub,  # the XOR of all 16-bit words is zero
)

WORDS = 256

word = Int16un  # of the checksum, whose XOR does not mind the byte order
