"""Commands that set the passwords of users.  Nobody is asked here; the terminal does that.

GNU GRUB Manual, section "Using GRUB's authentication and authorisation".
"""

from __future__ import annotations

from pybootcfg import limits
from pybootcfg.dialects.grub2.failure import Failure, Status
from pybootcfg.dialects.grub2.interpreter import Call, Command, Interpreter
from pybootcfg.menu import Password, Scheme
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_PBKDF2 = "grub.pbkdf2.sha512."


def _sets(scheme: Scheme) -> Callable[[Interpreter, Call], None]:
    def set_password(interpreter: Interpreter, call: Call) -> None:
        if len(call.words) != 2:
            raise Failure(Status.BAD_ARGUMENT, "two arguments expected")
        user, secret = call.words
        if scheme is Scheme.PBKDF2 and not secret.startswith(_PBKDF2):
            raise Failure(Status.BAD_ARGUMENT, "invalid PBKDF2 password")
        passwords = interpreter.menus.passwords
        limits.GRUB_VARIABLES.check(len(passwords) + 1, "passwords")
        passwords[user] = Password(user, scheme, secret)

    return set_password


COMMANDS: dict[str, Command] = {
    "password": Command(_sets(Scheme.PLAIN), yields=True),
    "password_pbkdf2": Command(_sets(Scheme.PBKDF2), yields=True),
}
