"""Counts the structures of ext that are decoded one by one."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pybootcfg.schema import Decoder, load

#: what makes a decoder's functions, which it keeps
WAYS = {name: Decoder.__dict__[name] for name in ("decode", "unpack")}


@contextmanager
def decodings() -> Iterator[Counter[str]]:
    """Count, by the structure's name, until the end of the block."""
    counts: Counter[str] = Counter()

    def counting(make: Callable[[Decoder], Any]) -> Callable[[Decoder], Any]:
        def made(decoder: Decoder) -> Any:
            function = make(decoder)

            def counted(*arguments: Any, **named: Any) -> Any:
                counts[decoder.name] += 1
                return function(*arguments, **named)

            return counted

        return made

    for name, way in WAYS.items():
        counter = functools.cached_property(counting(way.func))
        counter.__set_name__(Decoder, name)
        setattr(Decoder, name, counter)
    _forget()
    try:
        yield counts
    finally:
        for name, way in WAYS.items():
            setattr(Decoder, name, way)
        _forget()


def _forget() -> None:
    for decoder in vars(load("ext")).values():
        if isinstance(decoder, Decoder):
            for name in WAYS:
                vars(decoder).pop(name, None)
