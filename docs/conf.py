"""How Sphinx builds the site: `make docs`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import segbench

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS))

import made

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "segbench"
author = "The segbench developers"
copyright = author
version = release = segbench.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_click",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "_made/**", "recipes/**"]
suppress_warnings = ["config.cache"]  # sphinx-gallery's settings hold a function

html_theme = "pydata_sphinx_theme"
html_title = "segbench"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = ["site.js"]
html_extra_path = ["_made/reports"]
html_theme_options = {
    "github_url": "https://github.com/segbench/segbench",
    "navbar_align": "left",
    "show_toc_level": 2,
    "secondary_sidebar_items": ["page-toc"],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
html_show_sourcelink = False
html_sidebars: dict[str, list[str]] = {"start": []}  # a page alone

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
smartquotes = False  # which makes a dash of the hyphens of an option

autodoc_typehints = "none"  # numpydoc has them
autosummary_generate = True
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

copybutton_prompt_text = r"\$ |>>> "
copybutton_prompt_is_regexp = True

sphinx_gallery_conf = {
    "examples_dirs": "recipes",
    "gallery_dirs": "gallery",
    "filename_pattern": r"/plot_",
    "within_subsection_order": "FileNameSortKey",
    "show_memory": False,
    "write_computation_times": False,
    "show_signature": False,
    "reference_url": {},
    "default_thumb_file": str(DOCS / "cells.png"),
    "abort_on_example_error": True,
}


def leave_out_unnamed(_: "Sphinx", __: object, lines: list[str]) -> None:
    """Leave out an argument that the help does not name either: what a shell makes of a pattern."""
    lines[:] = [] if ".. option:: " in lines else lines


def as_code(_: "Sphinx", __: object, lines: list[str]) -> None:
    """Show the examples at the end of a command's help as they are typed."""
    kept = [line for line in lines if line.strip("\b ")]
    lines[:] = [*([".. code-block:: text", ""] if kept else []), *(f"   {line}" for line in kept)]


def setup(app: "Sphinx") -> None:
    """Make what the pages include before they are read."""
    app.connect("config-inited", made.make)
    app.connect("sphinx-click-process-arguments", leave_out_unnamed)
    app.connect("sphinx-click-process-epilog", as_code)
