"""What a kernel or an initial ramdisk says of itself: its header, its version, its compression."""

from __future__ import annotations

from pybootcfg import limits, schema
from pybootcfg.errors import BootcfgError, ImageError
from pybootcfg.filesystems import open_executable
from pybootcfg.filesystems.base import Options
from pybootcfg.source import Source
from pybootcfg.tracing import Field

layout = schema.load("kernel")


def contents(source: Source) -> list[Field]:
    """Return the headers that the contents of a file begin with; offsets count in the file."""
    found: list[Field] = []
    if _has(source, layout.X86_MAGIC_OFFSET, layout.X86_MAGIC):
        found += _x86(source)
    elif _has(source, layout.ARM64_MAGIC_OFFSET, layout.ARM64_MAGIC):
        found.append(_header("arm64_header", source, 0, "Image of arm64"))
    elif _has(source, layout.RISCV_MAGIC_OFFSET, layout.RISCV_MAGIC):
        found.append(_header("riscv_header", source, 0, "Image of RISC-V"))
    elif _has(source, layout.ZBOOT_MAGIC_OFFSET, layout.ZBOOT_MAGIC):
        found.append(_header("zboot_header", source, 0, "EFI zboot image"))
    elif _has(source, 0, layout.ELF_MAGIC):
        big = source.size > layout.elf_header.size and source.read(layout.ELF_CLASS_OFFSET + 1, 1)[0]
        decoder = layout.elf_header.big if big == layout.ELF_BIG else layout.elf_header.little
        found.append(decoder.trace(source, 0))
    else:
        name = compression(source, 0)
        if name:
            size = next(len(magic) for magic, of in layout.COMPRESSIONS if of == name)
            found.append(Field("compression", name, 0, size, source.read(0, size), symbol=name))
            found[-1].value = found[-1].raw
        elif any(_has(source, 0, magic) for magic in layout.CPIO_MAGICS):
            magic = source.read(0, 6)
            found.append(Field("archive", "cpio", 0, 6, magic, value=magic, symbol="cpio, not compressed"))
    return found + _executable(source)


def compression(source: Source, offset: int) -> str:
    """Return how data at an offset are compressed, by how they begin; empty when nothing tells."""
    return next((name for magic, name in layout.COMPRESSIONS if _has(source, offset, magic)), "")


def _has(source: Source, offset: int, magic: bytes) -> bool:
    return offset + len(magic) <= source.size and source.read(offset, len(magic)) == magic


def _header(name: str, source: Source, offset: int, symbol: str) -> Field:
    decoder: schema.Decoder = getattr(layout, name)
    field = decoder.trace(source, offset)
    field.symbol = symbol
    return field


def _x86(source: Source) -> list[Field]:
    found = [_header("x86_setup_header", source, layout.X86_HEADER_OFFSET, "bzImage of x86")]
    try:
        header = layout.x86_setup_header.read(source, layout.X86_HEADER_OFFSET)
    except ImageError:
        return found  # the field above says why
    if header.kernel_version:
        found.append(_version(source, header.kernel_version + layout.X86_VERSION_BASE))
    sectors = header.setup_sects or layout.DEFAULT_SETUP_SECTS
    offset = (sectors + 1) * layout.SECTOR + header.payload_offset
    name = compression(source, offset) if header.payload_length else ""
    if name:
        size = next(len(magic) for magic, of in layout.COMPRESSIONS if of == name)
        raw = source.read(offset, size)
        found.append(Field("payload", "compression", offset, size, raw, value=raw, symbol=name))
    return found


def _version(source: Source, offset: int) -> Field:
    """Return the version string, which a zero ends."""
    field = Field("version", "string", offset)
    if offset >= source.size:
        field.error = f"it would begin at byte {offset:#x}, but the file has {source.size} bytes"
        return field
    data = source.read(offset, min(limits.KERNEL_VERSION.value, source.size - offset))
    field.raw = data[: data.find(b"\0") + 1] or data
    field.size = len(field.raw)
    field.value = field.raw.rstrip(b"\0")
    field.symbol = field.value.decode("utf-8", "surrogateescape")
    return field


def _executable(source: Source) -> list[Field]:
    """Return the headers of a PE file; none for other files."""
    try:
        executable = open_executable(source, Options())
    except BootcfgError as error:
        # the real mode of an x86 kernel may begin with the same bytes
        return [Field("pe", "pe", 0, error=str(error))]
    if executable is None:
        return []
    root = Field("pe", "pe", 0)
    for structure in executable.structures.listed():
        root.children.append(structure.decoder.trace(source, structure.offset))
        root.children[-1].name = structure.name
    return [root]
