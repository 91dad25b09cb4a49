"""Virtual environments made and filled by other processes, which end with this one."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

from segbench.errors import InputError
from segbench.measure.workers import foreign_environment, kill_family

if TYPE_CHECKING:
    from pathlib import Path

# Of a conflict between versions, so many lines are told.
MOST_CAUSES = 4

# With these pip would install elsewhere.
_ELSEWHERE = ("PIP_PREFIX", "PIP_ROOT", "PIP_TARGET", "PIP_USER")

# Runs a module as `python -m` does. Its standard input is a pipe that nothing is written into: that
# it ends means that the process which holds the other end is gone, however it was killed.
_TOGETHER = """
import os, runpy, signal, sys, threading
alive = os.dup(0)
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
def end():
    os.read(alive, 1)
    if hasattr(os, "killpg"):
        os.killpg(0, signal.SIGKILL)
    os._exit(1)
threading.Thread(target=end, daemon=True).start()
del sys.argv[0]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""

# What pip says where it gets no answer.
_OFFLINE = re.compile(
    r"connection broken by|Failed to establish a new connection|Max retries exceeded"
    r"|Could not resolve host|name resolution|[Nn]etwork is unreachable"
)


def look_for_venv() -> None:
    """See that this Python can make virtual environments.

    Raises
    ------
    InputError
        If not.
    """
    missing = [name for name in ("venv", "ensurepip") if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(
            f"this Python has no module {missing[0]}, which makes virtual environments; install it "
            "(on Debian and Ubuntu: apt install python3-venv)"
        )


def make_venv(folder: Path, *, what: str) -> None:
    """Make a virtual environment with pip in a folder.

    Raises
    ------
    InputError
        If it fails, in words about `what`.
    """
    # The scripts in it stay unused, and a link to the interpreter finds its folder wherever it is.
    status, output = _run(sys.executable, "venv", str(folder))
    if status != 0:
        raise InputError(f"{what}: no virtual environment can be made: {reason(output)}; mend that")


def pip_install(python: Path, *arguments: str, what: str) -> None:
    """Run ``pip install`` in the environment of an interpreter.

    Raises
    ------
    InputError
        If it fails, in words about `what`.
    """
    plain = ("--no-input", "--disable-pip-version-check", "--progress-bar", "off")
    status, output = _run(str(python), "pip", "install", *plain, *arguments)
    if status != 0:
        raise InputError(failure(what, output))


def python_of(folder: Path) -> Path:
    """The interpreter of a virtual environment."""
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def failure(what: str, output: str) -> str:
    """Why pip failed by its output, and what to do, on one line."""
    why = reason(output)
    if _OFFLINE.search(output):
        return (
            f"{what}: pip could not reach the network ({why}); connect it (what was built before "
            "needs none)"
        )
    if "No matching distribution found" in why:
        return f"{what}: {why}; name a version that there is"
    if "ResolutionImpossible" in output:
        return (
            f"{what}: versions that do not go together: {why}; name those of the others, too "
            "(--base-with), or install others here"
        )
    return f"{what}: can't be built: {why}; mend it, or name another"


def reason(output: str) -> str:
    """The line that says most in the output of a program that failed, such as pip."""
    lines = [line.strip(" │╰─>") for line in output.splitlines()]
    lines = [line for line in lines if line]
    if "The conflict is caused by:" in lines:
        conflict = lines[lines.index("The conflict is caused by:") + 1 :]
        end = next((i for i, line in enumerate(conflict) if line.startswith("To fix this")), None)
        # Where a file was found says nothing here, and pip lists each version that it has tried.
        causes = list(dict.fromkeys(line.split(" (from ")[0] for line in conflict[:end]))
        asked = {cause.removeprefix("The user requested ") for cause in causes}
        if len({each.removeprefix("(constraint) ") for each in asked}) == 1:
            # In conflict with nothing but that there is none.
            return f"No matching distribution found for {min(asked, key=len)}"
        more = ["..."] if len(causes) > MOST_CAUSES else []
        return "; ".join([*causes[:MOST_CAUSES], *more])
    if "[end of output]" in lines[1:]:
        # Of another program that pip ran, such as one that builds a wheel.
        return lines[lines.index("[end of output]") - 1].removeprefix("ERROR: ")
    errors = [line for line in lines if line.startswith("ERROR: ")]
    return (errors or lines or ["it did not say why"])[-1].removeprefix("ERROR: ")


def _run(python: str, module: str, *arguments: str) -> tuple[int, str]:
    """Run a module by an interpreter; it ends with this process, with all that it has started.

    Returns
    -------
    tuple
        Exit status, and what it has printed.
    """
    variables = {name: value for name, value in os.environ.items() if name not in _ELSEWHERE}
    with subprocess.Popen(  # noqa: S603  (an interpreter, on the code above)
        [python, "-I", "-X", "utf8", "-c", _TOGETHER, module, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        # Git is not to ask for a password.
        env={**foreign_environment(variables), "GIT_TERMINAL_PROMPT": "0"},
        start_new_session=True,
    ) as process:
        assert process.stdout is not None  # noqa: S101  (a pipe was asked for)
        try:
            # Not communicate(), which closes the pipe that it lives by.
            output = process.stdout.read()
            return process.wait(), output
        finally:
            if process.poll() is None:
                kill_family(process.pid)
