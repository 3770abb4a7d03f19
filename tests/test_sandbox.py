"""The sandbox: what a reader under an attacker's control can still do, tried from inside real runs."""

from __future__ import annotations

import ast
import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT
from guests import needs_mke2fs
from hijack import USER, hijacked, make_readable_tree, make_stage, told
from toolstacks import PYGRUB, is_root

from pybootcfg.cli.sandbox import seccomp

needs_root = pytest.mark.skipif(not is_root(), reason="only root can change users")

#: acts by name: each either returns what it got hold of, or raises OSError
ACTS = """
secret, canary, other = {secret!r}, {canary!r}, {other}
kernel = 0

def open_secret(): return os.read(os.open(secret, os.O_RDONLY), 10).decode()
def open_passwd(): return os.read(os.open("/etc/passwd", os.O_RDONLY), 10).decode()
def create(): return os.open("/tmp/pybootcfg-hijacked", os.O_WRONLY | os.O_CREAT)
def list_root(): return os.listdir("/") or os.strerror(0)
def connect():
    with socket.socket(socket.AF_INET) as s: return s.connect(("127.0.0.1", 1))
def unix_socket(): return socket.socket(socket.AF_UNIX).fileno()
def socket_pair(): return call("socketpair", 1, 1, 0, (ctypes.c_int * 2)())
def fork():
    if (pid := os.fork()) == 0: os._exit(0)
    return pid
def execute(): return os.execv("/bin/true", ["true"])
def ptrace_parent(): return call("ptrace", 16, os.getppid(), 0, 0)
def read_parent(): return call("process_vm_readv", os.getppid(), 0, 0, 0, 0, 0) or "allowed"
def kill_parent(): return os.kill(os.getppid(), signal.SIGURG) or "sent"
def kill_all(): return os.kill(-1, signal.SIGURG) or "sent"
def tgkill_parent(): return call("syscall", {tgkill}, os.getppid(), os.getppid(), signal.SIGURG) or "sent"
def unlink(): return os.unlink(canary) or "done"
def rename(): return os.rename(canary, canary + ".moved") or "done"
def chmod(): return os.chmod(canary, 0o777) or "done"
def chmod_open(): return os.fchmod(task.kernel, 0o777) or "done"
def chown_open(): return os.fchown(task.kernel, 0, 0) or "done"
def mount(): return call("mount", b"none", b"/tmp", b"tmpfs", 0, None) or "done"
def setuid_root(): return os.setresuid(0, 0, 0) or "done"
def bpf(): return call("syscall", {bpf}, 5, 0, 0)
def io_uring(): return call("syscall", {io_uring_setup}, 1, ctypes.create_string_buffer(120))
def keyctl(): return call("syscall", {keyctl}, 1, 0)
def unshare_user(): return call("unshare", 0x10000000) or "done"
def perf(): return call("syscall", {perf_event_open}, ctypes.create_string_buffer(120), 0, -1, -1, 0)
def userfault(): return call("syscall", {userfaultfd}, 0)
def memory_file(): return os.memfd_create("x")
def code():
    libc.mmap.restype = ctypes.c_void_p
    got = libc.mmap(None, ctypes.c_size_t(4096), 7, 0x22, -1, ctypes.c_size_t(0))
    if got in (None, ctypes.c_size_t(-1).value): raise OSError(ctypes.get_errno(), "mmap")
    return got
def raise_limit(): return resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 40, 1 << 40)) or "done"
def beyond_the_cap():
    os.lseek(task.kernel, {cap}, os.SEEK_SET)
    return os.write(task.kernel, b"x")
def truncate_beyond(): return os.ftruncate(task.kernel, {cap} + 1) or "done"
def another_descriptor(): return os.write(other, b"x")
def write_disk(): return os.pwrite(task.images[0].fd, b"x", 0)
def pipe(): return os.pipe()
def terminal_input(): return call("ioctl", 0, 0x5412, b"x") or "typed"
def control_descriptor(): return call("fcntl", 0, 8, os.getppid()) or "done"
def inotify(): return call("inotify_init")
def timer(): return call("syscall", {timerfd_create}, 0, 0)
def namespace_file(): return call("setns", 0, 0) or "done"
def dumpable(): return call("prctl", 4, 1, 0, 0, 0) or "done"
def reboot(): return call("reboot", 0x89ABCDEF) or "done"
def host_name(): return socket.sethostname("owned") or "done"

ALL = [open_secret, open_passwd, create, list_root, connect, unix_socket, socket_pair, fork, execute,
       ptrace_parent, read_parent, kill_parent, kill_all, tgkill_parent, unlink, rename, chmod, chmod_open,
       chown_open, mount, setuid_root, bpf, io_uring, keyctl, unshare_user, perf, userfault, memory_file,
       code, raise_limit, beyond_the_cap, truncate_beyond, another_descriptor, write_disk, pipe,
       terminal_input, control_descriptor, inotify, timer, namespace_file, dumpable, reboot, host_name]

def attack(given):
    global task
    task = given
    results = {{}}
    for act in ALL:
        try:
            results[act.__name__] = repr(act())
        except OSError as error:
            results[act.__name__] = errno.errorcode[error.errno]
        except ValueError:  # what setrlimit makes of EPERM
            results[act.__name__] = "EPERM"
    tell({{"tried": len(results), "allowed": {{k: v for k, v in results.items() if v not in {refused}}}}})
"""

#: system calls that have no function in the C library everywhere
NUMBERS = {
    "x86_64": {"tgkill": 234, "bpf": 321, "keyctl": 250, "perf_event_open": 298, "timerfd_create": 283},
    "aarch64": {"tgkill": 131, "bpf": 280, "keyctl": 219, "perf_event_open": 241, "timerfd_create": 85},
}
NUMBERS["x86_64"]["userfaultfd"] = 323
NUMBERS["aarch64"]["userfaultfd"] = 282

needs_a_known_machine = pytest.mark.skipif(os.uname().machine not in NUMBERS, reason="unknown numbers")


@pytest.fixture(scope="session")
def readable_tree(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    return make_readable_tree(tmp_path_factory.mktemp("tree"))


@pytest.fixture
def stage(tmp_path: Path) -> Path:
    return make_stage(tmp_path)


REFUSED = {"EPERM", "EACCES", "EBADF", "EMFILE", "EFBIG", "EAGAIN", "ENOSYS", "ENOENT", "EINVAL", "EROFS"}

#: layers to leave out, so that the others have to hold alone
LEFT_OUT = {
    "everything": (),
    "no-landlock": ("Landlock",),
    "no-namespaces": ("namespaces",),
    "no-landlock-no-namespaces": ("Landlock", "namespaces"),
    "no-user": ("unprivileged user",),
}


@needs_a_known_machine
@pytest.mark.parametrize("who", ["root", "user"])
@pytest.mark.parametrize("left_out", LEFT_OUT)
def test_forbidden_acts(stage: Path, request: pytest.FixtureRequest, who: str, left_out: str) -> None:
    """Forty-three acts, each refused, with and without Landlock, as root and as an ordinary user."""
    user = None
    if who == "root" and not is_root():
        pytest.skip("not root")
    if who == "user" and is_root():
        user = request.getfixturevalue("readable_tree")
    extra = os.open(stage / "canary", os.O_RDWR)  # left open for pygrub by whoever started it
    acts = ACTS.format(
        secret=str(stage / "secret"),
        canary=str(stage / "canary"),
        other=extra,
        cap=1 << 20,
        io_uring_setup=425,
        refused=REFUSED,
        **NUMBERS[os.uname().machine],
    )
    environment = {"PYGRUB_MAX_FILE_SIZE_MB": "1"}
    done = hijacked(stage, acts, without=LEFT_OUT[left_out], user=user, more=environment, pass_fds=[extra])
    os.close(extra)
    assert told(done) == {"tried": 43, "allowed": {}}
    assert done.returncode == 1
    assert (stage / "canary").read_text() == "canary"
    assert list((stage / "out").iterdir()) == []


#: what must hold even where the kernel filters no system calls
ALONE = """
secret, canary = {secret!r}, {canary!r}
def open_secret(): return os.read(os.open(secret, os.O_RDONLY), 10).decode()
def connect():
    with socket.socket(socket.AF_INET) as s:
        s.settimeout(2)
        return s.connect(("127.0.0.1", {port}))
def fork():
    if (pid := os.fork()) == 0: os._exit(0)
    return pid
def unlink(): return os.unlink(canary) or "done"
def write_canary(): return os.open(canary, os.O_WRONLY)
def chmod(): return os.chmod(canary, 0o777) or "done"
def kill_parent(): return os.kill(os.getppid(), signal.SIGURG) or "sent"
def setuid_root(): return os.setresuid(0, 0, 0) or "done"
def mount(): return call("mount", b"none", b"/", b"tmpfs", 0, None) or "done"
def attack(task):
    results = {{}}
    for act in (open_secret, connect, fork, unlink, write_canary, chmod, kill_parent, setuid_root, mount):
        try:
            results[act.__name__] = repr(act())
        except OSError as error:
            results[act.__name__] = errno.errorcode[error.errno]
    tell(results)
"""


@needs_root
@pytest.mark.parametrize("without", [("seccomp",), ("seccomp", "Landlock"), ("seccomp", "namespaces")])
def test_without_seccomp_the_other_layers_hold(stage: Path, without: tuple[str, ...]) -> None:
    """Each kind of act by at least one layer; EPERM for kill comes from Landlock, or from the user."""
    import socket

    (stage / "secret").chmod(0o600)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        attack = ALONE.format(secret=str(stage / "secret"), canary=str(stage / "canary"), port=port)
        results = told(hijacked(stage, attack, without=without))
    refused = REFUSED | {"ENETUNREACH", "ECONNREFUSED", "ENXIO"}
    assert {name: result for name, result in results.items() if result not in refused} == {}


def test_root_becomes_nobody(stage: Path) -> None:
    attack = "def attack(task): tell([os.getuid(), os.geteuid(), os.getgid(), os.getegid()])"
    if not is_root():
        pytest.skip("not root")
    assert told(hijacked(stage, attack)) == [65534] * 4
    assert told(hijacked(stage, attack, f"--runas={USER}")) == [USER] * 4
    assert told(hijacked(stage, attack, "--runas=0")) == [65534] * 4


@needs_root
def test_runas_that_cannot_be_had_is_fatal(stage: Path, readable_tree: tuple[str, Path]) -> None:
    done = hijacked(stage, "attack = reader.read", "--runas=1", user=readable_tree)
    assert done.returncode == 1
    assert "--runas=1: cannot become that user: Operation not permitted" in done.stderr.splitlines()[-1]
    done = hijacked(stage, "attack = reader.read", f"--runas={USER}", user=readable_tree)
    assert done.returncode == 0, done.stderr


# --- missing layers ---------------------------------------------------------------------------------------

LACKING = "def lack(_): raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))\n"


@needs_mke2fs
def test_a_kernel_without_landlock(stage: Path) -> None:
    """The layer is named once, and fatal where that is asked for."""
    attack = "landlock.LANDLOCK_CREATE_RULESET = 9999\nattack = reader.read"
    done = hijacked(stage, attack)
    assert done.returncode == 0, done.stderr
    words = "the sandbox lacks Landlock (landlock_create_ruleset: Function not implemented)"
    assert done.stderr.count(words) == 1
    for file in (stage / "out").iterdir():
        file.unlink()
    done = hijacked(stage, attack, "--require-sandbox")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"RuntimeError: {words}"
    assert list((stage / "out").iterdir()) == []


@needs_mke2fs
def test_a_machine_whose_system_calls_are_not_listed(stage: Path) -> None:
    attack = "seccomp.ARCHITECTURES = {}\nattack = reader.read"
    done = hijacked(stage, attack)
    assert done.returncode == 0
    assert "the sandbox lacks seccomp (no list of system calls for " in done.stderr


@needs_mke2fs
def test_with_every_layer_nothing_is_said(stage: Path) -> None:
    done = hijacked(stage, "attack = reader.read", "--require-sandbox")
    if "the sandbox lacks" in done.stderr:
        pytest.skip(done.stderr)
    assert (done.returncode, done.stderr) == (0, "")


@needs_root
@needs_mke2fs
def test_an_ordinary_user_has_every_layer(stage: Path, readable_tree: tuple[str, Path]) -> None:
    done = hijacked(stage, "attack = reader.read", user=readable_tree)
    assert done.returncode == 0, done.stderr
    if "namespaces (unshare: " in done.stderr:
        pytest.skip("this system has no namespaces for ordinary users")
    assert done.stderr == ""


@needs_root
@needs_mke2fs
def test_root_of_a_container(stage: Path) -> None:
    """Without the capabilities for namespaces and users, what is missing is named and the rest holds."""
    if not shutil.which("setpriv"):
        pytest.skip("setpriv takes capabilities away")
    lacking = "-sys_admin,-setuid,-setgid,-sys_chroot"
    command = ["setpriv", f"--bounding-set={lacking}", "--inh-caps=-all", *PYGRUB]
    command += ["-q", "-n", "--output-format=simple", str(stage / "guest.img")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "kernel /k\nramdisk /i\nargs a=1\n\n"
    assert done.stderr.splitlines()[0] == (
        "pygrub: warning: the sandbox lacks namespaces (unshare: Operation not permitted); "
        "unprivileged user (Operation not permitted)"
    )


@needs_mke2fs
def test_no_sandbox_is_loud(stage: Path) -> None:
    attack = "def attack(task): tell([os.getuid(), open('/etc/passwd').read(0)])"
    done = hijacked(stage, attack, "--no-sandbox")
    assert "WARNING: --no-sandbox" in done.stderr
    assert told(done) == [os.getuid(), ""]
    done = hijacked(stage, attack, "--no-sandbox", "--require-sandbox")
    assert (done.returncode, "usage: " in done.stderr) == (1, True)


# --- limits -------------------------------------------------------------------------------------------------


def test_memory(stage: Path) -> None:
    attack = "def attack(task): bytearray(512 << 20)"
    done = hijacked(stage, attack)
    assert done.returncode == 1
    assert "more memory than PYGRUB_MAX_RAM_USAGE_MB" in done.stderr.splitlines()[-1]
    done = hijacked(stage, attack, more={"PYGRUB_MAX_RAM_USAGE_MB": "1024"})
    assert "memory" not in done.stderr


@pytest.mark.parametrize("value", ["x", "-1", "0", "1e9", "²", "9" * 30])
def test_a_senseless_limit_is_refused(stage: Path, value: str) -> None:
    done = hijacked(stage, "attack = reader.read", more={"PYGRUB_MAX_RAM_USAGE_MB": value})
    assert done.returncode == 1
    assert "PYGRUB_MAX_RAM_USAGE_MB must be a number of MiB" in done.stderr.splitlines()[-1]


def test_processor_time(stage: Path) -> None:
    attack = "from pybootcfg import limits\nlimits.TOTAL_CPU.value = 1\ndef attack(task):\n while True: pass"
    done = hijacked(stage, attack)
    assert done.returncode == 1
    assert "total-cpu: the limit of 1 is used up" in done.stderr.splitlines()[-1]
    # who ignores the signal is killed a second later
    attack = attack.replace("while", "signal.signal(signal.SIGXCPU, signal.SIG_IGN)\n while")
    done = hijacked(stage, attack)
    assert done.stderr.splitlines()[-1].endswith(
        "the reader of the disk used up its 1 seconds of processor time"
    )


def test_a_reader_that_never_answers(stage: Path) -> None:
    attack = "import time\nfrom pybootcfg import limits\nlimits.TOTAL_TIME.value = 1\n"
    attack += "def attack(task): time.sleep(60)"
    done = hijacked(stage, attack)
    assert done.stderr.splitlines()[-1] == "RuntimeError: the reader of the disk did not answer in time"
    assert list((stage / "out").iterdir()) == []


def test_a_reader_that_dies(stage: Path) -> None:
    done = hijacked(stage, "def attack(task): ctypes.string_at(0)")
    assert done.stderr.splitlines()[-1] == (
        "RuntimeError: the reader of the disk was ended by signal 11 (Segmentation fault)"
    )
    done = hijacked(stage, "def attack(task): os._exit(0)")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "RuntimeError: the reader of the disk ended with status 0 and without an answer"
    )
    assert "Traceback" not in done.stderr


def test_a_fault_of_ours_is_one_line(stage: Path) -> None:
    done = hijacked(stage, "def attack(task): return {}['x\\n']")
    assert done.returncode == 1
    assert done.stderr.splitlines() == ["RuntimeError: internal error: KeyError: 'x\\n'"]
    done = hijacked(stage, "def attack(task): return {}['x']", "--debug")
    assert "Traceback" in done.stderr


# --- what the reader needs is there when it can open nothing any more --------------------------------------


def modules_after_prefetch() -> set[str]:
    code = (
        "import sys; from pybootcfg import bytecode; from pybootcfg.cli import reader, menu;"
        "from pybootcfg.cli.sandbox import prefetch; bytecode.install(); prefetch.prefetch(everything=True);"
        "print(*sys.modules); print(*bytecode._finder._modules)"
    )
    command = [sys.executable, "-P", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return set(done.stdout.split())


#: what only commands for people use, outside the sandbox, and what prepares
FOR_PEOPLE = {"places", "tables.py", "bytecode.py", "tracing.py", "inspection.py", "variable.py", "values.py"}


def imported() -> Iterator[tuple[Path, str]]:
    for room in ("pybootcfg", "cli/sandbox", "cli/menu"):
        for file in sorted((ROOT / room).rglob("*.py")):
            if not FOR_PEOPLE & {*file.parts}:
                yield from ((file, name) for name in names(ast.parse(file.read_text())))


def names(tree: ast.AST) -> Iterator[str]:
    """The modules that are imported at run time."""
    if isinstance(tree, ast.If) and ast.unparse(tree.test) == "TYPE_CHECKING":
        return
    if isinstance(tree, ast.Import):
        yield from (alias.name for alias in tree.names)
    elif isinstance(tree, ast.ImportFrom) and tree.module:
        yield tree.module
    for node in ast.iter_child_nodes(tree):
        yield from names(node)


def test_everything_that_is_imported_late_is_there() -> None:
    """All but Lark and Construct, needed only where nothing is prepared, or for people to look at."""
    there = modules_after_prefetch()
    optional = {"compression", "lark", "lz4", "backports", "blake3", "construct"}
    missing = {(file.name, name) for file, name in imported() if name not in there}
    assert {
        (file, name)
        for file, name in missing
        if name.partition(".")[0] not in optional
        and not FOR_PEOPLE & {f"{part}.py" for part in name.split(".")}
    } == set()


def test_every_codec_is_there() -> None:
    there = modules_after_prefetch()
    used = set()
    for room in ("pybootcfg", "formats", "cli"):
        for file in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
                    name = getattr(node.func, "attr", "")
                    if name in ("encode", "decode") and isinstance(node.args[0].value, str):
                        used.add(node.args[0].value.replace("-", "_"))
    built_in = {"ascii", "latin_1", "utf_8"}  # known to Python without a module
    assert {f"encodings.{name}" for name in used - built_in} <= there


# --- the filter of system calls, as the kernel would run it ----------------------------------------------


def run_filter(machine: str, number: int, *arguments: int, terminal: bool = False, arch: int = 0) -> int:
    """Run the program over one `struct seccomp_data`; return what it returns."""
    words = {seccomp.NUMBER: number, seccomp.ARCHITECTURE: arch or seccomp.ARCHITECTURES[machine]}
    for index, argument in enumerate(arguments):
        words[seccomp.ARGUMENTS + 8 * index] = argument & 0xFFFFFFFF
    program = list(seccomp.program(machine, terminal=terminal))
    accumulator, at = 0, 0
    while True:
        code, jump_true, jump_false, operand = program[at]
        at += 1
        if code == seccomp.BPF_RET_K:
            return operand
        if code == seccomp.BPF_LD_W_ABS:
            accumulator = words.get(operand, 0)
            continue
        holds = {
            seccomp.BPF_JMP_JEQ_K: accumulator == operand,
            seccomp.BPF_JMP_JGE_K: accumulator >= operand,
            seccomp.BPF_JMP_JSET_K: bool(accumulator & operand),
        }[code]
        at += jump_true if holds else jump_false


MACHINES = list(seccomp.ARCHITECTURES)
EPERM = seccomp.SECCOMP_RET_ERRNO | errno.EPERM


@pytest.mark.parametrize("machine", MACHINES)
def test_filter_allows_the_list_and_nothing_else(machine: str) -> None:
    column = MACHINES.index(machine)
    allowed = {numbers[column] for numbers in seccomp.CALLS.values()} - {None}
    plain = {number for number in range(600) if run_filter(machine, number) == seccomp.SECCOMP_RET_ALLOW}
    assert plain == allowed | {numbers[column] for numbers in seccomp.WITHOUT_PROT_EXEC.values()}
    menu = {
        number
        for number in range(600)
        if run_filter(machine, number, terminal=True) == seccomp.SECCOMP_RET_ALLOW
    }
    assert menu == plain | ({numbers[column] for numbers in seccomp.TERMINAL_CALLS.values()} - {None})


@pytest.mark.parametrize("machine", MACHINES)
def test_filter_looks_at_arguments(machine: str) -> None:
    column = MACHINES.index(machine)
    for numbers in seccomp.WITHOUT_PROT_EXEC.values():
        number = numbers[column]
        assert run_filter(machine, number, 0, 4096, 3) == seccomp.SECCOMP_RET_ALLOW
        for prot in (4, 5, 7, 0xFFFFFFFF):
            assert run_filter(machine, number, 0, 4096, prot) == EPERM
    ioctl = seccomp.IOCTL[column]
    for request in seccomp.TERMINAL_REQUESTS.values():
        assert run_filter(machine, ioctl, 0, request) == EPERM
        assert run_filter(machine, ioctl, 0, request, terminal=True) == seccomp.SECCOMP_RET_ALLOW
    for request in (0x5412, 0x541C, 0x5413 + 1, 0x540E, 0x5405):  # TIOCSTI, TIOCLINUX, ...
        assert run_filter(machine, ioctl, 0, request, terminal=True) == EPERM


def test_filter_kills_other_architectures() -> None:
    for arch in (0x40000003, 0xC00000B7, 0, 0xFFFFFFFF):
        assert run_filter("x86_64", 0, arch=arch or 1) == seccomp.SECCOMP_RET_KILL_PROCESS
    assert run_filter("x86_64", 0x40000000) == seccomp.SECCOMP_RET_KILL_PROCESS
    assert run_filter("aarch64", 63, arch=0xC000003E) == seccomp.SECCOMP_RET_KILL_PROCESS
