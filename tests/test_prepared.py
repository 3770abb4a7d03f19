"""What the build prepared is what the sources give now."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

import pybootcfg.formats
import pybootcfg.prepared
from pybootcfg import schema

FORMATS = sorted(file.stem for file in Path(pybootcfg.formats.__path__[0]).glob("[!_]*.py"))
PREPARED = Path(pybootcfg.prepared.__path__[0])

installed = pytest.mark.skipif(
    not list(PREPARED.glob("format_*.py")), reason="run from the sources, where nothing is prepared"
)


@installed
@pytest.mark.parametrize("name", FORMATS)
def test_a_format_is_current(name: str) -> None:
    assert (PREPARED / f"format_{name}.py").read_text() == schema.prepare(name)


@installed
def test_nothing_else_is_prepared() -> None:
    assert sorted(file.stem.removeprefix("format_") for file in PREPARED.glob("format_*.py")) == FORMATS


@pytest.mark.parametrize("name", FORMATS)
def test_a_prepared_format_says_what_its_module_says(name: str, tmp_path: Path) -> None:
    """No constant is left out, and every plan gives the size of its schema."""
    file = tmp_path / "prepared.py"
    file.write_text(schema.prepare(name))
    spec = importlib.util.spec_from_file_location("prepared", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    source = importlib.import_module(f"pybootcfg.formats.{name}")
    for key, value in module.CONSTANTS.items():
        assert value == getattr(source, key)
    constants = {key for key in vars(source) if key.isupper()} - {"UUID"} - module.PLANS.keys()
    assert constants <= module.CONSTANTS.keys()
    for key, plan in module.PLANS.items():
        fresh = schema.Decoder(key, getattr(source, key))
        if plan is None:
            with pytest.raises(TypeError):
                _ = fresh.size
        else:
            assert schema.Decoder(key, schema.Prepared(name, key, schema._plan(plan))).size == fresh.size
