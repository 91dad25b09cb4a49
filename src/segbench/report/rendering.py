"""What every page of a report is made with: templates, texts that are safe in them, figures."""

from __future__ import annotations

import base64
import io
import re
from typing import TYPE_CHECKING, Literal

import jinja2
import matplotlib as mpl

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from matplotlib.figure import Figure

ZERO_WIDTH_SPACE = "&#8203;"

# GitHub makes a mention, a reference, an emoji or a link of these, and no backslash keeps it from
# that: it looks for them after the backslashes are gone. (github/cmark-gfm, issues 181 and 389)
PINGS = re.compile(
    r"(?<=[@#])|(?<=\bGH)(?=-)|(?<=\bwww)(?=\.)|(?<!\d:)(?<=:)(?=//|[\w+-])", re.IGNORECASE
)


def render(
    template: str, *, filters: Mapping[str, Callable[..., object]], values: Mapping[str, object]
) -> str:
    """Fill a template of the report.

    Parameters
    ----------
    template : str
        Its file; in one that ends with ``.html.jinja`` values are escaped.
    filters : mapping of str to callable
        What the template calls by name.
    values : mapping of str to object
        What it shows.

    Returns
    -------
    str
        That can be saved as UTF-8: bytes of names that are no text are written out.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("segbench.report"),
        autoescape=jinja2.select_autoescape(["html.jinja"], default=False),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters.update(filters)
    text = environment.get_template(template).render(values)
    return text.encode(errors="backslashreplace").decode()


def one_line(text: str) -> str:
    """Text on one line; what a terminal would obey, and what can't be saved, is written out."""
    shown = " ".join(text.split())
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in shown
    )


def markdown_text(text: str) -> str:
    """Text that Markdown, in a table or not, shows as it is."""
    text = " ".join(text.replace("&", "&amp;").replace("<", "&lt;").splitlines())
    escaped = "".join(f"\\{letter}" if letter in "\\|`*_[]~#>" else letter for letter in text)
    # At the start of a line these make a list.
    return f"\\{escaped}" if escaped.startswith(("-", "+")) else escaped


def comment_text(text: str) -> str:
    """Text that a comment on GitHub shows as it is, without a ping to anybody.

    Beside what `markdown_text` does, mentions, references to issues, links and emoji are broken by
    a space of no width, and dollars, which make formulas there, stand in an element of their own.
    """
    quiet = PINGS.sub(ZERO_WIDTH_SPACE, markdown_text(text)).replace("$", "<span>$</span>")
    return re.sub(r"^(\d+)([.)])(?=\s)", r"\1\\\2", quiet)  # the start of a numbered list


def fence(text: str) -> str:
    """A block of code in Markdown around text that may hold the signs of one."""
    marks = "```"
    while marks in text:
        marks += "`"
    return f"{marks}\n{text}\n{marks}"


def data_uri(svg: bytes) -> str:
    """A picture as an address that holds it."""
    return f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"


def label(text: str) -> str:
    """Text for a figure, which reads dollars as mathematics and has little room."""
    # A name that is not UTF-8 can't be drawn, and XML holds no control characters.
    text = one_line(text)
    return (text if len(text) <= 60 else f"{text[:59]}…").replace("$", r"\$")


def picture(figure: Figure, kind: Literal["svg", "png"]) -> bytes:
    """A figure as the content of a file."""
    content = io.BytesIO()
    # No date and fixed ids: the same data give the same file. Text as text: as paths it makes a
    # file five times as large.
    with mpl.rc_context({"svg.hashsalt": "segbench", "svg.fonttype": "none"}):
        if kind == "svg":
            figure.savefig(content, format="svg", metadata={"Date": None})
        else:
            # Packed in a third of the time, half as large again.
            figure.savefig(content, format="png", dpi=150, pil_kwargs={"compress_level": 1})
    return content.getvalue()
