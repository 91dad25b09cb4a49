"""A git checkout that is looked at, and left as it is."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from segbench.errors import InputError
from segbench.measure.machine import git_variables

if TYPE_CHECKING:
    from collections.abc import Iterator

# What a user's configuration may add to the commands below: none of it has a place in a look.
_PLAIN = (
    *("-c", "core.fsmonitor=false"),
    *("-c", "core.splitIndex=false"),
    *("-c", f"core.hooksPath={os.devnull}"),
)


@dataclass(frozen=True, kw_only=True)
class Content:
    """The files of a repository at one moment.

    Attributes
    ----------
    tree : str
        Git's name for them: a hash of their names and contents.
    commit : str
        Full name of the commit that they are, or that they have grown from.
    changed : bool
        Whether they differ from that commit.
    """

    tree: str
    commit: str
    changed: bool


@contextmanager
def looked_at(folder: Path) -> Iterator[Checkout]:
    """The checkout that a folder lies in.

    Yields
    ------
    Checkout
        Good until the block ends.

    Raises
    ------
    InputError
        If there is none, or no git.
    """
    with tempfile.TemporaryDirectory(prefix="segbench-") as scratch:
        yield Checkout(folder, Path(scratch))


class Checkout:
    """A git checkout: its commits, and its working tree as it is.

    To name the content of a working tree git has to store it. The objects and the index that this
    makes lie in a folder of their own, so that nothing is written into the repository: no object,
    no index, no registered work tree that an interruption would leave behind.

    Parameters
    ----------
    folder : Path
        Any folder of it.
    scratch : Path
        An empty folder to write into.

    Attributes
    ----------
    folder : Path
        The top of the working tree.
    """

    def __init__(self, folder: Path, scratch: Path) -> None:
        self.folder = Path(_git(folder, "rev-parse", "--show-toplevel").removesuffix("\n"))
        self._scratch = scratch
        self._variables = {"GIT_OBJECT_DIRECTORY": str(scratch / "objects")}
        self._index = self._own("index")
        own_objects = self._own("objects")
        (scratch / "objects" / "info").mkdir(parents=True)
        alternates = scratch / "objects" / "info" / "alternates"
        alternates.write_bytes(os.fsencode(own_objects) + b"\n")

    def commit(self, ref: str) -> Content:
        """Content of a commit, by any name that git has for it.

        Raises
        ------
        InputError
            If there is no such commit.
        """
        try:
            commit = self._git("rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}").strip()
        except InputError as error:
            raise InputError(
                f"{ref}: no such commit in {self.folder}; name one that git log --all shows, or "
                "fetch it first (a shallow clone has the newest alone: git fetch --unshallow)"
            ) from error
        tree = self._git("rev-parse", f"{commit}^{{tree}}").strip()
        return Content(tree=tree, commit=commit, changed=False)

    def now(self) -> Content:
        """Content of the working tree as it is: with changes and new files, without ignored ones.

        Raises
        ------
        InputError
            If nothing was ever committed, or git can't read a file.
        """
        head = self.commit("HEAD")
        index = self._scratch / "index"
        # Git's own index knows which files it need not read again, and which are tracked though
        # they are ignored.
        if self._index.exists():
            shutil.copy2(self._index, index)
        self._git("add", "--all", index=index)
        tree = self._git("write-tree", index=index).strip()
        return Content(tree=tree, commit=head.commit, changed=tree != head.tree)

    def files(self, content: Content) -> frozenset[str]:
        """Names of all files, relative to the top, with ``/``."""
        names = self._git("ls-tree", "-r", "-z", "--name-only", content.tree)
        return frozenset(names.split("\0")[:-1])

    def export(self, content: Content, folder: Path) -> None:
        """Write all files below a folder, as a checkout would have them."""
        index = self._scratch / f"index-{content.tree}"
        self._git("read-tree", content.tree, index=index)
        self._git("checkout-index", "--all", f"--prefix={folder}/", index=index)

    def _own(self, name: str) -> Path:
        """A file of the repository's own; those of a linked work tree lie in several places."""
        path = _git(self.folder, "rev-parse", "--git-path", name).removesuffix("\n")
        return (self.folder / path).resolve()

    def _git(self, *arguments: str, index: Path | None = None) -> str:
        variables = {**self._variables, **({"GIT_INDEX_FILE": str(index)} if index else {})}
        return _git(self.folder, *arguments, variables=variables)


def _git(folder: Path, *arguments: str, variables: dict[str, str] | None = None) -> str:
    command = ("git", *_PLAIN, *arguments)
    try:
        return subprocess.run(  # noqa: S603  (git, on arguments from above)
            command,
            cwd=folder,
            # What went wrong is looked for in git's own words.
            env={**git_variables(), "LC_ALL": "C", **(variables or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            check=True,
        ).stdout
    except FileNotFoundError as error:
        raise InputError("there is no git on this machine's PATH; install it") from error
    except subprocess.CalledProcessError as error:
        raise InputError(
            f"{folder}: {_reason(error.stderr)}; a git checkout is needed where git status works"
        ) from error


def _reason(errors: str) -> str:
    """The first complaint, which is the cause of those that follow."""
    found = re.search(r"^(?:error|fatal): (.+)", errors, re.MULTILINE)
    return found[1] if found else "git fails"
