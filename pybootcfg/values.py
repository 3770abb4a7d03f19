"""Values: named tuples whose classes are quick to make, and what else declarations of types need.

A type checker sees the names of `typing`.  At run time importing `typing` takes about as long as reading
a guest's configuration, and `typing.NamedTuple` compiles a constructor for each of some hundred classes.
"""

from __future__ import annotations

__all__ = ["TYPE_CHECKING", "IntEnum", "NamedTuple", "Protocol", "StrEnum", "named_tuple"]

#: type checkers take it for true, by its name
TYPE_CHECKING = False

if TYPE_CHECKING:
    from enum import IntEnum, StrEnum
    from typing import Any, NamedTuple, Protocol
else:
    from _collections import _tuplegetter

    class Protocol:
        """The base of protocols, which nobody asks anything at run time."""

    class _EnumType(type):
        """Makes what a class assigns to its names the members of the class."""

        def __init__(cls, name, bases, namespace):
            super().__init__(name, bases, namespace)
            cls._members = {key: cls(value) for key, value in namespace.items() if not key.startswith("_")}
            for key, member in cls._members.items():
                member.name, member.value = key, namespace[key]
                setattr(cls, key, member)

        def __iter__(cls):
            return iter(cls._members.values())

    def _shown(member):
        return f"<{type(member).__name__}.{member.name}: {member.value!r}>"

    class StrEnum(str, metaclass=_EnumType):
        """Strings of which each member is there once, so that `is` tells them apart."""

        __repr__ = _shown

    class IntEnum(int, metaclass=_EnumType):
        """Numbers, likewise."""

        __repr__ = _shown
        __str__ = int.__repr__

    class _NamedTupleType(type):
        """Makes the annotations of a class the fields of a tuple."""

        def __new__(cls, name, bases, namespace):
            fields = tuple(namespace.get("__annotations__", ()))
            namespace["__slots__"] = ()
            if fields:
                defaults = {field: namespace[field] for field in fields if field in namespace}
                namespace |= {field: _tuplegetter(index, None) for index, field in enumerate(fields)}
                namespace |= {"_fields": fields, "_field_defaults": defaults, "__match_args__": fields}
            return super().__new__(cls, name, bases, namespace)

    class NamedTuple(tuple, metaclass=_NamedTupleType):
        """A tuple with a name for each place; what it can do, `collections.namedtuple` can do, too."""

        def __new__(cls, *values, **named):  # noqa: D102
            if named or len(values) != len(cls._fields):
                values = cls._completed(values, named)
            return tuple.__new__(cls, values)

        @classmethod
        def _completed(cls, values, named):
            rest = cls._fields[len(values) :]
            given = cls._field_defaults | named
            missing = [field for field in rest if field not in given]
            if missing or len(values) > len(cls._fields) or not named.keys() <= set(rest):
                raise TypeError(f"{cls.__name__} has the fields {cls._fields}, not {len(values)} and {named}")
            return values + tuple(given[field] for field in rest)

        @classmethod
        def _make(cls, values):
            return cls(*values)

        def _replace(self, **named):
            return type(self)(**(self._asdict() | named))

        def _asdict(self):
            return dict(zip(self._fields, self, strict=True))

        def __getnewargs__(self):
            return tuple(self)

        def __repr__(self):
            shown = ", ".join(f"{field}={value!r}" for field, value in self._asdict().items())
            return f"{type(self).__name__}({shown})"


def named_tuple(name: str, fields: list[str]) -> Any:
    """Return a class of named tuples whose fields may have any names, such as `class` or `_reserved`.

    >>> named_tuple("entry", ["class", "size"])(3, size=5)
    entry(class=3, size=5)
    """
    make: Any = type(NamedTuple)
    return make(name, (NamedTuple,), {"__annotations__": dict.fromkeys(fields), "__module__": __name__})
