"""The one error that a user can cause, and the status of a program that was interrupted."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

INTERRUPTED = 130  # what a shell reports of a program that Ctrl-C ended


class InputError(Exception):
    """Bad usage or input: one line that says what was wrong and what to do.

    The command line prints it and exits with status 2; no other module prints it.
    """


class UnreadableError(InputError):
    """A file that can't be read: its path, and why in words that others may share."""

    def __init__(self, file: Path | str, why: str) -> None:
        # Both are its arguments, so that a process can send it.
        super().__init__(file, why)
        self.file, self.why = file, why

    def __str__(self) -> str:
        """In one line."""
        return f"{self.file}: {self.why}"


def reason_of(error: Exception) -> str:
    """The first line of what a library raised, or its kind where it says nothing."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__
