"""The structures in the log of a journal, for `inspect`: descriptors with their tags, revokes, commits."""

from __future__ import annotations

from pybootcfg import schema
from pybootcfg.errors import ImageError
from pybootcfg.filesystems.ext.log import Log
from pybootcfg.schema import Decoder
from pybootcfg.structures import Followed, Structure, fault
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

layout = schema.load("ext")
jbd2 = schema.load("jbd2")


def logged(log: Log, positions: Iterable[int]) -> Iterator[Structure]:
    """Yield what some blocks of the log say, old transactions too."""
    for position in positions:
        name = f"journal.block[{position}]"
        try:
            offset = log.offset(position)
        except ImageError:
            continue  # a hole in the journal
        try:
            data = log.read(position)
        except ImageError as error:
            yield fault(name, error)
            continue
        header = jbd2.header.decode(data)
        if header.h_magic != jbd2.MAGIC:
            continue
        if header.h_blocktype == jbd2.DESCRIPTOR_BLOCK:
            yield Structure(f"{name}.header", jbd2.header, offset)
            yield from _tags(log, data, name, offset)
        elif header.h_blocktype == jbd2.REVOKE_BLOCK:
            yield from _revokes(log, data, name, offset)
        elif header.h_blocktype == jbd2.COMMIT_BLOCK:
            yield Structure(f"{name}.commit", jbd2.commit_header, offset)
        else:
            yield Structure(f"{name}.header", jbd2.header, offset)


def _end(log: Log, data: bytes) -> int:
    return len(data) - (jbd2.block_tail.size if log.checksummed else 0)


def _tags(log: Log, data: bytes, name: str, offset: int) -> Iterator[Structure]:
    version3 = log.has_incompat(jbd2.INCOMPAT_CSUM_V3)
    wide = log.has_incompat(jbd2.INCOMPAT_64BIT)
    decoder = jbd2.tag3 if version3 else jbd2.tag_64bit if wide else jbd2.tag
    padding = jbd2.CSUM_V2_TAG_PADDING if log.has_incompat(jbd2.INCOMPAT_CSUM_V2) and not version3 else 0
    place, number, end = jbd2.header.size, 0, _end(log, data)
    while place + decoder.size + padding <= end:
        tag = decoder.decode(data, place)
        uuid = 0 if tag.t_flags & jbd2.FLAG_SAME_UUID else jbd2.TAG_UUID_SIZE
        shown = Followed(decoder, ("padding", padding), ("uuid", uuid)) if padding or uuid else decoder
        yield Structure(f"{name}.tag[{number}]", shown, offset + place)
        place += decoder.size + padding + uuid
        number += 1
        if tag.t_flags & jbd2.FLAG_LAST_TAG:
            break
    if log.checksummed:
        yield Structure(f"{name}.tail", jbd2.block_tail, offset + end)


def _revokes(log: Log, data: bytes, name: str, offset: int) -> Iterator[Structure]:
    yield Structure(f"{name}.revoke_header", jbd2.revoke_header, offset)
    start, end = jbd2.revoke_header.size, _end(log, data)
    wide = log.has_incompat(jbd2.INCOMPAT_64BIT)
    decoder = jbd2.revoke_record_64bit if wide else jbd2.revoke_record
    count = (min(jbd2.revoke_header.decode(data).r_count, end) - start) // decoder.size
    if count > 0:
        yield Structure(f"{name}.revokes", decoder.repeated(count), offset + start)
    if log.checksummed:
        yield Structure(f"{name}.tail", jbd2.block_tail, offset + end)


def fast_commits(log: Log) -> Iterator[Structure]:
    """Yield the tags of the area behind the log, up to the first that cannot be one."""
    number = 0
    for position in log.fast_commit_area:
        try:
            data, offset = log.read(position), log.offset(position)
        except ImageError as error:
            yield fault(f"journal.fast_commit[{number}]", error)
            return
        place = 0
        while place + jbd2.fc_tl.size <= len(data):
            head = jbd2.fc_tl.decode(data, place)
            end = place + jbd2.fc_tl.size + head.fc_len
            if end > len(data) or head.fc_tag not in jbd2.FC_TAGS.values():
                return
            name = f"journal.fast_commit[{number}]"
            yield Structure(name, jbd2.fc_tl, offset + place)
            value = _value(head.fc_tag, head.fc_len)
            if value:
                yield Structure(f"{name}.value", value, offset + place + jbd2.fc_tl.size)
            if head.fc_tag == jbd2.FC_INODE and head.fc_len >= jbd2.fc_inode.size + layout.inode.size:
                start = offset + place + jbd2.fc_tl.size + jbd2.fc_inode.size
                yield Structure(f"{name}.inode", layout.inode, start)
            place = end
            number += 1


def _value(tag: int, length: int) -> Decoder | None:
    if tag in (jbd2.FC_CREAT, jbd2.FC_LINK, jbd2.FC_UNLINK):
        return Followed(jbd2.fc_dentry_info, ("name", length - jbd2.fc_dentry_info.size))
    decoders: dict[int, Decoder] = {
        jbd2.FC_ADD_RANGE: jbd2.fc_add_range,
        jbd2.FC_DEL_RANGE: jbd2.fc_del_range,
        jbd2.FC_INODE: jbd2.fc_inode,
        jbd2.FC_TAIL: jbd2.fc_tail,
        jbd2.FC_HEAD: jbd2.fc_head,
    }
    decoder = decoders.get(tag)
    return decoder if decoder and decoder.size <= length else None
