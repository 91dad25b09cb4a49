"""Draw the figures of the README from the run that the repository holds: ``make figures``."""

from __future__ import annotations

from pathlib import Path

from segbench import files
from segbench.report import page
from segbench.results import sources

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "results" / "reference" / "smear"

# Name of a report's figure -> file.
FIGURES = {"pipeline": ROOT / "docs" / "pipeline.svg"}


def draw(run: Path) -> dict[Path, bytes]:
    """Draw the figures of a run folder: their files and what is in them.

    Raises
    ------
    InputError
        If the folder holds no run.
    KeyError
        If the run lacks what a figure shows.
    """
    section = page.make_section(sources.read_run_folder(run), "")
    drawings = {drawing.name: drawing.svg for drawing in section.drawings}
    return {path: drawings[name] for name, path in FIGURES.items()}


def main() -> None:
    """Draw them, and say where they are."""
    for path, content in draw(REFERENCE).items():
        files.write_bytes(path, content)
        print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
