"""Build step: lower the schemas and compute the parser tables, so that what is installed need not."""

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
        from pybootcfg import grammar, schema

        package = os.path.join(self.build_lib, "pybootcfg")
        grammar.prepare(os.path.join(package, "grammars"))
        for file in sorted(os.listdir(os.path.join(package, "formats"))):
            name, extension = os.path.splitext(file)
            if extension == ".py" and not name.startswith("_"):
                path = os.path.join(package, "prepared", f"format_{name}.py")
                with open(path, "w", encoding="utf-8") as out:
                    out.write(schema.prepare(name))


setup(cmdclass={"build_py": BuildPrepared})
