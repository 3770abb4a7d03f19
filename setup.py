"""Build step: have Lark compute the parser tables, so that what is installed need not."""

import os
import sys

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithTables(build_py):
    """Builds the package, then writes the tables of its grammars beside them."""

    def run(self) -> None:
        """Copy the modules, then prepare the tables from the copies."""
        super().run()
        if not self.editable_mode:
            sys.path.insert(0, os.path.abspath(self.build_lib))
            from pybootcfg import grammar

            grammar.prepare(os.path.join(self.build_lib, "pybootcfg", "grammars"))


setup(cmdclass={"build_py": BuildWithTables})
