"""Progress of long work: on a terminal only, and only after one second."""

from __future__ import annotations

import sys
import time

from pybootcfg.filesystems.base import Extent, Run
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator
    from typing import Any, Self

PIECE = 16 << 20  #: bytes after which a long extent reports in


class Counter:
    """Counts things on standard error while standard output goes elsewhere: a line that is written over."""

    def __init__(self, things: str) -> None:
        self.things = things
        self.wanted = sys.stderr.isatty() and not sys.stdout.isatty()
        self._next = time.monotonic() + 1
        self._shown = False
        self.count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    def step(self) -> None:
        """Count one."""
        self.count += 1
        if self.wanted and (now := time.monotonic()) >= self._next:
            self._next, self._shown = now + 0.2, True
            print(f"\r{self.count} {self.things}", end="", file=sys.stderr, flush=True)


class Progress:
    """Counts the bytes that pass; shows them with rich once a second has gone by."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.wanted = sys.stderr.isatty() and not options.json
        self.began = time.monotonic()
        self.done = 0
        self._bar: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()

    def follow(self, runs: Iterable[Run]) -> Iterator[Run]:
        """Yield the same contents, long extents in pieces, and count them."""
        for run in runs:
            if not isinstance(run, Extent) or not self.wanted:
                yield run
                self._count(run.length)
                continue
            for start in range(0, run.length, PIECE):
                length = min(PIECE, run.length - start)
                yield Extent(run.source, run.offset + start, length)
                self._count(length)

    def _count(self, length: int) -> None:
        self.done += length
        if not self.wanted or time.monotonic() - self.began < 1:
            return
        if self._bar is None:
            from rich.console import Console
            from rich.progress import DownloadColumn, SpinnerColumn, TransferSpeedColumn
            from rich.progress import Progress as Bar

            self._bar = Bar(
                SpinnerColumn(), DownloadColumn(), TransferSpeedColumn(), console=Console(stderr=True)
            )
            self._task = self._bar.add_task("copying", total=None)
            self._bar.start()
        self._bar.update(self._task, completed=self.done)
