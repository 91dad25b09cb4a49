"""A page as a browser would see it."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

# Elements that never end.
VOID = ("br", "img", "meta")

# Elements whose text is told from that of others.
TOLD_APART = ("script", "style", "code")


class Page(HTMLParser):
    """Tags with their attributes, and texts by the kind of element that they are in.

    It fails where an element ends that is not open.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.texts: dict[str, list[str]] = {kind: [] for kind in ("", *TOLD_APART)}
        self.text = self.text_before_opening = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep a tag and its attributes."""
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Leave an element."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Keep text."""
        kind = next((kind for kind in TOLD_APART if kind in self.open), "")
        self.texts[kind].append(data)
        if kind in ("", "code"):
            self.text += data
            if "details" not in self.open or "summary" in self.open:
                self.text_before_opening += data

    def all(self, tag: str) -> list[dict[str, str]]:
        """Attributes of all elements of a kind."""
        return [attributes for name, attributes in self.tags if name == tag]


def read_page(path: Path) -> Page:
    """A page that was written."""
    return Page(path.read_text(encoding="utf-8"))


def asks_for_nothing(page: Page) -> bool:
    """Whether a browser that shows it loads nothing: scripts, styles and pictures are in the page."""
    tags = {tag for tag, _ in page.tags}
    names = {name for _, attributes in page.tags for name in attributes}
    (policy,) = (meta["content"] for meta in page.all("meta") if "http-equiv" in meta)
    return (
        policy.startswith("default-src 'none';")
        and not tags & {"link", "iframe", "object", "base"}
        and not names & {"srcset", "action", "poster", "background", "style"}
        and not [name for name in names if name.startswith("on")]
        and not any("src" in script for script in page.all("script"))
        and all(one.get("src", "data:").startswith("data:") for _, one in page.tags)
        and not any("url(" in style or "@import" in style for style in page.texts["style"])
    )
