"""Every case of tests/corpus/hostile, each named by a fault that there was: an answer or a clear error.

What fuzzing finds is kept there, made as small as it gets (`python fuzz --minimise`); a case says which
seed it changes and how, or holds the text.  fuzz/replay.py runs them under the contract of fuzz/contract.py.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
CASES = sorted((ROOT / "tests/corpus/hostile").glob("*.json"))

SECONDS = 10.0  #: of processor time
MEMORY = 128 << 20  #: bytes that the process may grow by


@pytest.fixture(scope="session")
def outcomes() -> dict[str, dict[str, Any]]:
    """What came of every case, by the file's name; all in one process, one after the other."""
    command = [sys.executable, str(ROOT / "fuzz"), "--replay", *map(str, CASES)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) == len(CASES), done.stderr[-3000:]
    return {row["file"]: row for row in rows}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_hostile_case(outcomes: dict[str, dict[str, Any]], case: Path) -> None:
    outcome = outcomes[case.name]
    assert outcome["fault"] == "", outcome["trace"]
    assert outcome["seconds"] <= SECONDS
    assert outcome["memory"] <= MEMORY


@pytest.mark.parametrize("way", range(1, 4))
def test_what_is_no_fault_is_none(way: int, tmp_path: Path) -> None:
    """Disks with a byte changed and every checksum held: walked, booted, inspected."""
    files = []
    for target, seed in (("exfat", "fat/exfat.img.xz"), ("ext", "ext/ext4-inline.img.xz")):
        files.append(tmp_path / f"{target}.json")
        case = {"target": target, "seed": seed, "size": None, "flags": 1 + 2 * way}
        files[-1].write_text(json.dumps({**case, "edits": [["0x438", "ff"]]}))
    command = [sys.executable, str(ROOT / "fuzz"), "--replay", *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert [json.loads(line)["fault"] for line in done.stdout.splitlines()] == [""] * len(files), done.stderr
    assert done.returncode == 0


EVERY_START = """
import registry
for name, target in registry.TARGETS.items():
    target.prepare()
    for data in target.starts():
        target.run(data)
    print(name)
"""


def test_every_target_starts() -> None:
    """As `make fuzz` starts them, with what it remembers, but without counting edges."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "fuzz")}
    command = [sys.executable, "-P", "-c", EVERY_START]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.split()) == 20


def test_a_fault_is_seen(tmp_path: Path) -> None:
    """The judge itself: a case that asks for what is not there is named, with the place."""
    case = tmp_path / "case.json"
    case.write_text(json.dumps({"target": "grub2", "fault": "", "text": [["a", 1, 2]]}))
    command = [sys.executable, str(ROOT / "fuzz"), "--replay", str(case)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    row = json.loads(done.stdout)
    assert done.returncode == 1
    assert row["fault"].startswith("ValueError")
