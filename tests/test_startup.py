"""What pygrub imports to start, counted: times would say more of the machine than of the program."""

from __future__ import annotations

import json
import subprocess
import sys

#: each costs milliseconds, and nothing on the way of pygrub needs it
HEAVY = {
    "argparse",
    "ast",
    "construct",
    "dataclasses",
    "hashlib",
    "inspect",
    "lark",
    "pathlib",
    "rich",
    "shutil",
    "subprocess",
    "tempfile",
    "tokenize",
    "uuid",
}


def modules(statement: str) -> set[str]:
    """Return the modules that are there after a statement."""
    script = f"import json, sys; {statement}; print(json.dumps(list(sys.modules)))"
    return set(json.loads(subprocess.check_output([sys.executable, "-c", script])))


def test_the_process_that_parses_nothing_imports_little() -> None:
    # Some environments import more than others by themselves, such as for editable installs.
    loaded = modules("import pybootcfg.cli.pygrub") - modules("pass")
    assert not HEAVY & loaded
    assert len([name for name in loaded if name.startswith("pybootcfg")]) < 20
