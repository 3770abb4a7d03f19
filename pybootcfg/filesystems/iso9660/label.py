"""The volume label as blkid prints it."""

from __future__ import annotations


def volume_label(plain: bytes, joliet: bytes | None) -> str:
    """Return the label: Joliet's, with what the primary descriptor has of it besides (as libblkid does).

    The primary descriptor holds 32 characters, upper-case by the specification, with `_` for what it
    cannot spell; Joliet holds 16 characters in UCS-2.  Where one is the beginning of the other apart
    from that, each gives what the other lost.
    """
    if joliet is None:
        return _trimmed(plain.decode("utf-8", "surrogateescape"))
    units = joliet.decode("utf-16-be", "replace")
    return _trimmed(_merged(units, plain.decode("latin-1")) or units)


def _merged(joliet: str, plain: str) -> str:
    """Return both labels in one, empty when they do not begin alike."""
    merged = ""
    for wide, narrow in zip(joliet, plain, strict=False):
        if narrow == "_":
            merged += wide
        elif wide == "_":
            merged += narrow
        elif wide == narrow or (wide.isascii() and wide.upper() == narrow.upper()):
            merged += wide if narrow.isupper() else narrow
        else:
            return ""
    return merged + plain[len(merged) :]


def _trimmed(label: str) -> str:
    return label.split("\0")[0].rstrip()
