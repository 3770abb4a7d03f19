"""The options of pygrub, taken apart as `getopt.gnu_getopt` takes them apart."""

from __future__ import annotations

import getopt
import os
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pybootcfg.cli import command_line
from pybootcfg.errors import UsageError

PIECES = st.sampled_from(
    [
        *(f"--{name.removesuffix('=')}" for name in command_line._LONG),
        *(
            "--output=x",
            "--out",
            "--outp=",
            "--quie",
            "--q",
            "--e=1",
            "--entry",
            "--debug=1",
            "--i",
            "--is",
            "--",
        ),
        *("-q", "-qi", "-ln", "-x", "-qx", "-", "a", "image", "", "--=", "--o=x", "-h", "--help"),
    ]
)


def outcome(function: Any, *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except (UsageError, getopt.GetoptError) as error:
        return str(error)


@given(st.lists(PIECES, max_size=6), st.booleans())
@settings(max_examples=2000)
def test_options_are_those_of_the_library(arguments: list[str], posix: bool) -> None:
    os.environ.pop("POSIXLY_CORRECT", None)
    if posix:
        os.environ["POSIXLY_CORRECT"] = "1"
    try:
        found = outcome(command_line._gnu_getopt, arguments)
        assert found == outcome(getopt.gnu_getopt, arguments, command_line._SHORT, command_line._LONG)
    finally:
        os.environ.pop("POSIXLY_CORRECT", None)
