"""Paths as users write them."""

import os

from .errors import InputError


def expand(path: str | os.PathLike[str]) -> str:
    """Return a path with the home folder in place of a leading `~`.

    Raises:
      InputError: there is no home folder.

    >>> expand("folder/~/file")
    'folder/~/file'
    """
    name = os.path.expanduser(os.fspath(path))
    if name == "~" or name.startswith("~/"):
        raise InputError(f"{name}: the home folder is not known; set HOME, or write the folder out")
    return name


def shorten(name: str) -> str:
    """Return the beginning of a file name, to make another of it that no disk finds too long."""
    return os.fsencode(name)[:64].decode(errors="ignore")
