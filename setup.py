"""Build step: lower the schemas, compute the parser tables, compile the code, so that start-up need not."""

import os
import sys

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildPrepared(build_py):
    """Builds the package, then adds what is prepared from its schemas and grammars."""

    def run(self) -> None:
        """Copy the modules, then prepare from the copies."""
        super().run()
        if self.editable_mode:
            return
        sys.path.insert(0, os.path.abspath(self.build_lib))
        from pybootcfg import bytecode, schema, tables

        prepared = os.path.join(self.build_lib, "pybootcfg", "prepared")
        for kind, source in (("format", schema), ("grammar", tables)):
            for name in source.names():
                with open(os.path.join(prepared, f"{kind}_{name}.py"), "w", encoding="utf-8") as out:
                    out.write(source.prepare(name))
        for name in (bytecode.COMMON, bytecode.RARE):
            with open(os.path.join(prepared, name), "wb") as code:
                code.write(bytecode.prepare(name))


setup(cmdclass={"build_py": BuildPrepared})
