"""Run every reproduction of this folder: ``python docs/upstream [FOLDER]``.

A line for each says whether the fault is ``still there`` or ``mended``, with the versions that it was
tried with. The exit status is 1 where one is mended, or where a script fails: then its page is to be
changed.
"""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path


def libraries(script: Path) -> str:
    """Name the libraries that a script says it needs, with their installed versions."""
    needed = re.search(r"^# dependencies = \[(.*)\]$", script.read_text(), re.MULTILINE)
    names = re.findall(r'"([\w-]+)', needed[1]) if needed else []
    return ", ".join(f"{name} {version(name)}" for name in names)


def verdict(script: Path) -> str:
    """Run a script, and return its last line, or how it failed."""
    done = subprocess.run(  # noqa: S603  (this interpreter, on a script of the folder)
        [sys.executable, "-W", "ignore", str(script)], capture_output=True, text=True, check=False
    )
    printed = (done.stderr if done.returncode else done.stdout).splitlines() or [""]
    return f"failed, {printed[-1]}" if done.returncode else printed[-1]


def main(folder: Path) -> int:
    """Run the scripts of a folder, and return the exit status."""
    verdicts = []
    for script in sorted(folder.glob("[!_]*.py")):
        verdicts.append(verdict(script))
        print(f"{script.stem}: {verdicts[-1]} ({libraries(script)})", flush=True)
    return int(not verdicts or set(verdicts) != {"still there"})


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent))
