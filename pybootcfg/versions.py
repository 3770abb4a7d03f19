"""Sort keys for version strings, one for each of the orders that boot loaders use.

- `systemd`: UAPI Group, "Version Format Specification":
  https://uapi-group.org/specifications/specs/version_format_specification/
- `rpm`: rpm-version(7), with the `~` of RPM 4.10, and a `+` as Fedora's GRUB sorts it.

A key is a tuple, so that `max` and `sorted` give the newest.  Letters and digits are ASCII's.
"""

from __future__ import annotations

import re

#: one round of the comparison: what is no part of a version, separators, then letters or digits
_ROUND = re.compile(
    r"[^A-Za-z0-9~^.-]*(?P<tilde>~?)(?:(?P<end>\Z)|(?P<dash>-?)(?P<caret>\^?)(?P<dot>\.?)"
    r"(?:(?P<digits>[0-9]+)|(?P<letters>[A-Za-z]*)))"
)
_SEGMENT = re.compile(r"(?P<tilde>~)|(?P<plus>\+)|(?P<letters>[A-Za-z]+)|(?P<digits>[0-9]+)")

_TILDE, _END, _PLUS, _LETTERS, _DIGITS = range(5)  # from old to new, all else being equal

Key = tuple[object, ...]


def systemd(version: str) -> Key:
    """Return the key of a version as systemd-boot and bootctl order them.

    >>> systemd("6.1.9") < systemd("6.1.10~rc1") < systemd("6.1.10") < systemd("6.1.10-1")
    True
    """
    key: list[tuple[object, ...]] = []
    position = 0
    while match := _ROUND.match(version, position):
        tilde, dash, caret, dot, letters, digits = match.group(
            "tilde", "dash", "caret", "dot", "letters", "digits"
        )
        if match["end"] is not None:
            key.append((not tilde, 0))
            break
        # What carries the separator is the older one of two, so its absence weighs more.
        key.append((not tilde, 1, not dash, not caret, not dot, *_digits(digits), letters or ""))
        position = match.end()
    return tuple(key)


def _digits(digits: str | None) -> tuple[object, ...]:
    if digits is None:
        return False, 0, ""
    digits = digits.lstrip("0")
    return True, len(digits), digits


def rpm(version: str) -> Key:
    """Return the key of a version, or of a part of one, as `blscfg` in Fedora's GRUB orders them.

    >>> rpm("6.1.9") < rpm("6.1.10~rc1") < rpm("6.1.10") < rpm("6.1.10+debug") < rpm("6.1.10.1")
    True
    """
    key: list[tuple[object, ...]] = []
    for match in _SEGMENT.finditer(version):
        if match["tilde"]:
            key.append((_TILDE,))
        elif match["plus"]:
            key.append((_PLUS,))
        elif match["letters"]:
            key.append((_LETTERS, match["letters"]))
        else:
            digits = match["digits"].lstrip("0")
            key.append((_DIGITS, len(digits), digits))
    key.append((_END,))
    return tuple(key)


def package(name: str) -> Key:
    """Return the key of `name-version-release` as Fedora's GRUB takes it apart, from the right.

    What has one hyphen has no release, what has none has no version either.
    """
    name, _, release = name.rpartition("-") if "-" in name else (name, "", "")
    name, hyphen, version = name.rpartition("-") if "-" in name else (name, "", "")
    if not hyphen:
        version, release = release, ""
    return rpm(name), rpm(version), rpm(release)
