"""The address layout of a process: one that two processes share, another one in each round.

Two processes of one program differ by up to 20% for as long as they live, since a system places
their memory at random. Where both sides of a gate are placed alike, most of that cancels. The
layout changes from round to round: under a single one, a change that merely moves memory would
look slower each time.
"""

from __future__ import annotations

import contextlib
import ctypes
import random
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# <sys/personality.h>
ADDR_NO_RANDOMIZE = 0x0040000
ASK = 0xFFFFFFFF

# Maps the pages before anything else is loaded, and runs the module as ``-m`` does; in a thread,
# whose stack and memory lie at round addresses, where those of the first one lie anywhere.
START = (
    "import mmap, runpy, sys, threading; "
    "pages = mmap.mmap(-1, int(sys.argv.pop()) * mmap.PAGESIZE); "
    "named = {'run_name': '__main__'}; "
    "thread = threading.Thread(target=runpy.run_module, args=['segbench.measure.worker'], kwargs=named); "
    "thread.start(); "
    "thread.join()"
)

# A layout is told by its pages. Fewer than these would fill gaps between libraries, and move nothing.
LEAST_PAGES, MOST_PAGES = 512, 4096


def can_be_shared() -> bool:
    """Whether the system places processes where it is told: Linux, unless a container forbids it."""
    with fixed() as was_set:
        return was_set


@contextlib.contextmanager
def fixed() -> Iterator[bool]:
    """Have the processes that this thread starts meanwhile placed alike, and say whether they are.

    Notes
    -----
    ``setarch -R`` does the same: the flag of a thread is handed down to its child processes.
    """
    if sys.platform != "linux":
        yield False
        return
    personality = ctypes.CDLL(None).personality
    before = personality(ASK)
    was_set = personality(before | ADDR_NO_RANDOMIZE) != -1
    try:
        yield was_set
    finally:
        if was_set:
            personality(before)


def of_round(seed: int, number: int) -> int:
    """Which layout a round has: its pages."""
    return random.Random(f"{seed}/{number}").randint(LEAST_PAGES, MOST_PAGES)  # noqa: S311  (no secret)


def stack_pad(pages: int) -> str:
    """What, as the value of an environment variable, moves the stack."""
    return "." * (16 * (pages % 256))
