"""Rock Ridge: what the system use area of a directory record says of its file."""

from __future__ import annotations

from pybootcfg import limits, schema
from pybootcfg.errors import BootcfgError, ImageError, LimitExceeded, UnsupportedFeature
from pybootcfg.filesystems import dates
from pybootcfg.filesystems.iso9660.zisofs import Compression
from pybootcfg.source import Source
from pybootcfg.values import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

iso = schema.load("iso9660")
susp = schema.load("susp")


class Entry(NamedTuple):
    """One system use entry: its signature, its bytes from the signature on, its offset in the source."""

    signature: bytes
    data: bytes
    offset: int


class Attributes:
    """What the entries of one record say; None or empty where there is no such entry."""

    def __init__(self) -> None:
        self.name = b""
        self.mode: int | None = None  #: st_mode: type and permission bits
        self.serial = 0
        self.device: tuple[int, int] | None = None  #: major, minor
        self.mtime: int | None = None
        self.link: list[tuple[int, bytes]] = []  #: components: flags, content
        self.child: int | None = None  #: where a directory that was moved away is, in logical blocks
        self.moved = False  #: this is the moved directory, which is shown where it was
        self.compression: Compression | None = None
        self.refusal: UnsupportedFeature | None = None  #: why the contents cannot be read
        self.skip: int | None = None  #: bytes to skip in other records; only in the root's own record
        self.extensions: list[bytes] = []  #: identifiers of ER entries
        self.disagreement = b""  #: signature of an entry whose byte orders say different numbers
        self.damage: BootcfgError | None = None  #: why the entries behind it were not read

    def number(self, pair: Any, entry: Entry) -> int:
        """Return a number that is recorded in both byte orders: the little-endian one, as Linux does."""
        if pair.little != pair.big:
            self.disagreement = entry.signature
        value: int = pair.little
        return value


class SystemUse:
    """Reads system use areas, continuation areas included."""

    def __init__(self, source: Source, block_size: int, warn: Callable[[str], None]) -> None:
        self.source = source
        self.block_size = block_size
        self.warn = warn

    def attributes(self, area: bytes, at: int) -> Attributes:
        """Return what the entries of `area`, which lies at byte `at`, say.

        Never raises for what is on the disk: it goes as far as it can, warns and remembers the damage.
        """
        attributes = Attributes()
        try:
            for entry in self.entries(area, at):
                read = _READERS.get(entry.signature)
                if read:
                    read(attributes, entry)
            limits.ISO9660_NAME.check(len(attributes.name), "NM")
        except (ImageError, LimitExceeded) as error:
            attributes.damage = error
            self.warn(f"Rock Ridge: {error}")
        if attributes.disagreement:
            self.warn(
                f"Rock Ridge: the byte orders of a {attributes.disagreement.decode()} entry at byte {at:#x}"
                " disagree; the little-endian number is used"
            )
        return attributes

    def entries(self, area: bytes, at: int) -> Iterator[Entry]:
        """Yield the entries of an area and of the areas that CE entries chain to it.

        Raises ImageError for an entry that does not fit, and for a chain that comes back.
        """
        seen = set()
        areas = limits.ISO9660_CONTINUATIONS.budget("CE")
        octets = limits.ISO9660_CONTINUATION.budget("CE")
        while True:
            following = None
            for entry in self._entries(area, at):
                if entry.signature == b"CE":
                    following = susp.ce.decode(entry.data, at=entry.offset)
                yield entry
            if following is None:
                return
            areas.spend()
            octets.spend(following.length_of_the_continuation_area.little)
            at = self._continuation(following, at)
            if at in seen:
                raise self._damage("a chain of continuation areas comes back to itself", at)
            seen.add(at)
            area = self.source.read(at, following.length_of_the_continuation_area.little, "CE")

    def _entries(self, area: bytes, at: int) -> Iterator[Entry]:
        offset = 0
        while len(area) - offset >= susp.entry.size:
            head = susp.entry.decode(area, offset, at=at)
            if not head.length and not head.signature.strip(b"\0"):
                return  # padding
            if head.length < susp.entry.size or offset + head.length > len(area):
                raise self._damage(
                    f"a system use entry of {head.length} bytes, with {len(area) - offset} bytes left",
                    at + offset,
                )
            yield Entry(head.signature, area[offset : offset + head.length], at + offset)
            if head.signature == b"ST":
                return
            offset += head.length

    def _continuation(self, ce: Any, at: int) -> int:
        """Return where a continuation area lies, in bytes."""
        block = ce.block_location_of_continuation_area.little
        offset = ce.offset_to_start_of_continuation_area.little
        length = ce.length_of_the_continuation_area.little
        start: int = block * self.block_size + offset
        if offset >= self.block_size:
            raise self._damage(f"a continuation area of {length} bytes at byte {offset} of its block", at)
        if start + length > self.source.size:
            raise self._damage("a continuation area lies behind the end of the image", at)
        if offset + length > self.block_size:  # xorriso 1.5.4 wrote such, Linux does not read them
            self.warn(f"the continuation area at byte {start:#x} goes over the end of its block")
        return start

    def _damage(self, message: str, offset: int) -> ImageError:
        return ImageError(message, offset=offset, structure="system use area", source=self.source.name)


# --- one function per entry -----------------------------------------------------------------------


def _sp(attributes: Attributes, entry: Entry) -> None:
    attributes.skip = susp.sp.decode(entry.data, at=entry.offset).len_skp


def _er(attributes: Attributes, entry: Entry) -> None:
    head = susp.er.decode(entry.data, at=entry.offset)
    start = susp.er.size
    attributes.extensions.append(entry.data[start : start + head.len_id])


def _px(attributes: Attributes, entry: Entry) -> None:
    if len(entry.data) >= susp.PX_WITH_SERIAL:
        record = susp.px_with_serial.decode(entry.data, at=entry.offset)
        attributes.serial = attributes.number(record.file_serial_number, entry)
    else:
        record = susp.px.decode(entry.data, at=entry.offset)
    attributes.mode = attributes.number(record.file_mode, entry)


def _pn(attributes: Attributes, entry: Entry) -> None:
    record = susp.pn.decode(entry.data, at=entry.offset)
    high, low = attributes.number(record.dev_t_high, entry), attributes.number(record.dev_t_low, entry)
    if not high and low > 0xFF:  # some writers put a 16-bit dev_t in the low half
        high, low = low >> 8, low & 0xFF
    attributes.device = high, low


def _sl(attributes: Attributes, entry: Entry) -> None:
    offset = susp.sl.size
    susp.sl.decode(entry.data, at=entry.offset)
    while offset < len(entry.data):
        component = susp.component.decode(entry.data, offset, at=entry.offset)
        start = offset + susp.component.size
        offset = start + component.length
        if offset > len(entry.data):
            raise ImageError(
                f"a component of {component.length} bytes goes over the end of its SL entry",
                offset=entry.offset,
                structure="SL",
            )
        attributes.link.append((component.flags, entry.data[start:offset]))


def _nm(attributes: Attributes, entry: Entry) -> None:
    flags = susp.nm.decode(entry.data, at=entry.offset).flags
    if not flags & (susp.NM_CURRENT | susp.NM_PARENT):
        attributes.name += entry.data[susp.nm.size :]


def _cl(attributes: Attributes, entry: Entry) -> None:
    record = susp.cl.decode(entry.data, at=entry.offset)
    attributes.child = attributes.number(record.location_of_child_directory, entry)


def _re(attributes: Attributes, _: Entry) -> None:
    attributes.moved = True


def _sf(attributes: Attributes, _: Entry) -> None:
    attributes.refusal = UnsupportedFeature(
        "rock-ridge-sparse-file", "sparse files of Rock Ridge (SF) are not supported; nothing writes them"
    )


def _tf(attributes: Attributes, entry: Entry) -> None:
    flags = susp.tf.decode(entry.data, at=entry.offset).flags
    if not flags & susp.TF_MODIFY:
        return
    stamp = iso.digits_date_and_time if flags & susp.TF_LONG_FORM else iso.recording_date_and_time
    offset = susp.tf.size + (stamp.size if flags & susp.TF_CREATION else 0)
    record = stamp.decode(entry.data, offset, at=entry.offset)
    attributes.mtime = digits_time(record) if flags & susp.TF_LONG_FORM else recording_time(record)


def _zf(attributes: Attributes, entry: Entry) -> None:
    algorithm = entry.data[susp.entry.size : susp.entry.size + 2]
    if algorithm == susp.ZF_1:
        version, (least, greatest) = 1, susp.ZISOFS_BLOCK_SIZE_LOG2
        zf = susp.zf_1.decode(entry.data, at=entry.offset)
        size = attributes.number(zf.uncompressed_size, entry)
    elif algorithm == susp.ZF_2:
        version, (least, greatest) = 2, susp.ZISOFS2_BLOCK_SIZE_LOG2
        zf = susp.zf_2.decode(entry.data, at=entry.offset)
        size = zf.uncompressed_size
    else:
        attributes.refusal = UnsupportedFeature(
            "zisofs-algorithm", f"the file is compressed (ZF) with the unknown algorithm {algorithm!r}"
        )
        return
    if not least <= zf.block_size_log2 <= greatest:
        raise ImageError(
            f"a zisofs block size of 2^{zf.block_size_log2} bytes", offset=entry.offset, structure="ZF"
        )
    attributes.compression = Compression(version, zf.header_size_div_4 * 4, 1 << zf.block_size_log2, size)


_READERS: dict[bytes, Callable[[Attributes, Entry], None]] = {
    b"SP": _sp,
    b"ER": _er,
    b"PX": _px,
    b"PN": _pn,
    b"SL": _sl,
    b"NM": _nm,
    b"CL": _cl,
    b"RE": _re,
    b"SF": _sf,
    b"TF": _tf,
    b"ZF": _zf,
    b"Z2": _zf,
}


# --- what the entries mean ------------------------------------------------------------------------


def link_target(components: list[tuple[int, bytes]]) -> bytes:
    """Return the path that the components of a symbolic link spell (RRIP 4.1.3).

    Raises UnsupportedFeature for components that only the reader's own system could know.
    """
    path = b""
    joined = True  # nothing is needed between what is there and what comes
    for flags, content in components:
        if not joined:
            path += b"/"
        joined = bool(flags & (susp.COMPONENT_CONTINUE | susp.COMPONENT_ROOT))
        if flags & (susp.COMPONENT_VOLUME_ROOT | susp.COMPONENT_HOST):
            raise UnsupportedFeature(
                "rock-ridge-symlink-component", f"symbolic link with a component of flags {flags:#x}"
            )
        if flags & susp.COMPONENT_ROOT:
            path += b"/"
        elif flags & susp.COMPONENT_PARENT:
            path += b".."
        elif flags & susp.COMPONENT_CURRENT:
            path += b"."
        else:
            path += content
    return path


def recording_time(stamp: Any) -> int | None:
    """Return a 7-byte time stamp (ECMA-119 clause 9.1.5) in seconds since 1970 UTC, None for no time."""
    return _seconds(1900 + stamp.years_since_1900, *stamp[1:])


def digits_time(stamp: Any) -> int | None:
    """Return a 17-byte time stamp (ECMA-119 clause 8.4.26.1) in seconds since 1970 UTC, None for no time."""
    if not all(part.isdigit() for part in stamp[:6]):
        return None
    year, month, day, hour, minute, second = (int(part) for part in stamp[:6])
    return _seconds(year, month, day, hour, minute, second, stamp.offset_from_gmt)


def _seconds(
    year: int, month: int, day: int, hour: int, minute: int, second: int, quarters: int
) -> int | None:
    if not (year and 1 <= month <= 12 and 1 <= day <= 31 and hour < 24 and minute < 60 and second <= 60):
        return None
    # Linux too takes the offset for 0 when it is none: clause 9.1.5 gives it as -48 to 52
    offset = quarters if -52 <= quarters <= 52 else 0
    return dates.timestamp(year, month, day, hour, minute, second) - offset * 15 * 60
