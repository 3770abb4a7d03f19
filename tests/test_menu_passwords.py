"""Passwords of menus, against those who make them: grub-mkpasswd-pbkdf2, openssl, mkpasswd."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from pybootcfg import limits
from pybootcfg.cli.passwords import matches
from pybootcfg.errors import ConfigError, LimitExceeded, UnsupportedFeature
from pybootcfg.menu import Password, Scheme


def crypt(secret: str) -> Password:
    return Password("", Scheme.CRYPT, secret)


def pbkdf2(secret: str) -> Password:
    return Password("root", Scheme.PBKDF2, secret)


LONG = "a very much longer text to encrypt.  This one even stretches over morethan one line."
# made by mkpasswd(1) with libxcrypt; those of SHA are the test vectors of Ulrich Drepper's "SHA-crypt" too
VECTORS = [
    ("$1$saltsalt$le8lFSqqnPaRFOlmAZpvH1", "Hello world!"),
    ("$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5", "Hello world!"),
    ("$5$rounds=10000$saltstringsaltst$3xv.VbSHBb41AL9AvLeujZkZRBAwqFMz2.opqey6IcA", "Hello world!"),
    (
        "$6$saltstring$"
        "svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1",
        "Hello world!",
    ),
    (
        "$6$rounds=1400$anotherlongsalts$"
        "POfYwTEok97VWcjxIiSOjiykti.o/pQs.wPvMxQ6Fm7I6IoYN3CmLs66x9t0oSwbtEW7o7UmJEiDwGqd8p4ur1",
        LONG,
    ),
]


@pytest.mark.parametrize(("secret", "password"), VECTORS)
def test_known_hashes(secret: str, password: str) -> None:
    assert matches(crypt(secret), password)
    assert not matches(crypt(secret), password[:-1])


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl hashes the passwords")
@pytest.mark.parametrize("kind", ["-1", "-5", "-6"])
@pytest.mark.parametrize("password", ["geheim", "x", "mit Leerzeichen", "é漢字", "long" * 30])
def test_crypt(kind: str, password: str) -> None:
    done = subprocess.run(
        ["openssl", "passwd", kind, "-stdin"], input=password, capture_output=True, text=True, check=True
    )
    secret = done.stdout.strip()
    assert matches(crypt(secret), password)
    assert not matches(crypt(secret), password + "x")
    assert not matches(crypt(secret), "")


@pytest.mark.skipif(not shutil.which("grub-mkpasswd-pbkdf2"), reason="it hashes the passwords")
@pytest.mark.parametrize("options", [[], ["-c", "1000", "-s", "16", "-l", "20"]])
def test_pbkdf2(options: list[str]) -> None:
    command = ["grub-mkpasswd-pbkdf2", *options]
    typed = "geheim\ngeheim\n"
    done = subprocess.run(command, input=typed, capture_output=True, text=True, check=True)
    secret = done.stdout.split()[-1]
    assert matches(pbkdf2(secret), "geheim")
    assert not matches(pbkdf2(secret), "Geheim")


def test_plain() -> None:
    password = Password("root", Scheme.PLAIN, "$1$looks$hashed")
    assert matches(password, "$1$looks$hashed")
    assert not matches(password, "looks")
    assert matches(Password("", Scheme.PLAIN, "\udcff"), "\udcff")


@pytest.mark.parametrize(
    "secret",
    [
        "grub.pbkdf2.sha512.10000.AB",
        "grub.pbkdf2.sha512.0.AB.CD",
        "grub.pbkdf2.sha512.-1.AB.CD",
        "grub.pbkdf2.sha512.10000.XY.CD",
        "grub.pbkdf2.sha512.10000.AB.",
        "grub.pbkdf2.sha512.10000.AB." + "CD" * 2000,
        "grub.pbkdf2.sha256.10000.AB.CD",
        "",
    ],
)
def test_malformed_pbkdf2(secret: str) -> None:
    with pytest.raises(ConfigError):
        matches(pbkdf2(secret), "x")


@pytest.mark.parametrize(
    "secret", ["$1$", "$5$a", "$6$salt$short", "$6$rounds=x$a$b", "$5$é$\udc80", "$1$a$b$c$d"]
)
def test_malformed_crypt(secret: str) -> None:
    with pytest.raises(ConfigError):
        matches(crypt(secret), "x")


@pytest.mark.parametrize("secret", ["", "plain", "$y$j9T$x$y", "$2b$10$" + "a" * 53, "$4$x$y"])
def test_unknown_forms_are_named(secret: str) -> None:
    with pytest.raises(UnsupportedFeature, match="not known"):
        matches(crypt(secret), "x")


def test_work_is_limited() -> None:
    most = limits.PASSWORD_ROUNDS.value
    with pytest.raises(LimitExceeded):
        matches(pbkdf2(f"grub.pbkdf2.sha512.{most + 1}.AB.CD"), "x")
    with pytest.raises(LimitExceeded):
        matches(crypt(f"$6$rounds={most + 1}$salt$" + "a" * 86), "x")


def test_the_secret_is_not_shown() -> None:
    assert "geheim" not in repr(Password("root", Scheme.PLAIN, "geheim"))
