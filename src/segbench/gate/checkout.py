"""A git checkout that is looked at, and left as it is: what it writes lies in folders of ours."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from segbench.errors import InputError
from segbench.measure.machine import git_variables

# What a user's configuration may add to the commands below: none of it has a place in a look.
_PLAIN = (
    "--no-optional-locks",
    *("-c", "core.fsmonitor=false"),
    *("-c", f"core.hooksPath={os.devnull}"),
)


def top(folder: Path) -> Path:
    """The top of the working tree that a folder lies in.

    Raises
    ------
    InputError
        If there is none, or no git.
    """
    return Path(_git(folder, "rev-parse", "--show-toplevel").removesuffix("\n"))


def commit(repository: Path, ref: str) -> str:
    """Full name of a commit, given by any name that git has for it.

    Raises
    ------
    InputError
        If there is no such commit.
    """
    try:
        return _git(repository, "rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}").strip()
    except InputError as error:
        raise InputError(
            f"{ref}: no such commit in {repository}; name one that git log --all shows, or "
            "fetch it first (a shallow clone has the newest alone: git fetch --unshallow)"
        ) from error


def changed(repository: Path) -> bool:
    """Whether the working tree differs from its commit; ignored files don't count."""
    return bool(_git(repository, "status", "--porcelain", "--untracked-files=all"))


def export_commit(repository: Path, name: str, folder: Path) -> None:
    """Write the files of a commit into a new folder, as a checkout would have them."""
    folder.mkdir(parents=True)
    index = folder.with_name(f"{folder.name}.index")
    _git(repository, "read-tree", name, index=index)
    _git(repository, "checkout-index", "--all", f"--prefix={folder}/", index=index)


def export_working_tree(repository: Path, folder: Path) -> None:
    """Copy the working tree into a new folder: with changes and new files, without ignored ones."""
    names = _git(repository, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    folder.mkdir(parents=True)
    for name in names.split("\0")[:-1]:
        source, target = repository / name, folder / name
        # Git still lists what was removed, and other repositories inside this one.
        if source.is_symlink() or source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target, follow_symlinks=False)


def _git(folder: Path, *arguments: str, index: Path | None = None) -> str:
    command = ("git", *_PLAIN, *arguments)
    own = {"GIT_INDEX_FILE": str(index)} if index else {}
    try:
        return subprocess.run(  # noqa: S603  (git, on arguments from above)
            command,
            cwd=folder,
            # What went wrong is looked for in git's own words.
            env={**git_variables(), "LC_ALL": "C", **own},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            check=True,
        ).stdout
    except FileNotFoundError as error:
        raise InputError("there is no git on this machine's PATH; install it") from error
    except subprocess.CalledProcessError as error:
        # The first complaint is the cause of those that follow.
        found = re.search(r"^(?:error|fatal): (.+)", error.stderr, re.MULTILINE)
        raise InputError(
            f"{folder}: {found[1] if found else 'git fails'}; a git checkout is needed where git "
            "status works"
        ) from error
