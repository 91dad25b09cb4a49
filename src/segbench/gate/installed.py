"""What is installed here, and how pip is told to install the same elsewhere."""

from __future__ import annotations

import json
import re
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from importlib.metadata import Distribution


def distributions() -> dict[str, Distribution]:
    """What this interpreter finds, by canonical names."""
    found: dict[str, Distribution] = {}
    for each in metadata.distributions():
        told = each.metadata
        # An installation that was cut short leaves metadata without a name or version, and other
        # packagers than pip make versions that pip can't read.
        if "Name" in told and "Version" in told and _is_version(told["Version"]):
            # Of two by one name, the first is the one that is imported.
            found.setdefault(canonicalize_name(told["Name"]), each)
    return found


def constraints(installed: Mapping[str, Distribution], packages: Iterable[str]) -> dict[str, str]:
    """Lines of a constraints file by name, which give what is installed here, but for segbench.

    What some packages need and was installed from a URL or a folder, such as a library that is
    worked at, comes from there again; what they don't need is left out in that case.

    Parameters
    ----------
    installed : mapping
        From `distributions`.
    packages : iterable of str
        As requirements; segbench is one.
    """
    needed = _needed(installed, packages)
    lines: dict[str, str] = {}
    for name, each in installed.items():
        url = origin(each)
        if name != "segbench" and (name in needed or not url):
            lines[name] = f"{name} @ {url}" if url else f"{name}=={each.version}"
    return lines


def origin(distribution: Distribution) -> str:
    """URL that a distribution was installed from; empty for one from a package index."""
    direct = distribution.read_text("direct_url.json")
    if not direct:
        return ""
    url = url_of(json.loads(direct))
    path = path_of(url)
    # conda names the folder in which its builders once worked.
    return "" if path and not path.exists() else url


def url_of(direct: Mapping[str, Any]) -> str:
    """URL for pip from what it records of a source.

    The record's form is that of ``direct_url.json`` (PEP 610).
    """
    url, fragments = direct["url"], []
    if vcs := direct.get("vcs_info"):
        url = f"{vcs['vcs']}+{url}@{vcs['commit_id']}"
    if digest := direct.get("archive_info", {}).get("hash"):
        fragments.append(digest)
    if folder := direct.get("subdirectory"):
        fragments.append(f"subdirectory={folder}")
    return f"{url}#{'&'.join(fragments)}" if fragments else url


def path_of(url: str) -> Path | None:
    """Path of the file or folder here that a URL names; None for other URLs."""
    parts = urlsplit(url)
    return Path(url2pathname(parts.path)) if parts.scheme == "file" else None


def _needed(installed: Mapping[str, Distribution], packages: Iterable[str]) -> set[str]:
    """Names of what some packages may require, at any remove, with whichever extras."""
    found: set[str] = set()
    ahead = ["segbench", *packages]
    while ahead:
        # Old requirements have other forms than today's, but all start with a name.
        match = re.match(r"[\w.-]+", ahead.pop())
        name = canonicalize_name(match[0]) if match else ""
        if name in installed and name not in found:
            found.add(name)
            ahead += installed[name].requires or ()
    return found


def _is_version(text: str) -> bool:
    try:
        Version(text)
    except InvalidVersion:
        return False
    return True
