"""Starting the process that reads the guest, listening to it, and seeing to its end."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import time

from pybootcfg import bytecode, limits
from pybootcfg.cli import record
from pybootcfg.cli.outputs import close_all_but
from pybootcfg.cli.record import Failed, Nonsense, Ready, Unprepared
from pybootcfg.errors import BootcfgError
from pybootcfg.source import FileSource
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import NoReturn

    from pybootcfg.cli.command_line import Command
    from pybootcfg.cli.menu import Terminal
    from pybootcfg.cli.record import Record
    from pybootcfg.cli.sandbox.settings import Settings
from pybootcfg.cli.signals import signal

#: seconds that the reader has to end after its answer, or to put a terminal in order when told to stop
FAREWELL = 2.0
#: seconds of one wait: a signal that comes after Python has looked for one, but before the wait, is seen then
WAKE = 1.0


class ReaderDied(BootcfgError):
    """The process that reads the disk ended without an answer."""


class Task:
    """What the reader is to do, and all that it is given for it.

    `kernel` and `ramdisk` are descriptors to write to (-1: none), `terminal` one to show a menu on.
    Without `settings` the reader is not confined.  `screen` is the reader's view of the terminal, and
    `remarks` are lines that it wants to be printed.  With `everything` it imports beforehand even what few
    guests need.
    """

    def __init__(self, command: Command, images: list[FileSource]) -> None:
        self.command = command
        self.images = images
        self.kernel = self.ramdisk = -1
        self.terminal: int | None = None
        self.settings: Settings | None = None
        self.screen: Terminal | None = None
        self.remarks: list[str] = []
        self.everything = False

    @property
    def descriptors(self) -> list[int]:
        """The open files that belong to the task."""
        return [*(image.fd for image in self.images), *self.outputs]

    @property
    def outputs(self) -> list[int]:
        """The descriptors to write to."""
        return [fd for fd in (self.kernel, self.ramdisk) if fd >= 0]

    def start_over(self) -> None:
        """Take back what an earlier reader has written, for one that has everything but the time it took."""
        self.everything = True
        if self.settings:
            used = os.times()
            left = self.settings.cpu - int(used.children_user + used.children_system)
            self.settings = self.settings._replace(cpu=max(1, left))
        for fd in self.outputs:
            os.ftruncate(fd, 0)
            os.lseek(fd, 0, os.SEEK_SET)


class Reader:
    """The reader's process, seen from its parent."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._pipe, answering = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            _be_the_reader(task, answering)
        os.close(answering)
        self._deadline = None if task.terminal is not None else time.monotonic() + limits.TOTAL_TIME.value

    def ready(self) -> Ready | Failed:
        """Return what the reader says once it is locked in."""
        said = self._receive(limits.ANSWER_SIZE)
        if not isinstance(said, Ready | Failed):
            raise Nonsense("the reader of the disk answered before it was asked")
        return said

    def answer(self) -> Record:
        """Return the reader's answer, the process having ended as it should."""
        said = self._receive(_answer_limit(self._task.command))
        self._deadline = time.monotonic() + FAREWELL
        if self._read(1):
            raise Nonsense("the reader of the disk says more than its answer")
        status = self._wait()
        if status != (1 if isinstance(said, Failed | Unprepared) else 0):
            raise ReaderDied(_obituary(status, 0.0, self._task.settings))
        return said

    def _receive(self, limit: limits.Limit) -> Record:
        prefix = self._read(record.PREFIX)
        if not prefix:
            started = os.times().children_user + os.times().children_system
            status = self._wait()
            used = os.times().children_user + os.times().children_system - started
            raise ReaderDied(_obituary(status, used, self._task.settings))
        size = record.length(prefix, limit)
        body = self._read(size)
        if len(body) != size:
            raise Nonsense("the reader of the disk broke off its answer")
        return record.unpack(body)

    def _read(self, size: int) -> bytes:
        """Return `size` bytes of what the reader says, fewer only at the end of it."""
        poll = select.poll()
        poll.register(self._pipe, select.POLLIN)
        data = bytearray()
        while len(data) < size:
            left = WAKE if self._deadline is None else self._deadline - time.monotonic()
            if not poll.poll(max(0, min(WAKE, left)) * 1000):
                if left <= 0:
                    raise ReaderDied("the reader of the disk did not answer in time")
                continue
            chunk = os.read(self._pipe, min(size - len(data), 1 << 16))
            if not chunk:
                break
            data += chunk
        return bytes(data)

    def _wait(self) -> int:
        """Return the exit status of a process that is about to end, or minus the signal that ended it."""
        until = time.monotonic() + FAREWELL
        while time.monotonic() < until:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.pid = 0
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.001)
        raise ReaderDied("the reader of the disk has fallen silent without an answer")

    def stop(self) -> None:
        """End the process, whatever it is doing."""
        os.close(self._pipe)
        if self.pid and self._task.terminal is not None:
            self._say_farewell()
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)

    def _say_farewell(self) -> None:
        """Let the reader put its terminal in order."""
        os.kill(self.pid, signal.SIGTERM)
        with contextlib.suppress(ReaderDied):
            self._wait()


@contextlib.contextmanager
def started(task: Task) -> Iterator[Reader]:
    """Start the reader; end it, and put the terminal back as it was, on the way out."""
    with _terminal_restored(task.terminal):
        reader = Reader(task)
        try:
            yield reader
        finally:
            reader.stop()


#: plain text, wrapping, a cursor; and in front of them, for all but a vt100, the main screen
_PLAIN_SCREEN = "\x1b[m\x1b(B\x1b[?7h\x1b[?25h\r\n"
_MAIN_SCREEN = "\x1b[?1049l"


@contextlib.contextmanager
def _terminal_restored(terminal: int | None) -> Iterator[None]:
    """Bring the terminal back to what it was when the reader could not do so itself."""
    if terminal is None:
        yield
        return
    import termios

    before = termios.tcgetattr(terminal)
    try:
        yield
    except BaseException:
        with contextlib.suppress(termios.error, OSError):
            if termios.tcgetattr(terminal) != before:
                termios.tcsetattr(terminal, termios.TCSANOW, before)
                main = "" if os.environ.get("TERM", "").startswith("vt1") else _MAIN_SCREEN
                os.write(terminal, (main + _PLAIN_SCREEN).encode())
        raise


def _obituary(status: int, processor_time: float, settings: Settings | None) -> str:
    if settings and (status == -signal.SIGXCPU or processor_time >= settings.cpu):
        return f"the reader of the disk used up its {settings.cpu} seconds of processor time"
    if status < 0:
        return f"the reader of the disk was ended by signal {-status} ({signal.strsignal(-status)})"
    return f"the reader of the disk ended with status {status} and without an answer"


def _be_the_reader(task: Task, answering: int) -> NoReturn:
    """Do the task in the new process; whatever happens, this process ends here."""
    status = 1
    try:
        try:
            _settle(task, answering)
            from pybootcfg.cli import reader

            _say(answering, Ready(reader.prepare(task)))
            _say(answering, reader.read(task), _answer_limit(task.command))
            status = 0
        finally:
            # Not an `except`: this catches nothing, but every error has to cross the pipe.
            error = sys.exception()
            if isinstance(error, bytecode.ModuleNeeded):
                _say(answering, Unprepared(str(error)))
            elif error is not None:
                _say(answering, _failure(task, error))
    finally:
        os._exit(status)


def _settle(task: Task, answering: int) -> None:
    """Keep the task's own descriptors and the terminal, if any; let signals do what they do."""
    null = os.open("/dev/null", os.O_RDWR)
    for fd in range(3):
        os.dup2(null if task.terminal is None else task.terminal, fd)
    close_all_but(0, 1, 2, answering, *task.descriptors)
    if task.terminal is None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
    if task.settings:
        task.settings = task.settings._replace(files=max(2, answering, *task.descriptors))


def _failure(task: Task, error: BaseException) -> Failed:
    """Return what the parent is told of an error."""
    remarks = list(task.remarks)
    for volume, why, _ in getattr(error, "attempts", ()):
        filesystem = volume.mountable.name if volume.mountable else "-"
        place = f"at {volume.volume.start}, {volume.volume.size} bytes"
        remarks.append(f"  {volume.name}  {place}  {filesystem}  {why}")
    if task.command.debug:
        import traceback

        remarks += "".join(traceback.format_exception(error)).splitlines()
    if isinstance(error, BootcfgError | OSError):
        why = str(error)
    elif isinstance(error, MemoryError):
        why = "it takes more memory than PYGRUB_MAX_RAM_USAGE_MB allows"
    else:
        why = f"internal error: {type(error).__name__}: {error}"
    return Failed(why, remarks)


def _answer_limit(command: Command) -> limits.Limit:
    return limits.LISTING_SIZE if command.list_entries else limits.ANSWER_SIZE


def _say(answering: int, said: Record, limit: limits.Limit = limits.ANSWER_SIZE) -> None:
    data = memoryview(record.pack(said, limit))
    try:
        while data:
            data = data[os.write(answering, data) :]
    except BrokenPipeError:
        pass  # nobody listens any more
