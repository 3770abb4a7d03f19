"""The sandbox's numbers are those of the C library's and the kernel's headers."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType

import pytest

from pybootcfg.cli.sandbox import identity, landlock, namespaces, process, seccomp

pytestmark = pytest.mark.skipif(not shutil.which("cc"), reason="a C compiler reads the headers")

#: what other modules have of the headers' names, and where it is defined
NAMES: Mapping[ModuleType, tuple[Sequence[str], Sequence[str]]] = {
    process: (["sys/prctl.h"], ["PR_SET_PDEATHSIG", "PR_SET_DUMPABLE", "PR_SET_NO_NEW_PRIVS"]),
    namespaces: (
        ["linux/sched.h", "sys/mount.h"],
        [
            *(f"CLONE_NEW{name}" for name in ("NS", "CGROUP", "UTS", "IPC", "USER", "NET")),
            *(f"MS_{name}" for name in ("RDONLY", "NOSUID", "NODEV", "NOEXEC", "REC", "PRIVATE")),
        ],
    ),
    seccomp: (
        ["sys/prctl.h", "sys/mman.h", "linux/seccomp.h"],
        [
            *("PR_SET_SECCOMP", "SECCOMP_MODE_FILTER", "PROT_EXEC"),
            *(f"SECCOMP_RET_{name}" for name in ("KILL_PROCESS", "ERRNO", "ALLOW")),
        ],
    ),
}
FILTER = ["stddef.h", "linux/filter.h", "linux/audit.h", "linux/seccomp.h"]
#: numbers of seccomp.py whose names are its own
FILTER_NUMBERS = {
    "BPF_LD | BPF_W | BPF_ABS": seccomp.BPF_LD_W_ABS,
    "BPF_JMP | BPF_JEQ | BPF_K": seccomp.BPF_JMP_JEQ_K,
    "BPF_JMP | BPF_JGE | BPF_K": seccomp.BPF_JMP_JGE_K,
    "BPF_JMP | BPF_JSET | BPF_K": seccomp.BPF_JMP_JSET_K,
    "BPF_RET | BPF_K": seccomp.BPF_RET_K,
    "AUDIT_ARCH_X86_64": seccomp.ARCHITECTURES["x86_64"],
    "AUDIT_ARCH_AARCH64": seccomp.ARCHITECTURES["aarch64"],
    "offsetof(struct seccomp_data, nr)": seccomp.NUMBER,
    "offsetof(struct seccomp_data, arch)": seccomp.ARCHITECTURE,
    "offsetof(struct seccomp_data, args)": seccomp.ARGUMENTS,
}
CALLS = {**seccomp.CALLS, **seccomp.WITHOUT_PROT_EXEC, **seccomp.TERMINAL_CALLS, "ioctl": seccomp.IOCTL}


def evaluated(folder: Path, headers: Sequence[str], expressions: Sequence[str]) -> dict[str, int]:
    """The values that a C program prints, whose headers define them; those that are no names are left out."""
    lines = [f"#include <{header}>" for header in [*headers, "stdio.h"]] + ["int main(void) {"]
    for number, expression in enumerate(expressions):
        printed = f'printf("%d %llu\\n", {number}, (unsigned long long) ({expression}));'
        named = expression.startswith("__NR_")
        lines += [f"#ifdef {expression}", printed, "#endif"] if named else [printed]
    (folder / "numbers.c").write_text("\n".join([*lines, "return 0; }", ""]))
    compiled = subprocess.run(
        ["cc", "-w", "-o", folder / "numbers", folder / "numbers.c"],
        capture_output=True,
        text=True,
        check=False,
    )
    if compiled.returncode:
        pytest.skip(f"headers are missing: {compiled.stderr[:300]}")
    printed = subprocess.run([folder / "numbers"], capture_output=True, text=True, check=True).stdout
    return {expressions[int(number)]: int(value) for number, value in map(str.split, printed.splitlines())}


@pytest.mark.parametrize("module", NAMES, ids=lambda module: module.__name__.rpartition(".")[2])
def test_constants_are_those_of_the_headers(module: ModuleType, tmp_path: Path) -> None:
    headers, names = NAMES[module]
    mask = (1 << 32) - 1
    assert {name: value & mask for name, value in evaluated(tmp_path, headers, names).items()} == {
        name: getattr(module, name) for name in names
    }


def test_the_filters_numbers(tmp_path: Path) -> None:
    assert evaluated(tmp_path, FILTER, list(FILTER_NUMBERS)) == FILTER_NUMBERS


def test_terminal_requests(tmp_path: Path) -> None:
    found = evaluated(tmp_path, ["asm/termbits.h", "asm/ioctls.h"], list(seccomp.TERMINAL_REQUESTS))
    assert found == seccomp.TERMINAL_REQUESTS


def test_capabilities(tmp_path: Path) -> None:
    """The version, and the sizes of what it wants: both structures go to the kernel by pointer."""
    version = "_LINUX_CAPABILITY_VERSION_3"
    sizes = {
        "sizeof(struct __user_cap_header_struct)": len(identity.HEADER),
        "_LINUX_CAPABILITY_U32S_3 * sizeof(struct __user_cap_data_struct)": len(identity.NOTHING),
    }
    found = evaluated(tmp_path, ["linux/capability.h"], [version, *sizes])
    assert found == {version: identity.LINUX_CAPABILITY_VERSION_3, **sizes}


@pytest.mark.parametrize("machine", seccomp.ARCHITECTURES)
def test_system_calls(machine: str, tmp_path: Path) -> None:
    """AArch64 has the numbers that all new architectures have; those of x86-64 are to be had on itself."""
    header = "asm-generic/unistd.h" if machine == "aarch64" else "sys/syscall.h"
    if machine not in ("aarch64", os.uname().machine):
        pytest.skip("not this machine's headers")
    column = list(seccomp.ARCHITECTURES).index(machine)
    found = evaluated(tmp_path, [header], [f"__NR_{name}" for name in CALLS])
    assert found == {
        f"__NR_{name}": numbers[column] for name, numbers in CALLS.items() if numbers[column] is not None
    }


def test_landlock(tmp_path: Path) -> None:
    own = {
        "__NR_landlock_create_ruleset": landlock.LANDLOCK_CREATE_RULESET,
        "__NR_landlock_restrict_self": landlock.LANDLOCK_RESTRICT_SELF,
    }
    assert evaluated(tmp_path, ["sys/syscall.h"], list(own)) == own
