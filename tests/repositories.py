"""Git repositories for tests."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

# Whatever the machine's user has configured.
SETTINGS = (
    *("-c", "user.name=tester"),
    *("-c", "user.email=tester@localhost"),
    *("-c", "commit.gpgsign=false"),
    *("-c", "init.defaultBranch=main"),
    *("-c", "core.hooksPath="),
)


def git(folder: Path, *arguments: str) -> str:
    """Run git in a folder; what it prints."""
    command = ("git", *SETTINGS, *arguments)
    done = subprocess.run(  # noqa: S603  (git, on a test's own arguments)
        command, cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def grow(folder: Path, files: dict[str, str]) -> None:
    """Write files below a folder."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def commit(folder: Path, files: dict[str, str]) -> str:
    """Write files, and commit all that is there; the commit's name."""
    if not (folder / ".git").exists():
        git(folder, "init", "--quiet")
    grow(folder, files)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "a commit of a test")
    return git(folder, "rev-parse", "HEAD")


def everything(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Mode, time and content of all that a folder holds; of git's own files without the time."""
    found = {}
    for path in folder.rglob("*"):
        stat = path.lstat()
        if path.is_symlink():
            content = os.fsencode(path.readlink())
        else:
            content = path.read_bytes() if path.is_file() else b""
        name = path.relative_to(folder).as_posix()
        # Git marks what it meets again in its own folder as young, so that it is not swept up.
        time = 0 if name.startswith(".git/") else stat.st_mtime_ns
        found[name] = (stat.st_mode, time, content)
    return found
