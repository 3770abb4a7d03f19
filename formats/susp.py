"""The system use area of ISO 9660 directory records: SUSP, Rock Ridge and zisofs entries.

SUSP: System Use Sharing Protocol, IEEE P1281, version 1.12 (1994).
RRIP: Rock Ridge Interchange Protocol, IEEE P1282, version 1.12 (1994), and its forerunner 1.09 (1991):
    https://web.archive.org/web/2017/http://www.ymi.com/ymi/sites/default/files/pdf/Rockridge.pdf
zisofs and zisofs2: doc/zisofs_format.txt and doc/zisofs2_format.txt of libisofs,
    https://dev.lovelyhq.com/libburnia/libisofs

Byte order: both, little-endian first, as in ISO 9660; zisofs headers are little-endian.
`length` of every entry counts its four header bytes.
"""

from __future__ import annotations

from construct import (
    Bytes,
    Const,
    FlagsEnum,
    Int8ub,
    Int32ub,
    Int32ul,
    Int64ul,
    Padding,
    Struct,
)

from pybootcfg.formats._fields import Mode, PowerOfTwo
from pybootcfg.formats.iso9660 import both_endian_32

both_endian_mode = Struct("little" / Mode(Int32ul), "big" / Mode(Int32ub))

#: SUSP 4.1: what every entry begins with, after its signature
_length = (
    "length" / Int8ub * "bytes",  # of the whole entry, at least 4
    "version" / Int8ub,
)

entry = Struct(
    "signature" / Bytes(2),
    *_length,
)

# --- SUSP 5 ---------------------------------------------------------------------------------------

XA_LENGTH = 14  #: bytes of CD-ROM XA attributes that may come before the SP entry (SUSP 5.3)

sp = Struct(
    "signature" / Const(b"SP"),
    *_length,
    "check_bytes" / Const(b"\xbe\xef"),
    "len_skp" / Int8ub * "bytes",  # to skip at the start of every other record's system use area
)

ce = Struct(
    "signature" / Const(b"CE"),
    *_length,
    "block_location_of_continuation_area" / both_endian_32 * "logical blocks",
    "offset_to_start_of_continuation_area" / both_endian_32 * "bytes",
    "length_of_the_continuation_area" / both_endian_32 * "bytes",
)

#: the identifier, descriptor and source texts follow
er = Struct(
    "signature" / Const(b"ER"),
    *_length,
    "len_id" / Int8ub * "bytes",
    "len_des" / Int8ub * "bytes",
    "len_src" / Int8ub * "bytes",
    "ext_ver" / Int8ub,
)

# --- RRIP 4.1 -------------------------------------------------------------------------------------

ROCK_RIDGE_VERSIONS = {b"RRIP_1991A": "1.09", b"IEEE_P1282": "1.12", b"IEEE_1282": "1.12"}

PX_WITH_SERIAL = 44  #: length of a PX entry of RRIP 1.12; 36 before

_px = (
    "signature" / Const(b"PX"),
    *_length,
    "file_mode" / both_endian_mode,
    "file_links" / both_endian_32 * "links",
    "file_user_id" / both_endian_32,
    "file_group_id" / both_endian_32,
)
px = Struct(*_px)

px_with_serial = Struct(
    *_px,
    "file_serial_number" / both_endian_32,
)

pn = Struct(
    "signature" / Const(b"PN"),
    *_length,
    "dev_t_high" / both_endian_32,
    "dev_t_low" / both_endian_32,
)

SL_CONTINUE = 0x01  # the link goes on in the next SL entry

#: component records follow
sl = Struct(
    "signature" / Const(b"SL"),
    *_length,
    "flags" / FlagsEnum(Int8ub, continues=SL_CONTINUE),
)

COMPONENT_CONTINUE = 0x01  # the name goes on in the next component record
COMPONENT_CURRENT = 0x02
COMPONENT_PARENT = 0x04
COMPONENT_ROOT = 0x08
COMPONENT_VOLUME_ROOT = 0x10  # the mount point of this volume
COMPONENT_HOST = 0x20  # the name of this host

#: RRIP 4.1.3.1; the component's content follows
component = Struct(
    "flags"
    / FlagsEnum(
        Int8ub,
        continues=COMPONENT_CONTINUE,
        current=COMPONENT_CURRENT,
        parent=COMPONENT_PARENT,
        root=COMPONENT_ROOT,
        volume_root=COMPONENT_VOLUME_ROOT,
        host=COMPONENT_HOST,
    ),
    "length" / Int8ub * "bytes",  # of the content
)

NM_CONTINUE = 0x01  # the name goes on in the next NM entry
NM_CURRENT = 0x02
NM_PARENT = 0x04

#: the name content follows
nm = Struct(
    "signature" / Const(b"NM"),
    *_length,
    "flags" / FlagsEnum(Int8ub, continues=NM_CONTINUE, current=NM_CURRENT, parent=NM_PARENT, host=0x20),
)

#: stands where a directory was before it was moved up, to keep to eight levels
cl = Struct(
    "signature" / Const(b"CL"),
    *_length,
    "location_of_child_directory" / both_endian_32 * "logical blocks",
)

#: in the `..` record of a moved directory
pl = Struct(
    "signature" / Const(b"PL"),
    *_length,
    "location_of_parent_directory" / both_endian_32 * "logical blocks",
)

TF_CREATION = 0x01
TF_MODIFY = 0x02
TF_LONG_FORM = 0x80  # 17 digits each, not 7 bytes
TF_STAMPS = ("creation", "modify", "access", "attributes", "backup", "expiration", "effective")  # by bit

#: the time stamps follow, in the order of their bits
tf = Struct(
    "signature" / Const(b"TF"),
    *_length,
    "flags"
    / FlagsEnum(
        Int8ub,
        creation=TF_CREATION,
        modify=TF_MODIFY,
        access=0x04,
        attributes=0x08,
        backup=0x10,
        expiration=0x20,
        effective=0x40,
        long_form=TF_LONG_FORM,
    ),
)

#: RRIP 1.09 only: which entries are there
rr = Struct(
    "signature" / Const(b"RR"),
    *_length,
    "flags" / FlagsEnum(Int8ub, px=0x01, pn=0x02, sl=0x04, nm=0x08, cl=0x10, pl=0x20, re=0x40, tf=0x80),
)

# --- zisofs ---------------------------------------------------------------------------------------

ZF_1 = b"pz"
ZF_2 = b"PZ"

zf_1 = Struct(
    "signature" / Const(b"ZF"),
    *_length,
    "algorithm" / Const(ZF_1),
    "header_size_div_4" / Int8ub * "words of 4 bytes",
    "block_size_log2" / PowerOfTwo(Int8ub) * "bytes",
    "uncompressed_size" / both_endian_32 * "bytes",
)

#: the signature may also be Z2
zf_2 = Struct(
    "signature" / Bytes(2),
    *_length,
    "algorithm" / Const(ZF_2),
    "header_size_div_4" / Int8ub * "words of 4 bytes",
    "block_size_log2" / PowerOfTwo(Int8ub) * "bytes",
    "uncompressed_size" / Int64ul * "bytes",
)

ZISOFS_MAGIC = bytes.fromhex("37e45396c9dbd607")
ZISOFS2_MAGIC = bytes.fromhex("ef2255a1bc1b95a0")

ZISOFS_BLOCK_SIZE_LOG2 = (12, 17)  #: least and greatest; writers use 15 to 17
ZISOFS2_BLOCK_SIZE_LOG2 = (12, 20)  #: writers use 15 to 20

#: the start of a compressed file; block pointers follow at header_size_div_4 * 4
zisofs_header = Struct(
    "hdr_magic" / Const(ZISOFS_MAGIC),
    "uncompressed_size" / Int32ul * "bytes",
    "header_size_div_4" / Int8ub * "words of 4 bytes",
    "block_size_log2" / PowerOfTwo(Int8ub) * "bytes",
    Padding(2),
)

zisofs2_header = Struct(
    "hdr_magic" / Const(ZISOFS2_MAGIC),
    "hdr_version" / Int8ub,
    "header_size_div_4" / Int8ub * "words of 4 bytes",
    "alg_num" / Int8ub,  # 1: zlib
    "block_size_log2" / PowerOfTwo(Int8ub) * "bytes",
    "uncompressed_size" / Int64ul * "bytes",
    Padding(4),
)

#: a byte offset in the compressed file; one per block and one for the end
block_pointer_1 = Int32ul * "bytes"
block_pointer_2 = Int64ul * "bytes"
