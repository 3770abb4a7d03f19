"""T3: killed at any moment, pygrub leaves no file, no mount and no process.

`make soak` runs a thousand kills (PYBOOTCFG_KILLS says how many); the suite runs forty.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from guests import grub_guest, needs_mke2fs
from toolstacks import PYGRUB, is_root

KILLS = int(os.environ.get("PYBOOTCFG_KILLS", "40"))
SEED = int(os.environ.get("PYBOOTCFG_SEED", str(time.time_ns())))

pytestmark = needs_mke2fs


def processes_about(path: Path) -> list[int]:
    """Return the processes with this path on their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if os.fsencode(path) in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue  # it has just ended
    return found


def wait_until_gone(path: Path) -> None:
    deadline = time.monotonic() + 10
    while processes_about(path) and time.monotonic() < deadline:
        time.sleep(0.005)
    assert processes_about(path) == []


def mounts() -> str:
    return Path("/proc/self/mounts").read_text()


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = "menuentry A { linux /k a=1; initrd /i; }\n"
    return grub_guest(tmp_path_factory.mktemp("guest"), config, k=os.urandom(3 << 20), i=os.urandom(1 << 20))


def one_kill(place: Path, guest: Path, chance: random.Random, longest: float) -> str:
    """Start pygrub, kill it at some moment, and look at what is there; return what happened."""
    image = place / "guest.img"  # a name of its own, by which its processes are known
    os.link(guest, image)
    folder, output = place / "d", place / "out"
    folder.mkdir()
    output.touch()
    restrict = ["--runas=54321"] if is_root() and chance.random() < 0.5 else []
    command = [*PYGRUB, *restrict, "-q", f"--output={output}", "--output-format=simple0"]
    command += [f"--output-directory={folder}", str(image)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    time.sleep(chance.uniform(0, longest))
    number = chance.choice([signal.SIGKILL] * 3 + [signal.SIGTERM])
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    status = process.returncode
    wait_until_gone(image)
    left = sorted(file.name for file in folder.iterdir())
    result = output.read_bytes()
    # Files may be there only when the answer was complete, and then those that it names, all of them.
    named = sorted(
        os.path.basename(record.split(b" ", 1)[1]).decode()
        for record in result.split(b"\0")
        if record.startswith((b"kernel ", b"ramdisk "))
    )
    assert left in ([], named)
    assert not left or (len(left) == 2 and result.endswith(b"\0\0"))
    assert status in (0, -number, 128 + number), said
    assert status != 0 or left == named
    assert sorted(file.name for file in place.iterdir()) == ["d", "guest.img", "out"]
    shutil.rmtree(place)
    return "done" if status == 0 else signal.Signals(number).name


def test_kills_at_random_moments(tmp_path: Path, guest: Path) -> None:
    before = mounts()
    (tmp_path / "out").mkdir()
    begun = time.monotonic()
    subprocess.run(
        [*PYGRUB, "-q", f"--output-directory={tmp_path / 'out'}", guest], capture_output=True, check=True
    )
    longest = (time.monotonic() - begun) * 2

    def kill(number: int) -> str:
        place = tmp_path / str(number)
        place.mkdir()
        chance = random.Random(SEED + number)  # noqa: S311
        return one_kill(place, guest, chance, longest)

    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(kill, range(KILLS)))
    assert len(outcomes) == KILLS
    assert mounts() == before
    counts = {name: outcomes.count(name) for name in sorted(set(outcomes))}
    print(f"{KILLS} kills, seed {SEED}: {counts}")


def test_killed_with_the_files_made_and_the_answer_half_written(tmp_path: Path, guest: Path) -> None:
    """The longest moment of danger: nobody reads the FIFO that the answer goes to."""
    fifo, out = tmp_path / "fifo", tmp_path / "out"
    os.mkfifo(fifo)
    out.mkdir()
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
    try:
        while os.write(writer, bytes(4096)):
            pass
    except BlockingIOError:
        pass
    image = tmp_path / "killed.img"
    os.link(guest, image)
    command = [*PYGRUB, "-q", f"--output={fifo}", f"--output-directory={out}", str(image)]
    process = subprocess.Popen(command, start_new_session=True)
    deadline = time.monotonic() + 30
    while len(list(out.iterdir())) < 2 and time.monotonic() < deadline:
        time.sleep(0.005)
    assert len(list(out.iterdir())) == 2
    assert len(processes_about(image)) == 2  # the guard, besides
    process.kill()
    process.wait(10)
    wait_until_gone(image)
    assert list(out.iterdir()) == []
    os.close(reader)
    os.close(writer)


def test_without_nameless_files_nothing_is_left_either(tmp_path: Path, guest: Path) -> None:
    """On file systems without O_TMPFILE the guard stands from the beginning."""
    out = tmp_path / "out"
    out.mkdir()
    image = tmp_path / "named.img"
    os.link(guest, image)
    patch = (
        "import os, sys, time; from pybootcfg.cli import outputs, pygrub;"
        "outputs.os.path.isdir = lambda p, was=os.path.isdir: p != '/proc/self/fd' and was(p);"
    )
    run = [*PYGRUB[:3], patch + "{0} sys.exit(pygrub.main())"]
    arguments = ["-q", f"--output-directory={out}", str(image)]
    done = subprocess.run([*run[:3], run[3].format(""), *arguments], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(list(out.iterdir())) == 2
    for file in out.iterdir():
        assert oct(file.stat().st_mode & 0o777) == "0o600"
        file.unlink()
    failing = "from pybootcfg.cli import reader; reader.read = lambda t: 1/0;"
    done = subprocess.run([*run[:3], run[3].format(failing), *arguments], capture_output=True, check=False)
    assert done.returncode == 1
    assert list(out.iterdir()) == []
    stuck = "from pybootcfg.cli import reader; reader.read = lambda t: time.sleep(60);"
    process = subprocess.Popen([*run[:3], run[3].format(stuck), *arguments])
    deadline = time.monotonic() + 30
    while len(list(out.iterdir())) < 2 and time.monotonic() < deadline:
        time.sleep(0.005)
    assert len(list(out.iterdir())) == 2
    process.kill()
    process.wait(10)
    wait_until_gone(image)
    assert list(out.iterdir()) == []
