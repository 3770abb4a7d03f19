"""Headers of Linux kernels, by which boot loaders and people tell what they are.

- x86, little-endian: "The Linux/x86 Boot Protocol", https://www.kernel.org/doc/html/latest/arch/x86/boot.html
- arm64, little-endian: "Booting AArch64 Linux", section 4,
  https://www.kernel.org/doc/html/latest/arch/arm64/booting.html
- RISC-V, little-endian: "Boot image header in RISC-V Linux",
  https://www.kernel.org/doc/html/latest/arch/riscv/boot-image-header.html
- EFI zboot: drivers/firmware/efi/libstub/zboot-header.S of Linux
- ELF (what Xen boots as it is): "Tool Interface Standard (TIS) Executable and Linking Format", version 1.2,
  and the numbers of <elf.h>

The kernels for UEFI are PE files besides; see pe.py.
"""

from construct import (
    Bytes,
    Const,
    Enum,
    FlagsEnum,
    Int8ul,
    Int16ul,
    Int16un,
    Int32ul,
    Int32un,
    Int64ul,
    Struct,
)

from pybootcfg.formats._fields import PowerOfTwo, Version

X86_HEADER_OFFSET = 0x1F1
X86_MAGIC_OFFSET = 0x202
X86_MAGIC = b"HdrS"
X86_VERSION_BASE = 0x200  # kernel_version counts from here
SECTOR = 512  # unit of setup_sects
DEFAULT_SETUP_SECTS = 4  # what 0 means
ARM64_MAGIC_OFFSET = 56
ARM64_MAGIC = b"ARM\x64"
RISCV_MAGIC_OFFSET = 56
RISCV_MAGIC = b"RSC\x05"
ZBOOT_MAGIC_OFFSET = 4
ZBOOT_MAGIC = b"zimg"
ELF_MAGIC = b"\x7fELF"
ELF_CLASS_OFFSET = 4  # the byte that tells 32 from 64 bits, and behind it the byte order
ELF_64 = 2
ELF_BIG = 2

#: how compressed data begin; the first eight as lib/decompress.c of Linux knows them
COMPRESSIONS = (
    (b"\x1f\x8b", "gzip"),
    (b"\x1f\x9e", "gzip"),
    (b"BZh", "bzip2"),
    (b"\x5d\x00\x00", "lzma"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x89LZO\x00\x0d\x0a\x1a\x0a", "lzo"),
    (b"\x02\x21\x4c\x18", "lz4"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\x7fELF", "none (ELF)"),
)
#: how initial ramdisks begin that are not compressed: cpio archives, "newc" and the one with checksums
CPIO_MAGICS = (b"070701", b"070702")

#: setup_header; a protocol older than a field's own has other things there
x86_setup_header = Struct(
    "setup_sects" / Int8ul * "sectors of 512 bytes",  # of real-mode code behind the first; 0 means 4
    "root_flags" / Int16ul,
    "syssize" / Int32ul * "paragraphs of 16 bytes",  # of protected-mode code
    "ram_size" / Int16ul,
    "vid_mode" / Int16ul,
    "root_dev" / Int16ul,
    "boot_flag" / Const(0xAA55, Int16ul),
    "jump" / Bytes(2),
    "header" / Const(X86_MAGIC),
    "version" / Version(Int16ul),  # of the protocol: 0x020f is 2.15
    "realmode_swtch" / Int32ul,
    "start_sys_seg" / Int16ul * "paragraphs of 16 bytes",
    "kernel_version" / Int16ul * "bytes",  # from 0x200 to the version string; 0: there is none
    "type_of_loader" / Int8ul,
    "loadflags"
    / FlagsEnum(Int8ul, loaded_high=1, kaslr_flag=2, quiet_flag=0x20, keep_segments=0x40, can_use_heap=0x80),
    "setup_move_size" / Int16ul * "bytes",
    "code32_start" / Int32ul,
    "ramdisk_image" / Int32ul,
    "ramdisk_size" / Int32ul * "bytes",
    "bootsect_kludge" / Int32ul,
    "heap_end_ptr" / Int16ul * "bytes",
    "ext_loader_ver" / Int8ul,
    "ext_loader_type" / Int8ul,
    "cmd_line_ptr" / Int32ul,
    "initrd_addr_max" / Int32ul,
    "kernel_alignment" / Int32ul * "bytes",
    "relocatable_kernel" / Int8ul,
    "min_alignment" / PowerOfTwo(Int8ul) * "bytes",
    "xloadflags"
    / FlagsEnum(
        Int16ul,
        kernel_64=1,
        can_be_loaded_above_4g=2,
        efi_handover_32=4,
        efi_handover_64=8,
        efi_kexec=16,
        level5=32,
        level5_enabled=64,
    ),
    "cmdline_size" / Int32ul * "bytes",  # without the final zero
    "hardware_subarch" / Enum(Int32ul, pc=0, lguest=1, xen=2, moorestown=3, ce4100=4),
    "hardware_subarch_data" / Int64ul,
    "payload_offset" / Int32ul * "bytes",  # from the start of the protected-mode code
    "payload_length" / Int32ul * "bytes",
    "setup_data" / Int64ul,
    "pref_address" / Int64ul,
    "init_size" / Int32ul * "bytes",
    "handover_offset" / Int32ul * "bytes",
    "kernel_info_offset" / Int32ul * "bytes",
)

arm64_header = Struct(
    "code0" / Int32ul,
    "code1" / Int32ul,
    "text_offset" / Int64ul * "bytes",
    "image_size" / Int64ul * "bytes",
    "flags" / Int64ul,  # bit 0: big-endian; bits 1-2: pages of 4, 16, 64 KiB; bit 3: loaded anywhere
    "res2" / Int64ul,
    "res3" / Int64ul,
    "res4" / Int64ul,
    "magic" / Const(ARM64_MAGIC),
    "res5" / Int32ul * "bytes",
)

riscv_header = Struct(
    "code0" / Int32ul,
    "code1" / Int32ul,
    "text_offset" / Int64ul * "bytes",
    "image_size" / Int64ul * "bytes",
    "flags" / FlagsEnum(Int64ul, big_endian=1),
    "version" / Int32ul,
    "res1" / Int32ul,
    "res2" / Int64ul,
    "magic" / Bytes(8),  # "RISCV", deprecated
    "magic2" / Const(RISCV_MAGIC),
    "res3" / Int32ul,  # offset of the PE header
)

zboot_header = Struct(
    "mz_magic" / Const(b"MZ\0\0"),
    "image_type" / Const(ZBOOT_MAGIC),
    "payload_offset" / Int32ul * "bytes",
    "payload_size" / Int32ul * "bytes",
    "reserved" / Int64ul,
    "compression_type" / Bytes(32),
    "linux_magic" / Bytes(4),
    "pe_header_offset" / Int32ul * "bytes",
)

_MACHINES = {
    "i386": 3,
    "ppc": 20,
    "ppc64": 21,
    "s390": 22,
    "arm": 40,
    "x86_64": 62,
    "aarch64": 183,
    "riscv": 243,
}

#: the part that is alike in both classes
elf_header = Struct(
    "ei_magic" / Const(ELF_MAGIC),
    "ei_class" / Enum(Int8ul, elf32=1, elf64=ELF_64),
    "ei_data" / Enum(Int8ul, little_endian=1, big_endian=ELF_BIG),
    "ei_version" / Int8ul,
    "ei_osabi" / Int8ul,
    "ei_pad" / Bytes(8),
    "e_type" / Enum(Int16un, relocatable=1, executable=2, shared=3, core=4),
    "e_machine" / Enum(Int16un, **_MACHINES),
    "e_version" / Int32un,
)
