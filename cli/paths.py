"""Places on the command line: `p1:/path`, `d2p1:/path`, `p1[dataset]:/path`, `/path`."""

from __future__ import annotations

from pybootcfg.boot import find_configuration
from pybootcfg.errors import UsageError, printable
from pybootcfg.filesystems.base import Filesystem, Node
from pybootcfg.guest import Guest, GuestVolume
from pybootcfg.menu import FileRef
from pybootcfg.values import NamedTuple


class Located(NamedTuple):
    """A place that exists: the volume, its file system, the root that paths start from, and the node."""

    volume: GuestVolume
    filesystem: Filesystem
    root: Node
    path: str
    node: Node


def locate(guest: Guest, place: str, *, follow: bool = True) -> Located:
    """Find a place; raise UsageError, GuestFileMissing, or what the file system raises.

    Without a volume the path is on the volume whose configuration is used, else on the only one.
    """
    name, colon, path = place.partition("]:") if "[" in place.partition(":")[0] else place.partition(":")
    if colon and not name.startswith("/"):
        volume = guest.volume(name + colon[:-1])
    elif "[" in name.partition("/")[0]:
        raise UsageError(f"{printable(place)}: p1[NAME]:/path wanted")
    else:
        volume, path = _default_volume(guest), place
    path = "/" + path.strip("/")
    node = guest.node(FileRef(path, volume.name), follow=follow)
    return Located(volume, volume.filesystem, volume.root, path, node)


def _default_volume(guest: Guest) -> GuestVolume:
    configuration = find_configuration(guest)
    if configuration:
        return guest.volume(configuration.file.volume)
    readable = [volume for volume in guest.listed if volume.mountable]
    if len(readable) == 1 or len(guest.listed) == 1:
        return (readable or guest.listed)[0]
    names = ", ".join(volume.name for volume in guest.listed)
    raise UsageError("no volume has a boot configuration", hint=f"name one: {names or 'there is none'}")
