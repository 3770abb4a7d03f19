"""As much of JSON Schema (2020-12) as the project's own schema uses; an unknown keyword is an error."""

from __future__ import annotations

import re
from typing import Any

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "boolean": (bool,),
    "null": (type(None),),
}
_WORDS = {"$schema", "title", "description", "$defs"}


def check(value: Any, schema: dict[str, Any], whole: dict[str, Any] | None = None, where: str = "$") -> None:
    """Raise AssertionError where a value does not fit."""
    whole = whole or schema
    for keyword, rule in schema.items():
        if keyword == "$ref":
            check(value, whole["$defs"][rule.removeprefix("#/$defs/")], whole, where)
        elif keyword == "const":
            assert value == rule, f"{where}: {value!r} is not {rule!r}"
            assert type(value) is type(rule), where
        elif keyword == "type":
            names = [rule] if isinstance(rule, str) else rule
            fits = any(
                isinstance(value, _TYPES[name]) and (name == "boolean" or not isinstance(value, bool))
                for name in names
            )
            assert fits, f"{where}: {value!r} is no {rule}"
        elif keyword == "minimum":
            assert value is None or value >= rule, f"{where}: {value} < {rule}"
        elif keyword == "pattern":
            assert re.search(rule, value), f"{where}: {value!r} does not match"
        elif keyword == "required":
            assert set(rule) <= value.keys(), f"{where}: {set(rule) - value.keys()} missing"
        elif keyword == "properties":
            for name in rule.keys() & value.keys():
                check(value[name], rule[name], whole, f"{where}.{name}")
        elif keyword == "additionalProperties":
            assert rule is False
            assert value.keys() <= schema["properties"].keys(), f"{where}: {value.keys()}"
        elif keyword == "items":
            for index, item in enumerate(value):
                check(item, rule, whole, f"{where}[{index}]")
        else:
            assert keyword in _WORDS, f"{keyword} is not known here"
