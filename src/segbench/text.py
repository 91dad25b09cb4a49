"""Text of others, as people may be shown it.

Names of files, what a plugin raises and what a run file says may hold what a terminal, a browser or a
spreadsheet would obey: it is written out wherever it is shown.
"""

from __future__ import annotations

import re

# With these a spreadsheet begins a formula; the wide forms, too.
FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")

# What is printable by Unicode's categories, and yet nothing or a blank is drawn for it: the code points
# that may be ignored by default (DerivedCoreProperties.txt), and the Braille pattern without a dot.
UNSEEN = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2800"
    "\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff]"
)

# What stands for a byte of a file's name that is no text.
BYTES = "".join(map(chr, range(0xDC80, 0xDD00)))


def is_shown(text: str) -> bool:
    """Whether all of a text can be seen where it is printed."""
    return text.isprintable() and not UNSEEN.search(text)


def written_out(text: str, *, keep: str = "") -> str:
    r"""Text in which all that is no part of a printed line is written as Python writes it, such as ``\x1b``.

    That is control and format characters (which move the cursor, or turn the direction of what follows),
    what nothing is drawn for, separators of lines, and bytes that are no text.

    Parameters
    ----------
    text : str
        Of anybody.
    keep : str
        Characters that stay all the same.
    """
    if is_shown(text):
        return text
    return "".join(
        letter if is_shown(letter) or letter in keep else ascii(letter)[1:-1] for letter in text
    )


def one_line(text: str) -> str:
    """Text on one line, written out."""
    return written_out(" ".join(text.split()))


def csv_text(text: str, *, keep: str = "") -> str:
    """Text for a cell of a table, written out, which no spreadsheet takes for a formula."""
    shown = written_out(text, keep=keep)
    return f"'{shown}" if shown.lstrip().startswith(FORMULA) else shown
