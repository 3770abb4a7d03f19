"""Names in directories that do not tell upper from lower case (chattr +F).

Two names are the same when their folded forms are.  Linux folds with the tables of Unicode 12.1
(fs/unicode: canonical decomposition, full case folding, ignorable characters dropped); here it is
the running Python's Unicode, which differs from it only in characters that were added later.
"""

from __future__ import annotations

import unicodedata

#: Default_Ignorable_Code_Point of Unicode's DerivedCoreProperties.txt, as ranges
IGNORABLE = (
    (0xAD, 0xAD),
    (0x34F, 0x34F),
    (0x61C, 0x61C),
    (0x115F, 0x1160),
    (0x17B4, 0x17B5),
    (0x180B, 0x180F),
    (0x200B, 0x200F),
    (0x202A, 0x202E),
    (0x2060, 0x206F),
    (0x3164, 0x3164),
    (0xFE00, 0xFE0F),
    (0xFEFF, 0xFEFF),
    (0xFFA0, 0xFFA0),
    (0xFFF0, 0xFFF8),
    (0x1BCA0, 0x1BCA3),
    (0x1D173, 0x1D17A),
    (0xE0000, 0xE0FFF),
)


def folded(name: bytes) -> bytes:
    """Return what two names that are the same have in common; what is not UTF-8 stays as it is.

    >>> folded("Straße".encode()) == folded(b"STRASSE")
    True
    """
    try:
        text = name.decode("utf-8")
    except UnicodeDecodeError:
        return name
    text = unicodedata.normalize("NFD", unicodedata.normalize("NFD", text).casefold())
    if not text.isascii():
        text = "".join(char for char in text if not _is_ignorable(ord(char)))
    return text.encode("utf-8")


def _is_ignorable(code: int) -> bool:
    return any(first <= code <= last for first, last in IGNORABLE)
