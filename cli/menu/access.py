"""Who may do what: the users and passwords of a configuration.

GNU GRUB Manual, section "Using GRUB's authentication and authorisation": with superusers set, only
they may edit entries and use the command line; a restricted entry is for them and for its own users.
"""

from __future__ import annotations

from pybootcfg.cli import passwords
from pybootcfg.menu import Item, Menu


class Access:
    """What the person at the terminal may do, given whom they have shown to be."""

    def __init__(self, menu: Menu) -> None:
        self._superusers = menu.superusers
        self._passwords = menu.passwords
        self._named = menu.dialect == "grub2"
        self._user: str | None = None

    @property
    def asks_for_user(self) -> bool:
        """Whether a name has to be typed too; elsewhere than in GRUB 2 a password says whose it is."""
        return self._named

    @property
    def locked(self) -> bool:
        """Whether entries can only be booted, not edited."""
        return self._superusers is not None and self._user not in self._superusers

    def may_open(self, item: Item) -> bool:
        """Tell whether an entry may be booted, or a submenu looked into."""
        if not item.restricted or (self._superusers is None and not self._passwords):
            return True  # or the dialect does not say what the password would be
        return self._user in (*(self._superusers or ()), *item.users)

    def unlock(self, typed: str, user: str | None, item: Item | None) -> bool:
        """Take a password, which may be wanted for an item; return whether it is right.

        Raises BootcfgError for a password that is malformed in the configuration.
        """
        for password in self._passwords:
            if user is None:
                wanted = password.user in (self._superusers or ()) or (item and password.user in item.users)
            else:
                wanted = password.user == user
            if wanted and passwords.matches(password, typed):
                self._user = password.user
                return True
        return False
