"""ZFS system attributes: what a znode knows, laid out as the file system's registry says.

Specifications: OpenZFS <sys/sa_impl.h>, the head comment of module/zfs/sa.c, <sys/zfs_sa.h>.

A bonus buffer or spill block of type DMU_OT_SA begins with a header that names a layout: a list of
attribute numbers.  The attributes follow in that order, each padded to a multiple of 8 bytes; the
lengths of those with a registered length of 0 stand in the header.
"""

from construct import Array, Int16ub, Int16un, Int32un, Int64un, Struct

from pybootcfg.formats._fields import TimePair

SA_MAGIC = 0x2F505A

SA_REGISTRY = b"REGISTRY"
SA_LAYOUTS = b"LAYOUTS"

ATTR_NUM = (0, 16)  # of a registry entry: first bit, bits
ATTR_LENGTH = (24, 16)  # bytes; 0: of variable length

SA_HDR_LAYOUT_NUM = (0, 10)  # of sa_layout_info
SA_HDR_SIZE = (10, 6)  # in units of 8 bytes

sa_hdr_phys = Struct(
    "sa_magic" / Int32un,
    "sa_layout_info" / Int16un,
)
"""Then one 16-bit length for each attribute of variable length."""

sa_length = Int16un * "bytes"
layout_attribute = Int16ub  # an element of a layout, as ZAP stores it

attribute_u64 = Int64un
attribute_time = TimePair(Array(2, Int64un))

ZPL_MTIME = b"ZPL_MTIME"
ZPL_MODE = b"ZPL_MODE"
ZPL_SIZE = b"ZPL_SIZE"
ZPL_PARENT = b"ZPL_PARENT"
ZPL_SYMLINK = b"ZPL_SYMLINK"
ZPL_DACL_ACES = b"ZPL_DACL_ACES"
ZPL_DXATTR = b"ZPL_DXATTR"  # extended attributes: a packed list
