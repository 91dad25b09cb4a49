"""What every page of a report is made with: templates, and texts that are safe in them."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING

import jinja2
from markupsafe import Markup, escape

from segbench import __version__
from segbench.text import written_out

if TYPE_CHECKING:
    from segbench.report.drawing import Drawing

ZERO_WIDTH_SPACE = "&#8203;"

# GitHub makes a mention, a reference, an emoji or a link of these, and no backslash keeps it from
# that: it looks for them after the backslashes are gone. (github/cmark-gfm, issues 181 and 389)
PINGS = re.compile(
    r"(?<=[@#])|(?<=\bGH)(?=-)|(?<=\bwww)(?=\.)|(?<!\d:)(?<=:)(?=//|[\w+-])", re.IGNORECASE
)


# A command of segbench's that a sentence names; nothing of a run is in it.
COMMAND = re.compile(r"`(segbench [A-Za-z. -]+)`")


def render(template: str, values: dict[str, object]) -> str:
    """Fill a template of the report.

    Parameters
    ----------
    template : str
        Its file; in one that ends with ``.html.jinja`` values are escaped.
    values : dict of str to object
        What it shows; of what is not there, it shows nothing but fails.

    Returns
    -------
    str
        That can be saved as UTF-8: bytes of names that are no text are written out.
    """
    text = ENVIRONMENT.get_template(template).render(values)
    return text.encode(errors="backslashreplace").decode()


def paragraphs(template: str, values: dict[str, object]) -> list[str]:
    """What a template of plain text says, in paragraphs for HTML and Markdown alike."""
    return [" ".join(text.split()) for text in render(template, values).split("\n\n")]


def markdown_text(text: str) -> str:
    """Text that Markdown, in a table or not, shows as it is."""
    text = " ".join(text.replace("&", "&amp;").replace("<", "&lt;").splitlines())
    escaped = re.sub(r"[\\|`*_\[\]~#>]", r"\\\g<0>", text)
    # At the start of a line these make a list.
    return f"\\{escaped}" if escaped.startswith(("-", "+")) else escaped


def comment_text(text: str) -> str:
    """Text that a comment on GitHub shows as it is, without a ping to anybody.

    Beside what `markdown_text` does, mentions, references to issues, links and emoji are broken by
    a space of no width, and dollars, which make formulas there, stand in an element of their own.
    """
    quiet = PINGS.sub(ZERO_WIDTH_SPACE, markdown_text(text)).replace("$", "<span>$</span>")
    return re.sub(r"^(\d+)([.)])(?=\s)", r"\1\\\2", quiet)  # the start of a numbered list


def with_commands(text: str) -> Markup:
    """Text for HTML, in which segbench's own commands between backticks are code."""
    return Markup(COMMAND.sub(r"<code>\1</code>", str(escape(written_out(text)))))  # noqa: S704  (it is escaped)


def markdown_commands(text: str) -> str:
    """The same for Markdown."""
    texts = COMMAND.split(text)
    return "".join(
        f"`{part}`" if number % 2 else markdown_text(part) for number, part in enumerate(texts)
    )


def fence(text: str) -> str:
    """A block of code in Markdown around text that may hold the signs of one."""
    marks = "```"
    while marks in text:
        marks += "`"
    return f"{marks}\n{text}\n{marks}"


def picture_uri(drawing: Drawing) -> str:
    """A figure as an address that holds it."""
    kind, content = ("svg+xml", drawing.svg) if drawing.svg else ("png", drawing.png)
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _shown(value: object) -> object:
    """What an expression in a template becomes: text that others wrote is written out, but for its lines."""
    is_text = isinstance(value, str) and not isinstance(value, Markup)
    return written_out(str(value), keep="\n\t") if is_text else value


ENVIRONMENT = jinja2.Environment(
    loader=jinja2.PackageLoader("segbench.report"),
    autoescape=jinja2.select_autoescape(["html.jinja"], default=False),
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=jinja2.StrictUndefined,
    finalize=_shown,
)
ENVIRONMENT.globals["version"] = __version__
ENVIRONMENT.filters |= {
    "comment": comment_text,
    "fence": fence,
    "commands": with_commands,
    "markdown": markdown_text,
    "markdown_commands": markdown_commands,
    "percent": "{:.0%}".format,
    "picture_uri": picture_uri,
}
