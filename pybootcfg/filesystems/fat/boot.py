"""The boot sector of FAT: the BIOS parameter block, what follows from it, and its backup."""

from __future__ import annotations

from pybootcfg import schema
from pybootcfg.errors import ImageError
from pybootcfg.source import Source
from pybootcfg.values import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from typing import Any

_fat = schema.load("fat")

_TYPES = (b"FAT12   ", b"FAT16   ", b"FAT32   ", b"FAT     ")


class Geometry(NamedTuple):
    """Where things are; offsets and sizes in bytes, `clusters` the number of them."""

    boot: Any  #: the boot sector
    bits: int  #: 12, 16 or 32
    sector_size: int
    cluster_size: int
    fat_offset: int  #: of the first FAT
    fat_size: int  #: of one FAT
    root_offset: int  #: of the root directory of FAT12 and FAT16
    root_size: int
    heap_offset: int  #: of cluster 2
    clusters: int
    total_size: int

    @classmethod
    def of(cls, boot: Any, source: Source, at: int) -> Geometry:
        """Return what the BIOS parameter block at byte `at` says; raise ImageError when it makes no sense."""
        fault = _fault(boot)
        sector = boot.bpb_byts_per_sec
        sectors_per_fat = boot.bpb_fat_sz16
        if not fault and not sectors_per_fat:
            boot = _fat.boot_sector_fat32.read(source, at)
            sectors_per_fat = boot.bpb_fat_sz32
        fat_sectors = boot.bpb_num_fats * sectors_per_fat
        total = boot.bpb_tot_sec16 or boot.bpb_tot_sec32
        # Linux counts a root directory with FAT32 too, should there be room for one.
        root_sectors = -(-boot.bpb_root_ent_cnt * _fat.directory_entry.size // sector) if not fault else 0
        heap = boot.bpb_rsvd_sec_cnt + fat_sectors + root_sectors
        if not fault and not sectors_per_fat:
            fault = "its FAT has no sectors"
        if not fault and heap >= total:
            fault = f"it has {total} sectors, of which {heap} come before the data"
        if fault:
            raise ImageError(
                f"not a FAT boot sector: {fault}", offset=at, structure="boot_sector", source=source.name
            )
        clusters = (total - heap) // boot.bpb_sec_per_clus
        bits = 32 if not boot.bpb_fat_sz16 else 12 if clusters < _fat.FAT12_CLUSTERS else 16
        return cls(
            boot=boot,
            bits=bits,
            sector_size=sector,
            cluster_size=sector * boot.bpb_sec_per_clus,
            fat_offset=sector * boot.bpb_rsvd_sec_cnt,
            fat_size=sector * sectors_per_fat,
            root_offset=sector * (heap - root_sectors),
            root_size=boot.bpb_root_ent_cnt * _fat.directory_entry.size,
            heap_offset=sector * heap,
            clusters=clusters,
            total_size=sector * total,
        )


def _fault(boot: Any) -> str:
    """Return what is wrong with a BIOS parameter block by the rules of Linux (fat_read_bpb), or nothing."""
    cluster = boot.bpb_sec_per_clus
    media_known = boot.bpb_media in _fat.MEDIA
    if boot.bpb_byts_per_sec not in _fat.SECTOR_SIZES:
        return f"sectors of {boot.bpb_byts_per_sec} bytes"
    if cluster == 0 or cluster & (cluster - 1):
        return f"clusters of {cluster} sectors"
    if not boot.bpb_rsvd_sec_cnt:
        return "no reserved sectors"
    if not boot.bpb_num_fats:
        return "no FAT"
    if boot.bpb_fat_sz16 and not boot.bpb_root_ent_cnt:
        return "no room for a root directory"
    if not media_known and not _type_named(boot):
        return f"media byte {boot.bpb_media:#x}"
    return ""


def _type_named(boot: Any) -> bool:
    return boot.bs_fil_sys_type in _TYPES or boot.boot_code[20:28] in _TYPES


def read_geometry(source: Source) -> tuple[Geometry, int]:
    """Return the geometry of the volume and where its boot sector was found.

    That is the backup of FAT32 where the primary is damaged.  A primary that is another boot sector means
    that something else took the volume's place, and is not overruled.
    """
    try:
        return Geometry.of(_fat.boot_sector.read(source, 0), source, 0), 0
    except ImageError:
        primary = source.read(0, _fat.boot_sector.size, "boot_sector")
        for sector_size in _fat.SECTOR_SIZES:
            offset = _fat.BACKUP_BOOT_SECTOR * sector_size
            if offset + len(primary) <= source.size and _same_volume(
                primary, source.read(offset, len(primary), "boot_sector")
            ):
                backup = _backup(source, offset)
                if backup is not None and backup.sector_size == sector_size:
                    return backup, offset
        raise


def _same_volume(primary: bytes, backup: bytes) -> bool:
    """Whether `primary` can have been `backup` once: it is much like it still, or no boot sector any more."""
    equal = sum(1 for one, other in zip(primary, backup, strict=True) if one == other)
    signature = _fat.boot_sector.decode(primary).signature
    return signature != _fat.BOOT_SIGNATURE or 2 * equal > len(primary)


def _backup(source: Source, offset: int) -> Geometry | None:
    try:
        geometry = Geometry.of(_fat.boot_sector.read(source, offset), source, offset)
    except ImageError:
        return None
    return geometry if geometry.bits == 32 and geometry.boot.signature == _fat.BOOT_SIGNATURE else None
