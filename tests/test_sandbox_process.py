"""The attributes of a process, asked of the kernel; prctl(2)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hijack import make_stage, prepared
from test_sandbox_outside import STAYS, waiting
from toolstacks import is_root

PR_GET_PDEATHSIG, PR_GET_DUMPABLE, PR_GET_NO_NEW_PRIVS = 2, 3, 39

APPLIED = f"""
import ctypes, sys
from types import SimpleNamespace
from pybootcfg.cli.sandbox import process
process.apply(SimpleNamespace(parent=int(sys.argv[1])))
prctl, death = ctypes.CDLL(None).prctl, ctypes.c_int()
prctl({PR_GET_PDEATHSIG}, ctypes.byref(death), 0, 0, 0)
print(death.value, prctl({PR_GET_DUMPABLE}, 0, 0, 0, 0), prctl({PR_GET_NO_NEW_PRIVS}, 0, 0, 0, 0))
"""


def applied(parent: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-c", APPLIED, str(parent)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_attributes() -> None:
    """It is killed with its parent, no other looks inside, and no program gives it rights."""
    done = applied(os.getpid())
    assert (done.returncode, done.stdout.split()) == (0, [str(int(signal.SIGKILL)), "0", "1"])


def test_a_parent_that_died_too_soon_to_be_told() -> None:
    done = applied(os.getpid() + 1)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")


def alive(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.skipif(not is_root(), reason="root may look inside")
def test_a_reader_does_not_outlive_its_parent(tmp_path: Path) -> None:
    """Though it sleeps for a minute."""
    command, environment, options = prepared(make_stage(tmp_path), STAYS)
    with subprocess.Popen(  # type: ignore[call-overload]
        command, env=environment, cwd="/", stderr=subprocess.DEVNULL, **options
    ) as parent:
        reader = waiting(parent)
        parent.kill()
    until = time.monotonic() + 30
    while alive(reader):
        assert time.monotonic() < until
        time.sleep(0.05)
