"""System calls for which Python has no function, by way of the C library.

That takes the half of ctypes that is written in C, and no more: the other half makes fifty classes when
it is imported, none of which is needed here, and costs pygrub as much as the menu's grammar.
"""

from __future__ import annotations

import os
from _ctypes import FUNCFLAG_CDECL, FUNCFLAG_USE_ERRNO, CFuncPtr, _SimpleCData, dlopen, dlsym, get_errno

Argument = int | bytes | None


class Int(_SimpleCData):  # type: ignore[type-arg]
    """A C int, which becomes a Python one as a result."""

    _type_ = "i"


class Long(_SimpleCData):  # type: ignore[type-arg]
    """A C long: unless told, an int is passed as a C int, and the upper half of the register is anything."""

    _type_ = "l"


class Function(CFuncPtr):
    """A function that returns an int and sets errno."""

    _flags_ = FUNCFLAG_CDECL | FUNCFLAG_USE_ERRNO
    _restype_ = Int


_libc = dlopen(None, 0)  # type: ignore[arg-type]


def call(function: str, *arguments: Argument) -> int:
    """Call a function of the C library that returns -1 and sets errno; raise OSError when it does.

    Bytes are passed as the structures that they are, by reference.
    """
    passed = [Long(argument) if isinstance(argument, int) else argument for argument in arguments]
    result: int = Function(dlsym(_libc, function))(*passed)
    if result == -1:
        number = get_errno()
        raise OSError(number, os.strerror(number), function)
    return result


def syscall(name: str, number: int, *arguments: Argument) -> int:
    """Make a system call that the C library has no function for."""
    try:
        return call("syscall", number, *arguments)
    except OSError as error:
        error.filename = name
        raise
