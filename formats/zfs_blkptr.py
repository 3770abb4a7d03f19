"""ZFS block pointers, gang headers, and the numbers of checksum and compression functions.

Specifications: "ZFS On-Disk Specification" chapter 2; OpenZFS <sys/spa.h> (blkptr_t, its bit fields and
embedded data), <sys/zio.h> (zio_gbh), <sys/zio_compress.h>, <sys/zstd/zstd.h>.

A bit field is written as (first bit, number of bits) of a 64-bit word.
"""

from construct import (
    Array,
    Enum,
    Int8ub,
    Int16ub,
    Int16ul,
    Int24ub,
    Int24ul,
    Int32ub,
    Int64ub,
    Int64ul,
    Int64un,
    Struct,
)

SPA_MINBLOCKSHIFT = 9
SPA_MINBLOCKSIZE = 512
SPA_MAXBLOCKSIZE = 16777216
SPA_BLKPTRSHIFT = 7  # a block pointer is 128 bytes
SPA_DVAS_PER_BP = 3

# --- data virtual address --------------------------------------------------------------------------

DVA_ASIZE = (0, 24)  # of word 0, in units of 512 bytes
DVA_VDEV = (32, 24)
DVA_OFFSET = (0, 63)  # of word 1, in units of 512 bytes from the end of the front labels
DVA_GANG = (63, 1)

# --- block pointer ---------------------------------------------------------------------------------

BLK_LSIZE = (0, 16)  # of blk_prop, in units of 512 bytes, less one
BLK_PSIZE = (16, 16)
BLK_COMPRESS = (32, 7)
BLK_EMBEDDED = (39, 1)
BLK_CHECKSUM = (40, 8)
BLK_TYPE = (48, 8)
BLK_LEVEL = (56, 5)
BLK_CRYPT = (61, 1)
BLK_BYTEORDER = (63, 1)  # 1: little-endian
BPE_LSIZE = (0, 25)  # the same of an embedded block, in bytes, less one
BPE_PSIZE = (25, 7)
BPE_ETYPE = (40, 8)
BLK_PHYSICAL_BIRTH = (0, 63)  # of blk_birth_word[0]; bit 63 marks a physical rewrite

BP_EMBEDDED_TYPE_DATA = 0
BP_EMBEDDED_TYPE_REDACTED = 2
BPE_PAYLOAD_WORDS = (0, 1, 2, 3, 4, 5, 7, 8, 9, 11, 12, 13, 14, 15)  # all but blk_prop and the birth

blkptr = Struct(
    "blk_dva" / Array(6, Int64un),  # SPA_DVAS_PER_BP times two words
    "blk_prop" / Int64un,
    "blk_pad" / Array(2, Int64un),
    "blk_birth_word" / Array(2, Int64un),  # physical (0: same as logical), logical
    "blk_fill" / Int64un,
    "blk_cksum" / Array(4, Int64un),
)

embedded_blkptr = Array(16, Int64un)
"""The words of a block pointer that holds its block."""

# --- block pointer, byte by byte -------------------------------------------------------------------
# The same for people to look at: the bit fields that are whole bytes, in either byte order.  Of a
# pointer that holds its block the fields beside compress and type are part of it.

compress_function = Enum(
    Int8ub,
    ON=1,
    OFF=2,
    LZJB=3,
    EMPTY=4,
    GZIP_1=5,
    GZIP_2=6,
    GZIP_3=7,
    GZIP_4=8,
    GZIP_5=9,
    GZIP_6=10,
    GZIP_7=11,
    GZIP_8=12,
    GZIP_9=13,
    ZLE=14,
    LZ4=15,
    ZSTD=16,
    EMBEDDED_OFF=130,  # 128 marks a pointer that holds its block
    EMBEDDED_LZJB=131,
    EMBEDDED_GZIP_6=138,
    EMBEDDED_ZLE=142,
    EMBEDDED_LZ4=143,
    EMBEDDED_ZSTD=144,
)

checksum_function = Enum(
    Int8ub,
    OFF=2,
    LABEL=3,
    GANG_HEADER=4,
    ZILOG=5,
    FLETCHER_2=6,
    FLETCHER_4=7,
    SHA256=8,
    ZILOG2=9,
    NOPARITY=10,
    SHA512=11,
    SKEIN=12,
    EDONR=13,
    BLAKE3=14,
)

dva_shown_little = Struct(
    "asize" / Int24ul * "sectors of 512 bytes",
    "grid" / Int8ub,
    "vdev" / Int24ul,
    "pad" / Int8ub,
    "offset" / Int64ul * "sectors of 512 bytes",  # the top bit marks a gang block
)
dva_shown_big = Struct(
    "pad" / Int8ub,
    "vdev" / Int24ub,
    "grid" / Int8ub,
    "asize" / Int24ub * "sectors of 512 bytes",
    "offset" / Int64ub * "sectors of 512 bytes",
)
blkptr_shown_little = Struct(
    "dva" / Array(3, dva_shown_little),
    "lsize" / Int16ul * "sectors of 512 bytes",  # less one
    "psize" / Int16ul * "sectors of 512 bytes",
    "compress" / compress_function,
    "checksum" / checksum_function,
    "type" / Int8ub,
    "level_and_flags" / Int8ub,  # 0x80: little-endian, 0x40: dedup, 0x20: encrypted, 0x1f: level
    "pad" / Array(2, Int64ul),
    "physical_birth" / Int64ul * "txg",
    "logical_birth" / Int64ul * "txg",
    "fill" / Int64ul * "blocks",
    "cksum" / Array(4, Int64ul),
)
blkptr_shown_big = Struct(
    "dva" / Array(3, dva_shown_big),
    "level_and_flags" / Int8ub,
    "type" / Int8ub,
    "checksum" / checksum_function,
    "compress" / compress_function,
    "psize" / Int16ub * "sectors of 512 bytes",
    "lsize" / Int16ub * "sectors of 512 bytes",
    "pad" / Array(2, Int64ub),
    "physical_birth" / Int64ub * "txg",
    "logical_birth" / Int64ub * "txg",
    "fill" / Int64ub * "blocks",
    "cksum" / Array(4, Int64ub),
)

# --- gang header -----------------------------------------------------------------------------------

SPA_OLD_GANGBLOCKSIZE = 512  # with dynamic_gang_header as large as a sector
ZIO_ECK_SIZE = 40  # at the header's end; the block pointers fill the space before it

# --- checksum functions (zio_checksum) -------------------------------------------------------------

ZIO_CHECKSUM_OFF = 2
ZIO_CHECKSUM_LABEL = 3
ZIO_CHECKSUM_GANG_HEADER = 4
ZIO_CHECKSUM_ZILOG = 5
ZIO_CHECKSUM_FLETCHER_2 = 6
ZIO_CHECKSUM_FLETCHER_4 = 7
ZIO_CHECKSUM_SHA256 = 8
ZIO_CHECKSUM_ZILOG2 = 9
ZIO_CHECKSUM_NOPARITY = 10
ZIO_CHECKSUM_SHA512 = 11  # SHA-512/256
ZIO_CHECKSUM_SKEIN = 12
ZIO_CHECKSUM_EDONR = 13
ZIO_CHECKSUM_BLAKE3 = 14

cksum = Array(4, Int64un)
word = Int64un  # of data that a checksum is made over

# --- compression functions (zio_compress) ----------------------------------------------------------

ZIO_COMPRESS_ON = 1
ZIO_COMPRESS_OFF = 2
ZIO_COMPRESS_LZJB = 3
ZIO_COMPRESS_EMPTY = 4
ZIO_COMPRESS_GZIP_1 = 5
ZIO_COMPRESS_GZIP_9 = 13
ZIO_COMPRESS_ZLE = 14
ZIO_COMPRESS_LZ4 = 15
ZIO_COMPRESS_ZSTD = 16

ZLE_LEVEL = 64  # lengths up to this are literal, longer ones zeros

lz4_header = Struct("compressed_size" / Int32ub * "bytes")

zfs_zstdhdr = Struct(
    "c_len" / Int32ub * "bytes",
    "raw_version_level" / Int32ub,
)
"""Before a zstd frame that lacks its magic number."""

ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
