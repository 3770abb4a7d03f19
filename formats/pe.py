"""PE: the executables of UEFI, among them unified kernel images, whose sections are kernel and ramdisk.

- Microsoft, "PE Format": https://learn.microsoft.com/en-us/windows/win32/debug/pe-format
- UAPI Group, "Unified Kernel Image":
  https://uapi-group.org/specifications/specs/unified_kernel_image/

Everything is little-endian.  The section table follows the optional header.
"""

from construct import Bytes, Const, Enum, FlagsEnum, Int16ul, Int32ul, Padding, Struct

from pybootcfg.formats._fields import UnixTime

SIGNATURE = b"PE\0\0"
MSDOS_MAGIC = b"MZ"

# file_header.machine
MACHINES = {
    0x014C: "ia32",
    0x01C2: "arm",  # Thumb
    0x01C4: "arm",  # Thumb-2
    0x5032: "riscv32",
    0x5064: "riscv64",
    0x6232: "loongarch32",
    0x6264: "loongarch64",
    0x8664: "x64",
    0xAA64: "aa64",
}

# Sections of a unified kernel image, section "Specification"
PROFILE = b".profile"  # begins a profile: the sections up to the next one, in place of those before the first
LINUX = b".linux"
OSREL = b".osrel"
CMDLINE = b".cmdline"
INITRD = b".initrd"
UCODE = b".ucode"  # an initial ramdisk that comes before .initrd
UNAME = b".uname"
DTB = b".dtb"

msdos_header = Struct(
    "e_magic" / Const(MSDOS_MAGIC),
    Padding(58),
    "e_lfanew" / Int32ul * "bytes",  # offset of the signature
)

#: the signature and the COFF file header
file_header = Struct(
    "signature" / Const(SIGNATURE),
    "machine"
    / Enum(Int16ul, ia32=0x014C, arm=0x01C2, arm_thumb=0x01C4, riscv64=0x5064, x64=0x8664, aa64=0xAA64),
    "number_of_sections" / Int16ul * "sections",
    "time_date_stamp" / UnixTime(Int32ul),
    "pointer_to_symbol_table" / Int32ul * "bytes",
    "number_of_symbols" / Int32ul * "symbols",
    "size_of_optional_header" / Int16ul * "bytes",
    "characteristics" / FlagsEnum(Int16ul, executable_image=0x0002, large_address_aware=0x0020, dll=0x2000),
)

section_header = Struct(
    "name" / Bytes(8),
    "virtual_size" / Int32ul * "bytes",  # in memory: the contents without the padding of the file
    "virtual_address" / Int32ul * "bytes",
    "size_of_raw_data" / Int32ul * "bytes",  # in the file; what is missing to virtual_size is zero
    "pointer_to_raw_data" / Int32ul * "bytes",
    "pointer_to_relocations" / Int32ul * "bytes",
    "pointer_to_linenumbers" / Int32ul * "bytes",
    "number_of_relocations" / Int16ul * "relocations",
    "number_of_linenumbers" / Int16ul * "line numbers",
    "characteristics"
    / FlagsEnum(Int32ul, code=0x20, initialized_data=0x40, execute=0x20000000, read=0x40000000),
)
