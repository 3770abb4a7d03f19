"""A filter of system calls, seccomp(2): what a running Python parser needs, and no more.

The program is classic BPF over `struct seccomp_data`.  A call of another architecture (or of x32)
ends the process; one that is not on the list fails with EPERM, so that a C library newer than this
list gets an error, not a signal.  Nothing on the list opens, names or reaches anything: it works on
memory and on descriptors that are open already.

`sock_fprog` goes to the kernel by pointer, which is what Structure is for; the schemas of formats/ are
for what lies on disks.
"""

from __future__ import annotations

import errno
import os
import sys
from _ctypes import Structure, _SimpleCData

from pybootcfg.cli.sandbox import kernel
from pybootcfg.values import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pybootcfg.cli.sandbox.settings import Settings

PR_SET_SECCOMP = 22
SECCOMP_MODE_FILTER = 2

SECCOMP_RET_KILL_PROCESS = 0x80000000
SECCOMP_RET_ERRNO = 0x00050000
SECCOMP_RET_ALLOW = 0x7FFF0000

BPF_LD_W_ABS = 0x20
BPF_JMP_JEQ_K = 0x15
BPF_JMP_JGE_K = 0x35
BPF_JMP_JSET_K = 0x45
BPF_RET_K = 0x06

# offsets in `struct seccomp_data`; of an argument, its lower half
NUMBER, ARCHITECTURE, ARGUMENTS = 0, 4, 16

PROT_EXEC = 4
X32_SYSCALL_BIT = 0x40000000

#: of linux/audit.h
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

#: system calls by name: their numbers on x86_64 and on aarch64, None where there is none
CALLS: dict[str, tuple[int, int | None]] = {
    # descriptors that are open
    "read": (0, 63),
    "write": (1, 64),
    "close": (3, 57),
    "lseek": (8, 62),
    "pread64": (17, 67),
    "pwrite64": (18, 68),
    "readv": (19, 65),
    "writev": (20, 66),
    "preadv": (295, 69),
    "preadv2": (327, 286),  # what os.preadv calls where there is one
    "sendfile": (40, 71),
    "ftruncate": (77, 46),
    "fallocate": (285, 47),
    "copy_file_range": (326, 285),
    # memory; `mmap` and `mprotect` follow below
    "munmap": (11, 215),
    "brk": (12, 214),
    "mremap": (25, 216),
    "madvise": (28, 233),
    "futex": (202, 98),
    # signals to oneself, time, chance
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sigaltstack": (131, 132),
    "restart_syscall": (219, 128),
    "sched_yield": (24, 124),
    "nanosleep": (35, 101),
    "clock_gettime": (228, 113),
    "clock_getres": (229, 114),
    "clock_nanosleep": (230, 115),
    "gettimeofday": (96, 169),
    "time": (201, None),
    "getrandom": (318, 278),
    # who am I
    "getpid": (39, 172),
    "getppid": (110, 173),
    "gettid": (186, 178),
    "getuid": (102, 174),
    "geteuid": (107, 175),
    "getgid": (104, 176),
    "getegid": (108, 177),
    "exit": (60, 93),
    "exit_group": (231, 94),
}

#: system calls whose third argument (`prot`) must not ask for code to run
WITHOUT_PROT_EXEC: dict[str, tuple[int, int]] = {"mmap": (9, 222), "mprotect": (10, 226)}

#: what the menu needs besides
TERMINAL_CALLS: dict[str, tuple[int, int | None]] = {
    "poll": (7, None),
    "select": (23, None),
    "pselect6": (270, 72),
    "ppoll": (271, 73),
}
IOCTL = (16, 29)
#: requests of ioctl_tty(2) that look at a terminal and set its modes; none of those that type into it
TERMINAL_REQUESTS = {
    "TCGETS": 0x5401,
    "TCSETS": 0x5402,
    "TCSETSW": 0x5403,
    "TCSETSF": 0x5404,
    "TIOCGWINSZ": 0x5413,
    "TCGETS2": 0x802C542A,
    "TCSETS2": 0x402C542B,
    "TCSETSW2": 0x402C542C,
    "TCSETSF2": 0x402C542D,
}


class Instruction(NamedTuple):
    """One instruction of classic BPF."""

    code: int
    jump_true: int
    jump_false: int
    operand: int

    def packed(self) -> bytes:
        """Return it as `struct sock_filter` of linux/filter.h."""
        code, operand = self.code.to_bytes(2, sys.byteorder), self.operand.to_bytes(4, sys.byteorder)
        return code + bytes((self.jump_true, self.jump_false)) + operand


class Short(_SimpleCData):  # type: ignore[type-arg]
    """A C unsigned short."""

    _type_ = "H"


class Bytes(_SimpleCData):  # type: ignore[type-arg]
    """A pointer to bytes."""

    _type_ = "z"


class SockFprog(Structure):
    """`struct sock_fprog` of linux/filter.h."""

    _fields_ = [("len", Short), ("filter", Bytes)]


def apply(settings: Settings) -> None:
    """Install the filter; raises OSError where the kernel or the architecture has none."""
    machine = os.uname().machine
    if machine not in ARCHITECTURES or sys.maxsize < 1 << 32:
        raise OSError(errno.ENOSYS, f"no list of system calls for {machine}")
    instructions = list(program(machine, terminal=settings.terminal))
    filters = SockFprog(len(instructions), b"".join(each.packed() for each in instructions))
    kernel.call("prctl", PR_SET_SECCOMP, SECCOMP_MODE_FILTER, bytes(filters), 0, 0)


def program(machine: str, *, terminal: bool) -> Iterator[Instruction]:
    """Yield the filter for an architecture, with the calls for a menu when there is a `terminal`."""
    column = list(ARCHITECTURES).index(machine)
    yield _load(ARCHITECTURE)
    yield from _answer_unless(BPF_JMP_JEQ_K, ARCHITECTURES[machine], SECCOMP_RET_KILL_PROCESS)
    yield _load(NUMBER)
    if machine == "x86_64":
        yield from _answer_if(BPF_JMP_JGE_K, X32_SYSCALL_BIT, SECCOMP_RET_KILL_PROCESS)
    calls = [*CALLS.values(), *(TERMINAL_CALLS.values() if terminal else ())]
    for numbers in calls:
        number = numbers[column]
        if number is not None:
            yield from _answer_if(BPF_JMP_JEQ_K, number, SECCOMP_RET_ALLOW)
    refuse = SECCOMP_RET_ERRNO | errno.EPERM
    for numbers in WITHOUT_PROT_EXEC.values():
        yield Instruction(BPF_JMP_JEQ_K, 0, 4, numbers[column])
        yield _load(ARGUMENTS + 2 * 8)
        yield from _answer_if(BPF_JMP_JSET_K, PROT_EXEC, refuse)
        yield Instruction(BPF_RET_K, 0, 0, SECCOMP_RET_ALLOW)
    if terminal:
        yield Instruction(BPF_JMP_JEQ_K, 0, 2 * len(TERMINAL_REQUESTS) + 1, IOCTL[column])
        yield _load(ARGUMENTS + 1 * 8)
        for request in TERMINAL_REQUESTS.values():
            yield from _answer_if(BPF_JMP_JEQ_K, request, SECCOMP_RET_ALLOW)
    yield Instruction(BPF_RET_K, 0, 0, refuse)


def _load(offset: int) -> Instruction:
    return Instruction(BPF_LD_W_ABS, 0, 0, offset)


def _answer_if(comparison: int, operand: int, answer: int) -> Iterator[Instruction]:
    """Give an answer when the comparison is true, else go on."""
    yield Instruction(comparison, 0, 1, operand)
    yield Instruction(BPF_RET_K, 0, 0, answer)


def _answer_unless(comparison: int, operand: int, answer: int) -> Iterator[Instruction]:
    """Give an answer when the comparison is false, else go on."""
    yield Instruction(comparison, 1, 0, operand)
    yield Instruction(BPF_RET_K, 0, 0, answer)
