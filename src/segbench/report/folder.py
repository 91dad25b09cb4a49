"""The folder of a report: an earlier report in it is replaced, and nothing that is somebody's own."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from segbench import files
from segbench.errors import InputError
from segbench.results import untrusted

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# Names the files of a report, beside them.
LIST = ".segbench-report.json"

INDEX = "index.html"

# What a report of a version without such a list begins with.
OWN_TITLE = b"<title>segbench"

LONGEST = 200  # letters of a name: longer ones no file system has

# What a list may name: it may be somebody else's.
LISTED = re.compile(r"index\.html|report\.md|tables/[^/]+\.csv|figures/[^/]+\.(svg|png)")


def write(out: Path, contents: Mapping[str, bytes]) -> Path:
    """Write the files of a report, each in one step, and remove what an earlier one had beside them.

    Parameters
    ----------
    out : Path
        Folder; made if it is not there.
    contents : mapping of str to bytes
        By their paths in it, ``index.html`` among them.

    Returns
    -------
    Path
        Of ``index.html``.

    Raises
    ------
    InputError
        If the folder is a link or holds one in the place of a report's, something else is in such a place, or
        a file would be overwritten that is no report's. Nothing is written then.
    """
    places = {name: out / name for name in (LIST, *contents)}
    folders = {out, *(path.parent for path in places.values())}
    for path in {*folders, *places.values()}:
        if path.is_symlink():
            raise InputError(f"{path}: is a link; give a folder without links as --out")
        if path.exists() and not (path.is_dir() if path in folders else path.is_file()):
            raise InputError(f"{path}: is in the way of the report; give another --out")
    earlier = _earlier(out)
    for name, path in places.items():
        if path.exists() and not (earlier is None or name in earlier):
            raise InputError(f"{path}: is no file of a report of segbench; give another --out")
    for path in (out / name for name in {*(earlier or ())} - {*places}):
        if path.is_file() and not (path.is_symlink() or path.parent.is_symlink()):
            path.unlink()
    # First, and with those that are to come: whatever ends this, the next report may replace it.
    files.write_text(places[LIST], json.dumps([*places], indent=1))
    for name, content in contents.items():
        files.write_bytes(places[name], content)
    return places[INDEX]


def _earlier(out: Path) -> set[str] | None:
    """The files of the report that is there; None where it has a report without a list."""
    try:
        listed = json.loads(untrusted.read_bytes(out / LIST)) if (out / LIST).exists() else []
    except (InputError, ValueError, RecursionError):
        listed = []
    if isinstance(listed, list) and listed:
        named = (name for name in listed if isinstance(name, str) and name.isprintable())
        names = {name for name in named if len(name) < LONGEST and LISTED.fullmatch(name)}
        return {LIST, *names}
    index = out / INDEX
    if index.is_file() and OWN_TITLE in untrusted.read_bytes(index)[:2000]:
        return None
    return set()
