"""ZFS attribute processor: name-value stores, which directories are too.

Specifications: "ZFS On-Disk Specification" chapter 5; OpenZFS <sys/zap_impl.h>, <sys/zap_leaf.h>,
<sys/u8_textprep.h>.

A microzap is one block of entries with short names and 64-bit values.  A fat ZAP is a header block, a
pointer table that the first bits of a name's hash index, and leaf blocks with chunks of 24 bytes.
"""

from construct import (
    Array,
    Bytes,
    Int8ub,
    Int8un,
    Int16ub,
    Int16un,
    Int32ub,
    Int32un,
    Int64ub,
    Int64un,
    Padding,
    Struct,
)

from pybootcfg.formats._fields import PowerOfTwo

ZBT_LEAF = (1 << 63) + 0
ZBT_HEADER = (1 << 63) + 1
ZBT_MICRO = (1 << 63) + 3

block_type = Int64un

# Integers of a value, in the order in which an array of chunks has them whatever the host.
value_8 = Int8ub
value_16 = Int16ub
value_32 = Int32ub
value_64 = Int64ub

# --- microzap --------------------------------------------------------------------------------------

MZAP_NAME_OFFSET = 14  # in mzap_ent_phys

mzap_phys = Struct(
    "mz_block_type" / Int64un,
    "mz_salt" / Int64un,
    "mz_normflags" / Int64un,
    "mz_pad" / Array(5, Int64un),
)

mzap_ent_phys = Struct(
    "mze_value" / Int64un,
    "mze_cd" / Int32un,
    "mze_pad" / Int16un,
    "mze_name" / Bytes(50),
)

# --- fat ZAP: header -------------------------------------------------------------------------------

ZAP_MAGIC = 0x2F52AB2AB

ZAP_FLAG_HASH64 = 1
ZAP_FLAG_UINT64_KEY = 2
ZAP_FLAG_PRE_HASHED_KEY = 4
ZAP_HASHBITS = 28
ZAP_HASHBITS_64 = 48  # with ZAP_FLAG_HASH64
ZFS_CRC64_POLY = 0xC96C5795D7870F42

U8_TEXTPREP_TOUPPER = 0x02
U8_TEXTPREP_FORM = 0x70  # mask of the following
U8_TEXTPREP_NFD = 0x10
U8_TEXTPREP_NFC = 0x50
U8_TEXTPREP_NFKD = 0x20
U8_TEXTPREP_NFKC = 0x60

zap_table_phys = Struct(
    "zt_blk" / Int64un * "blocks",
    "zt_numblks" / Int64un * "blocks",  # 0: the table is the second half of the header block
    "zt_shift" / PowerOfTwo(Int64un) * "pointers",
    "zt_nextblk" / Int64un * "blocks",
    "zt_blks_copied" / Int64un * "blocks",
)

zap_phys = Struct(
    "zap_block_type" / Int64un,
    "zap_magic" / Int64un,
    "zap_ptrtbl" / zap_table_phys,
    "zap_freeblk" / Int64un * "blocks",
    "zap_num_leafs" / Int64un * "leaves",
    "zap_num_entries" / Int64un * "entries",
    "zap_salt" / Int64un,
    "zap_normflags" / Int64un,
    "zap_flags" / Int64un,
)

zap_pointer = Int64un * "blocks"  # the number of a leaf block

# --- fat ZAP: leaf ---------------------------------------------------------------------------------

ZAP_LEAF_MAGIC = 0x2AB1EAF
ZAP_LEAF_CHUNKSIZE = 24
ZAP_LEAF_ARRAY_BYTES = 21
ZAP_LEAF_HASH_SHIFT = 5  # a leaf of 1 << n bytes has 1 << (n - 5) hash chains
CHAIN_END = 0xFFFF

ZAP_CHUNK_ARRAY = 251
ZAP_CHUNK_ENTRY = 252
ZAP_CHUNK_FREE = 253

zap_leaf_header = Struct(
    "lh_block_type" / Int64un,
    "lh_pad1" / Int64un,
    "lh_prefix" / Int64un,
    "lh_magic" / Int32un,
    "lh_nfree" / Int16un * "chunks",
    "lh_nentries" / Int16un * "entries",
    "lh_prefix_len" / Int16un * "bits",
    "lh_freelist" / Int16un * "chunks",
    "lh_flags" / Int8un,
    Padding(11),
)

zap_leaf_hash = Int16un  # the number of the chain's first chunk

zap_leaf_entry = Struct(
    "le_type" / Int8un,
    "le_value_intlen" / Int8un * "bytes",
    "le_next" / Int16un * "chunks",
    "le_name_chunk" / Int16un * "chunks",
    "le_name_numints" / Int16un * "integers",
    "le_value_chunk" / Int16un * "chunks",
    "le_value_numints" / Int16un * "integers",
    "le_cd" / Int32un,
    "le_hash" / Int64un,
)

zap_leaf_array = Struct(
    "la_type" / Int8un,
    "la_array" / Bytes(21),  # numbers in here are big-endian whatever the host
    "la_next" / Int16un * "chunks",
)
