"""Passwords of boot menus: whether what somebody typed is what the configuration wants.

GNU GRUB Manual, sections `password` and `password_pbkdf2`; GNU GRUB Legacy Manual, `password --md5`;
crypt(5) for `$1$`, `$5$` and `$6$`.  Python has had no crypt since 3.13, so passlib's interface is used:
libpass provides it, is kept, needs no compiler and no shared library; the older passlib will do as well.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac

from pybootcfg import limits
from pybootcfg.errors import ConfigError, UnsupportedFeature
from pybootcfg.menu import Password, Scheme
from pybootcfg.values import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from typing import Any

_PBKDF2 = "grub.pbkdf2.sha512."
_HASH_SIZE = 1024  # bytes; grub-mkpasswd-pbkdf2 makes 64 of salt and hash each unless told otherwise


class _Pbkdf2(NamedTuple):
    iterations: int
    salt: bytes
    digest: bytes


def matches(password: Password, typed: str) -> bool:
    """Tell whether `typed` is the password, in a time that does not tell how nearly.

    Raises ConfigError for a secret that is malformed, UnsupportedFeature for one that is written in a
    form that is not known, and LimitExceeded for one that takes too long to check.
    """
    given = typed.encode("utf-8", "surrogateescape")
    if password.scheme is Scheme.PLAIN:
        return hmac.compare_digest(given, password.secret.encode("utf-8", "surrogateescape"))
    if password.scheme is Scheme.PBKDF2:
        wanted = _pbkdf2(password.secret)
        size = len(wanted.digest)
        digest = hashlib.pbkdf2_hmac("sha512", given, wanted.salt, wanted.iterations, size)
        return hmac.compare_digest(digest, wanted.digest)
    return _crypt_matches(password.secret, given)


def prepare() -> None:
    """Import what `matches` needs, for a process that is about to give up opening files."""
    with contextlib.suppress(UnsupportedFeature):  # said when such a password is met
        _crypt_handlers()
    hashlib.pbkdf2_hmac("sha512", b"", b"", 1)


def _pbkdf2(secret: str) -> _Pbkdf2:
    """Read `grub.pbkdf2.sha512.ITERATIONS.SALT.HASH`, salt and hash in hexadecimal."""
    fields = secret.removeprefix(_PBKDF2).split(".")
    try:
        iterations, salt, digest = fields
        wanted = _Pbkdf2(int(iterations[:10]), bytes.fromhex(salt), bytes.fromhex(digest))
    except ValueError:
        wanted = _Pbkdf2(0, b"", b"")
    if not secret.startswith(_PBKDF2) or wanted.iterations < 1 or not 0 < len(wanted.digest) <= _HASH_SIZE:
        raise ConfigError("the password in the configuration is no grub.pbkdf2.sha512 hash")
    limits.PASSWORD_ROUNDS.check(wanted.iterations)
    return wanted


def _crypt_matches(secret: str, given: bytes) -> bool:
    handler = next((found for prefix, found in _crypt_handlers().items() if secret.startswith(prefix)), None)
    if handler is None:
        raise UnsupportedFeature(
            "crypt", "the password in the configuration is hashed in a way not known here"
        )
    try:
        limits.PASSWORD_ROUNDS.check(getattr(handler.from_string(secret), "rounds", 0))
        return bool(handler.verify(given, secret))
    except (ValueError, TypeError):  # passlib's own errors derive from these
        raise ConfigError("the password in the configuration is no hash of crypt(5)") from None


def _crypt_handlers() -> dict[str, Any]:
    try:
        from passlib.handlers.md5_crypt import md5_crypt
        from passlib.handlers.sha2_crypt import sha256_crypt, sha512_crypt
    except ImportError:
        raise UnsupportedFeature(
            "crypt", "a password of this kind needs the Python package libpass", hint="pip install libpass"
        ) from None
    return {"$1$": md5_crypt, "$5$": sha256_crypt, "$6$": sha512_crypt}
