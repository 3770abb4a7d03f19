"""`pybootcfg scan`: what each of many images would boot, one line of JSON for each.

Every image is read by a process of its own, locked in as pygrub's reader is and under the same limits,
so that an image can spoil no line but its own.  The processors are kept busy with them.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import pkgutil
import select
import signal
import sys
import time

from pybootcfg import bytecode, dialects, filesystems, limits, schema, volumes
from pybootcfg.boot import find_menu
from pybootcfg.cli import record
from pybootcfg.cli.listing import menu_json
from pybootcfg.cli.outputs import close_all_but
from pybootcfg.cli.record import Document, Failed, Nonsense, Ready
from pybootcfg.cli.sandbox import layers, process
from pybootcfg.cli.sandbox.prefetch import prefetch
from pybootcfg.cli.sandbox.settings import Settings
from pybootcfg.cli.supervision import FAREWELL
from pybootcfg.dialects.base import Settings as Presets
from pybootcfg.errors import BootcfgError, ImageError, LimitExceeded, printable
from pybootcfg.filesystems.base import Options
from pybootcfg.guest import Guest
from pybootcfg.kind import Kind
from pybootcfg.loopback import NodeSource
from pybootcfg.menu import FileRef, Menu
from pybootcfg.source import FileSource, Source
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Generator, Iterator, Sequence
    from typing import Any, NoReturn, Self

#: exit statuses of `pybootcfg` for an image whose reader broke down, or took too long
BROKEN, TOO_MUCH = ImageError.exit_status, LimitExceeded.exit_status
PIECE = 1 << 16  #: bytes read from a pipe at a time
WIDTH = 30  #: characters of the bar


def scan(options: argparse.Namespace) -> int:
    """Print a line for each image as soon as it is read; return the worst of their exit statuses."""
    prefetch(everything=True)
    _import_all()
    worst = 0
    with Progress(len(options.images)) as progress, contextlib.closing(_reports(options)) as reports:
        for report in reports:
            progress.print(json.dumps(report))
            worst = max(worst, report["status"])
            progress.advance(failed=report["status"] != 0)
    return worst


def _import_all() -> None:
    """Import every reader and dialect once, so that no process has to do it for its own image."""
    for package in (dialects, filesystems, volumes):
        for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            importlib.import_module(module.name)
    for dialect in dialects.DIALECTS:
        dialects.load(dialect.name)


def _reports(options: argparse.Namespace) -> Generator[dict[str, Any]]:
    """Yield the reports in the order in which they are done."""
    # A reader waits half its time for the kernel to make its namespaces.
    jobs = options.jobs or 2 * len(os.sched_getaffinity(0))
    waiting = iter(options.images)
    readers: dict[int, Reader] = {}
    poll = select.poll()
    told: set[str] = set()
    try:
        while True:
            while len(readers) < jobs and (image := next(waiting, None)) is not None:
                try:
                    reader = Reader(image, options.timeout)
                except (BootcfgError, OSError) as error:
                    yield _failure(image, error)
                    continue
                readers[reader.pipe] = reader
                poll.register(reader.pipe, select.POLLIN)
            if not readers:
                return
            patience = min(reader.deadline for reader in readers.values()) - time.monotonic()
            ready = {pipe for pipe, _ in poll.poll(max(0, patience) * 1000)}
            for pipe, reader in list(readers.items()):
                if (pipe in ready and not reader.receive()) or reader.overdue:
                    poll.unregister(pipe)
                    del readers[pipe]
                    yield _finished(reader, told)
    finally:
        for reader in readers.values():
            reader.end(grace=0)


def _finished(reader: Reader, told: set[str]) -> dict[str, Any]:
    report = reader.report()
    missing = set(reader.missing) - told
    if missing:
        told |= missing
        text = printable("; ".join(sorted(missing)))
        print(f"pybootcfg: warning: the sandbox lacks {text}", file=sys.stderr)
    return report


class Reader:
    """The process that reads one image, seen from its parent."""

    def __init__(self, image: str, timeout: float) -> None:
        self.image = image
        self.missing: list[str] = []
        self._timeout = timeout
        self._said = bytearray()
        self._refused = ""
        parent = os.getpid()
        source = FileSource.open(image)
        try:
            self.pipe, answering = os.pipe()
            self.pid = os.fork()
            if self.pid == 0:
                _be_the_reader(source, answering, parent)
            os.close(answering)
        finally:
            source.close()
        self.deadline = time.monotonic() + timeout

    @property
    def overdue(self) -> bool:
        """Whether the time for this image is over."""
        return time.monotonic() >= self.deadline

    def receive(self) -> bool:
        """Take in what has been said; return whether more may follow."""
        chunk = os.read(self.pipe, PIECE)
        self._said += chunk
        if len(self._said) > 2 * (record.PREFIX + limits.LISTING_SIZE.value):
            self._refused = "the reader of the image says too much"
        return bool(chunk) and not self._refused

    def report(self) -> dict[str, Any]:
        """Return what is printed of the image, the process having been ended."""
        late = self.overdue
        status = self.end(grace=0 if late or self._refused else FAREWELL)
        if self._refused:
            return _report(self.image, BROKEN, self._refused)
        said: list[record.Record] = []
        if not late:
            try:
                said.extend(_records(bytes(self._said)))
            except Nonsense as error:
                return _report(self.image, BROKEN, str(error))
        if said and isinstance(said[0], Ready):
            self.missing = said[0].missing
            del said[0]
        if len(said) == 1 and isinstance(said[0], Document) and status == 0:
            return {**_report(self.image, 0, None), **said[0].value}
        if len(said) == 1 and isinstance(said[0], Failed) and 0 < status <= TOO_MUCH:
            return _report(self.image, status, said[0].why)
        if late:
            return _report(self.image, TOO_MUCH, f"not read within {self._timeout:g} seconds")
        if status == -signal.SIGXCPU:
            return _report(self.image, TOO_MUCH, f"over {limits.TOTAL_CPU.value} seconds of processor time")
        return _report(self.image, BROKEN, f"the reader of the image ended with status {status}")

    def end(self, *, grace: float) -> int:
        """Wait so many seconds for the process to end, then end it; return its status as Popen does."""
        os.close(self.pipe)
        until = time.monotonic() + grace
        pid = 0
        while not pid and time.monotonic() < until:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if not pid:
                time.sleep(0.0005)
        if not pid:
            os.kill(self.pid, signal.SIGKILL)
            _, status = os.waitpid(self.pid, 0)
        return os.waitstatus_to_exitcode(status)


def _records(said: bytes) -> Iterator[record.Record]:
    while said:
        size = record.length(said[: record.PREFIX], limits.LISTING_SIZE)
        body, said = said[record.PREFIX : record.PREFIX + size], said[record.PREFIX + size :]
        yield record.unpack(body)


def _report(image: str, status: int, error: str | None) -> dict[str, Any]:
    return {"schema": 1, "image": image, "status": status, "error": error}


def _failure(image: str, error: BootcfgError | OSError) -> dict[str, Any]:
    status = error.exit_status if isinstance(error, BootcfgError) else 1
    return _report(image, status, str(error))


def _be_the_reader(source: FileSource, answering: int, parent: int) -> NoReturn:
    """Read the image in the new process; whatever happens, this process ends here."""
    status = BROKEN
    try:
        try:
            null = os.open("/dev/null", os.O_RDWR)
            for fd in range(3):
                os.dup2(null, fd)
            close_all_but(0, 1, 2, source.fd, answering)
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
            settings = Settings(
                memory=limits.SANDBOX_MEMORY.value,
                data=limits.TOTAL_MEMORY.value,
                cpu=limits.TOTAL_CPU.value,
                file_size=0,
                parent=parent,
                files=max(source.fd, answering),
            )
            process.apply(settings)
            _say(answering, Ready(layers.confine(settings)))
            bytecode.seal(wanting=False)
            _say(answering, Document(examine(source), []))
            status = 0
        finally:
            # Not an `except`: this catches nothing, but every error has to cross the pipe.
            error = sys.exception()
            if isinstance(error, BootcfgError | OSError):
                status = _failure("", error)["status"]
                _say(answering, Failed(str(error), []))
            elif isinstance(error, MemoryError):
                status = TOO_MUCH
                _say(answering, Failed("it takes too much memory", []))
            elif error is not None:
                _say(answering, Failed(f"internal error: {type(error).__name__}: {error}", []))
    finally:
        os._exit(status)


def _say(answering: int, said: record.Record) -> None:
    data = memoryview(record.pack(said, limits.LISTING_SIZE))
    while data:
        data = data[os.write(answering, data) :]


def examine(source: Source) -> dict[str, Any]:
    """Return the menu of an image as `pybootcfg entries --json` has it, and its kernels.

    Raises BootcfgError, NothingBootableError when there is no menu.
    """
    guest = Guest.of_sources([source], options=Options())
    menu = find_menu(guest, Presets())
    return {**menu_json(menu), "kernels": [_kernel(guest, file) for file in _kernels(menu)]}


def _kernels(menu: Menu) -> Sequence[FileRef]:
    """Return the kernels of all entries, each once."""
    return list(dict.fromkeys(entry.kernel for _, entry in menu.flat() if entry.kernel))


def _kernel(guest: Guest, file: FileRef) -> dict[str, Any]:
    found: dict[str, Any] = {"path": str(file), "size": None, "version": None, "error": None}
    try:
        node = guest.node(file)
        if node.kind is Kind.FILE:
            found["size"] = node.size
            found["version"] = kernel_version(NodeSource(node, str(file)))
        else:
            found["error"] = f"not a file, but a {node.kind}"
    except BootcfgError as error:
        found["error"] = str(error)
    return found


def kernel_version(source: Source) -> str | None:
    """Return the version string of an x86 kernel; None for other kernels, which have none in the open.

    The Linux/x86 Boot Protocol, `kernel_version`.
    """
    layout = schema.load("kernel")
    magic = layout.X86_MAGIC
    if layout.X86_HEADER_OFFSET + layout.x86_setup_header.size > source.size:
        return None
    if source.read(layout.X86_MAGIC_OFFSET, len(magic)) != magic:
        return None
    header = layout.x86_setup_header.read(source, layout.X86_HEADER_OFFSET)
    offset = header.kernel_version + layout.X86_VERSION_BASE
    if not header.kernel_version or offset >= source.size:
        return None
    text = source.read(offset, min(limits.KERNEL_VERSION.value, source.size - offset))
    return text.partition(b"\0")[0].decode("utf-8", "surrogateescape")


class Progress:
    """How many images are done, on a terminal only."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = self._failed = 0
        self._wanted = sys.stderr.isatty() and total > 1
        self._out_is_terminal = sys.stdout.isatty()
        self._shown = False
        self._drawn = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._clear()

    def print(self, line: str) -> None:
        """Print a line on stdout, with the bar out of its way."""
        if self._out_is_terminal:
            self._clear()
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    def advance(self, *, failed: bool) -> None:
        """Count an image; where the bar may stay, draw it ten times a second at most."""
        self._done += 1
        self._failed += failed
        if not self._wanted or (self._shown and time.monotonic() - self._drawn < 0.1):
            return
        full = WIDTH * self._done // self._total
        failures = f", {self._failed} not read" if self._failed else ""
        bar = "=" * full + " " * (WIDTH - full)
        sys.stderr.write(f"\r[{bar}] {self._done} of {self._total}{failures}\x1b[K")
        sys.stderr.flush()
        self._shown, self._drawn = True, time.monotonic()

    def _clear(self) -> None:
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._shown = False
