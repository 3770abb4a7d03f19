"""pygrub: find a guest's kernel in its disk image and tell the toolstack.

A drop-in for the pygrub of Xen: its options, output formats and exit statuses (0 and 1).  This side
opens the disk and makes the files, but looks at nothing of the guest's: that is done by reader.py in
a process of its own, whose answer is checked here, and from here alone the result is written.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys

from pybootcfg import limits
from pybootcfg.cli.command_line import USAGE, Command, parse
from pybootcfg.cli.outputs import KERNEL, RAMDISK, Outputs
from pybootcfg.cli.record import Copied, Document, Failed, Listed, Named, Nonsense, Ready, Unprepared
from pybootcfg.cli.sandbox.settings import Settings
from pybootcfg.cli.signals import signal
from pybootcfg.cli.supervision import Task, started
from pybootcfg.errors import BootcfgError, UsageError, printable
from pybootcfg.results import Answer, dump_json, format_answer
from pybootcfg.source import FileSource
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from pybootcfg.cli.record import Record

__all__ = ["USAGE", "Command", "main", "parse"]


class FailedRead(BootcfgError):
    """The reader found nothing that boots; what else it said has been printed."""


def main() -> int:
    """Run the command; return its exit status, 0 or 1."""
    _mend_what_was_inherited()
    try:
        command = parse(sys.argv[1:])
    except UsageError as error:
        print(f"{error}\n{USAGE}", end="", file=sys.stderr)
        return 1
    if command.help:
        print(USAGE, end="", file=sys.stderr)
        return 0
    try:
        with _signals_unwind():
            _run(command)
    except (BootcfgError, OSError) as error:
        if command.debug and not isinstance(error, FailedRead):
            import traceback

            traceback.print_exc()
        # xenopsd shows its user what follows "RuntimeError: " on stderr.
        _say(f"RuntimeError: {error}")
        return 1
    return 0


def _say(text: str) -> None:
    with contextlib.suppress(OSError):  # a terminal that has gone does not keep a guest from booting
        print(printable(text), file=sys.stderr, flush=True)


def _mend_what_was_inherited() -> None:
    """Fill the places of closed standard descriptors, and have children that can be waited for."""
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.open("/dev/null", os.O_RDWR)
    if sys.stderr is None:  # print() would take stdout, which is for the answer
        sys.stderr = open("/dev/null", "w")  # noqa: SIM115
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)


@contextlib.contextmanager
def _signals_unwind() -> Iterator[None]:
    """Turn the signals that end a process into an exception, so that files are removed on the way out."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

    def unwind(number: int, _frame: FrameType | None) -> None:
        for each in numbers:  # a second one must not disturb the tidying up
            signal.signal(each, signal.SIG_IGN)
        raise SystemExit(128 + number)

    before = [signal.signal(number, unwind) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _run(command: Command) -> None:
    with contextlib.ExitStack() as stack:
        out = stack.enter_context(_output(command.output))
        images = [FileSource.open(image) for image in (command.image, *command.devices)]
        for image in images:
            stack.callback(image.close)
        outputs = stack.enter_context(Outputs(command.output_directory)) if command.copies else None
        record = _ask(command, images, outputs)
        for remark in () if isinstance(record, Ready | Unprepared) else record.remarks:
            _say(remark)
        if isinstance(record, Failed):
            raise FailedRead(record.why)
        if outputs:
            _publish(record, outputs, out, command.output_format)
        else:
            _write(out, _printed(record, command))


def _ask(command: Command, images: list[FileSource], outputs: Outputs | None) -> Record:
    """Have the guest read by a process that has nothing but these open files; return its answer."""
    task = Task(command, images)
    if outputs:
        task.kernel, task.ramdisk = outputs.descriptors[KERNEL], outputs.descriptors[RAMDISK]
    if command.menu:
        task.terminal = _terminal()
        if task.terminal is None:
            _say("pygrub: standard input is no terminal for a menu; booting the default entry")
    if command.no_sandbox:
        _say("pygrub: WARNING: --no-sandbox: a guest's disk is read with all the rights of this user")
    else:
        task.settings = _settings(command, terminal=task.terminal is not None)
    task.everything = task.terminal is not None  # a person cannot be asked twice
    with started(task) as reader:
        ready = reader.ready()
        if isinstance(ready, Failed):
            return ready
        if ready.missing:
            _say(f"pygrub: warning: the sandbox lacks {'; '.join(ready.missing)}")
        answer = reader.answer()
    if not isinstance(answer, Unprepared):
        return answer
    task.start_over()
    with started(task) as reader:
        ready = reader.ready()
        return ready if isinstance(ready, Failed) else reader.answer()


def _settings(command: Command, *, terminal: bool) -> Settings:
    file_size = limits.FILE_SIZE if command.runas is None else limits.RESTRICTED_FILE_SIZE
    return Settings(
        memory=_megabytes("PYGRUB_MAX_RAM_USAGE_MB", limits.SANDBOX_MEMORY.value),
        data=_megabytes("PYGRUB_MAX_RAM_USAGE_MB", limits.TOTAL_MEMORY.value),
        cpu=(limits.MENU_CPU if terminal else limits.TOTAL_CPU).value,
        file_size=_megabytes("PYGRUB_MAX_FILE_SIZE_MB", file_size.value),
        parent=os.getpid(),
        runas=command.runas if command.runas != os.geteuid() else None,
        terminal=terminal,
    )


def _megabytes(variable: str, default: int) -> int:
    """Return in bytes what an environment variable gives in MiB."""
    value = os.environ.get(variable, "")
    if not value:
        return default
    if not (value.isascii() and value.isdigit() and 0 < int(value[:12]) < 1 << 30):
        raise UsageError(f"{variable} must be a number of MiB, not {value}")
    return int(value) * limits.MIB


def _terminal() -> int | None:
    """Return the descriptor of the terminal on which a person can read and type, if there is one."""
    if not os.isatty(0):
        return None
    for fd in (0, 1, 2):
        if os.isatty(fd) and fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDWR:
            return fd
    return None


def _publish(record: Record, outputs: Outputs, out: int, form: str) -> None:
    """Check what was copied, and write the result."""
    if not isinstance(record, Copied):
        raise Nonsense("the reader of the disk answered a question that was not asked")
    if (record.kernel, record.ramdisk or 0) != (outputs.size(KERNEL), outputs.size(RAMDISK)):
        raise Nonsense("the reader of the disk answered with sizes that its files do not have")
    ramdisk = outputs.path(RAMDISK) if record.ramdisk else None
    result = format_answer(Answer(outputs.path(KERNEL), ramdisk, record.args), form)
    outputs.publish(KERNEL, *([RAMDISK] if ramdisk else []))
    _write(out, result)
    outputs.keep()


def _printed(record: Record, command: Command) -> bytes:
    """Return what is printed when nothing is copied; it is for people, and escaped."""
    if isinstance(record, Named) and command.not_really and not command.isconfig:
        return format_answer(Answer(record.kernel, record.ramdisk, record.args), command.output_format)
    if isinstance(record, Document) and command.list_entries:
        return dump_json(record.value)
    if isinstance(record, Listed) and (command.list_entries or command.isconfig):
        return "".join(f"{printable(line)}\n" for line in record.lines).encode()
    raise Nonsense("the reader of the disk answered a question that was not asked")


@contextlib.contextmanager
def _output(name: str) -> Iterator[int]:
    """Yield the descriptor for the result: stdout, or a file or FIFO that is there already."""
    if name == "-":
        if sys.stdout is None:
            raise UsageError("standard output is closed")
        yield sys.stdout.fileno()
        return
    fd = os.open(name, os.O_WRONLY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def _write(out: int, data: bytes) -> None:
    while data:
        data = data[os.write(out, data) :]


if __name__ == "__main__":
    sys.exit(main())
