"""The one error that a user can cause, and the status of a program that was interrupted."""

INTERRUPTED = 130  # what a shell reports of a program that Ctrl-C ended


class InputError(Exception):
    """Bad usage or input: one line that says what was wrong and what to do.

    The command line prints it and exits with status 2; no other module prints it.
    """
