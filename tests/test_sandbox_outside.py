"""What /proc shows of a reader that is locked in: what Linux itself says of each layer."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from hijack import make_readable_tree, make_stage, prepared
from toolstacks import is_root

pytestmark = pytest.mark.skipif(not is_root(), reason="root may look inside")

NAMESPACES = ("mnt", "net", "ipc", "uts", "cgroup", "user")
WAIT = 120.0  #: seconds

STAYS = "import time\ndef attack(task): time.sleep(60)"


class Process(NamedTuple):
    """What there is to see of a process."""

    status: dict[str, list[str]]
    limits: dict[str, list[str]]
    mounts: list[list[str]]
    namespaces: dict[str, str]
    owner: int

    @classmethod
    def of(cls, pid: int) -> Process:
        place = Path(f"/proc/{pid}")
        lines = (line.partition(":") for line in (place / "status").read_text().splitlines())
        limits = (place / "limits").read_text().splitlines()[1:]
        return cls(
            {name: value.split() for name, _, value in lines},
            {line[:26].strip(): line[26:].split()[:2] for line in limits},
            [line.split() for line in (place / "mountinfo").read_text().splitlines()],
            {
                name: os.readlink(place / "ns" / name)
                for name in ("mnt", "net", "ipc", "uts", "cgroup", "user")
            },
            (place / "environ").stat().st_uid,
        )


def locked_in(stage: Path, *arguments: str, user: tuple[str, Path] | None = None) -> Iterator[Process]:
    command, environment, options = prepared(stage, STAYS, *arguments, user=user)
    with subprocess.Popen(  # type: ignore[call-overload]
        command, env=environment, cwd="/", stderr=subprocess.PIPE, **options
    ) as parent:
        try:
            yield Process.of(waiting(parent))
        finally:
            parent.kill()


def waiting(parent: subprocess.Popen[bytes]) -> int:
    """The child of a process, once it sleeps behind its filter."""
    until = time.monotonic() + WAIT
    while time.monotonic() < until and parent.poll() is None:
        for child in Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split():
            status = Path(f"/proc/{child}/status").read_text()
            if "Seccomp:\t2" in status and "State:\tS" in status:
                return int(child)
        time.sleep(0.05)
    pytest.fail(f"no reader is locked in; pygrub: {parent.poll()}")


@pytest.fixture(scope="module")
def of_root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    yield from locked_in(make_stage(tmp_path_factory.mktemp("stage")))


@pytest.fixture(scope="module")
def of_a_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    tree = make_readable_tree(tmp_path_factory.mktemp("tree"))
    yield from locked_in(make_stage(tmp_path_factory.mktemp("stage")), user=tree)


@pytest.fixture(params=["root", "user"])
def reader(request: pytest.FixtureRequest) -> Process:
    name = "of_root" if request.param == "root" else "of_a_user"
    return request.getfixturevalue(name)  # type: ignore[no-any-return]


def test_no_capability_is_left(reader: Process) -> None:
    sets = {name: reader.status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")}
    assert sets == {name: ["0" * 16] for name in sets}
    assert reader.status["NoNewPrivs"] == ["1"]
    assert reader.status["Seccomp_filters"] == ["1"]


def test_it_has_namespaces_of_its_own(reader: Process, request: pytest.FixtureRequest) -> None:
    own = {name: os.readlink(f"/proc/self/ns/{name}") for name in reader.namespaces}
    shared = {name for name, namespace in reader.namespaces.items() if namespace == own[name]}
    assert shared == ({"user"} if "root" in request.node.name else set())


def test_its_root_is_empty_and_can_not_be_used(reader: Process) -> None:
    """proc_pid_mountinfo(5): root, place and options of the mount; type, source and options of its system."""
    ((_, _, _, root, place, options, *_, kind, source, whole),) = reader.mounts
    assert (root, place, kind, source) == ("/", "/", "tmpfs", "none")
    assert {"ro", "nosuid", "nodev", "noexec"} <= set(options.split(","))
    assert {"ro", "size=4k", "nr_inodes=2", "mode=555"} <= set(whole.split(","))


def test_nothing_that_it_mounts_comes_to_the_host(of_root: Process) -> None:
    """The mount is private: no peer group that it would propagate to, or be told by."""
    assert not any(word.startswith(("shared:", "master:")) for mount in of_root.mounts for word in mount)
    assert "none" not in {line.split()[0] for line in Path("/proc/self/mounts").read_text().splitlines()}


def test_nobody_has_no_groups_and_is_not_dumpable(of_root: Process) -> None:
    """The files in /proc of a process that is dumpable belong to its user, of others to root."""
    assert (of_root.status["Uid"], of_root.status["Gid"]) == (["65534"] * 4, ["65534"] * 4)
    assert of_root.status["Groups"] == []
    assert of_root.owner == 0


def test_limits_are_the_kernels(reader: Process) -> None:
    limits = {name: hard for name, (_, hard) in reader.limits.items()}
    assert limits["Max address space"] == str(256 << 20)
    assert limits["Max data size"] == str(96 << 20)
    assert limits["Max file size"] == str(1 << 30)
    assert (limits["Max core file size"], limits["Max processes"]) == ("0", "0")
    assert (limits["Max locked memory"], limits["Max msgqueue size"]) == ("0", "0")
