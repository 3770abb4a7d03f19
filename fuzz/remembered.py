"""What pure functions of the package have answered, kept: most bytes are the same in every execution.

Only functions are remembered whose answer depends on nothing but their arguments, and which take long for
what they do.  An exception is not kept, so that a fault in one of them is found again.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

from pybootcfg import checksums
from pybootcfg.filesystems import exfat
from pybootcfg.filesystems.zfs import checksum, compression, label

#: function, how many of its answers are kept: the arguments are kept too, blocks of up to 128 KiB
_PURE: list[tuple[Callable[..., Any], int]] = [
    (checksums.crc32c, 4096),
    (checksums.crc32c_records, 512),
    (checksums.crc16, 4096),
    (exfat.checksum, 4096),
    (checksum.checksum, 256),
    (checksum.embedded, 1024),
    (compression.decompress, 256),
    (label._uberblock, 8192),
]


def remember() -> None:
    """Put functions that remember in the place of the package's own, wherever their names are imported."""
    for function, answers in _PURE:
        remembering = functools.lru_cache(answers)(function)
        for module in [module for key, module in list(sys.modules.items()) if key.startswith("pybootcfg.")]:
            for name, value in list(vars(module).items()):
                if value is function:
                    setattr(module, name, remembering)
