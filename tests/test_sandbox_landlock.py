"""What Landlock is asked for, told by what goes to kernels that know more or less than this one."""

from __future__ import annotations

import errno
import os
import struct
from typing import Any

import pytest

from pybootcfg.cli.sandbox import landlock


@pytest.mark.parametrize("known", [1, 2, 16, 63, 64])
def test_every_bit_that_the_kernel_knows_is_denied(monkeypatch: pytest.MonkeyPatch, known: int) -> None:
    """A kernel that knows so many bits of the first field, one of the second and none of the third."""
    bits = (known, 1, 0)
    asked: list[tuple[Any, ...]] = []

    def syscall(name: str, number: int, *arguments: Any) -> int:
        asked.append((name, number, *arguments))
        if name == "landlock_create_ruleset":
            handled = struct.unpack("=3Q", arguments[0])
            if not any(handled) or any(value >> count for value, count in zip(handled, bits, strict=True)):
                raise OSError(errno.EINVAL, name)
        return os.open(os.devnull, os.O_RDONLY)

    monkeypatch.setattr(landlock.kernel, "syscall", syscall)
    landlock.apply(None)  # type: ignore[arg-type]
    *_, created, restricted = asked
    everything = struct.pack("=3Q", (1 << known) - 1, 1, 0)
    assert created == ("landlock_create_ruleset", 444, everything, 24, 0)
    assert (*restricted[:2], *restricted[3:]) == ("landlock_restrict_self", 446, 0)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(restricted[2])


def test_a_kernel_without_it_refuses_a_ruleset_of_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def syscall(name: str, *_: Any) -> int:
        raise OSError(errno.ENOSYS, name)

    monkeypatch.setattr(landlock.kernel, "syscall", syscall)
    with pytest.raises(OSError, match="landlock_create_ruleset"):
        landlock.apply(None)  # type: ignore[arg-type]
