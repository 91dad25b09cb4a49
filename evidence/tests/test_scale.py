"""Many images, and more workers: the commands that measure them."""

from __future__ import annotations

import pytest

from evidence.tests.helpers import run


@pytest.mark.slow
def test_scale() -> None:
    """Each backend has a row for each number of images, with its tasks."""
    words = ["--images", "3,9", "--shape", "32x40", "--backends"]
    done = run("scale", *words, "skimage/skimage/serial,skimage/skimage/threads/3")
    assert done.exit_code == 0, done.output
    rows = [line.strip("| ").split(" | ") for line in done.stdout.splitlines()[2:]]
    assert [(row[0], row[1], row[-1]) for row in rows] == [
        ("skimage/skimage/serial", "3", "0"),
        ("skimage/skimage/serial", "9", "0"),
        ("skimage/skimage/threads/3", "3", "1"),
        ("skimage/skimage/threads/3", "9", "3"),
    ]


@pytest.mark.slow
def test_threads() -> None:
    """Each step of the pipeline has a row, and each number of threads and processes a column."""
    done = run("threads", "--workers", "2", "--shape", "48x64", "--images", "8")
    assert done.exit_code == 0, done.output
    head, _, *rows = done.stdout.splitlines()
    assert head == "| Step | One | 2 threads | 2 processes |"
    steps = [row.split(" | ")[0].strip("| ") for row in rows]
    assert steps == ["read", "grayscale", "blur", "threshold", "label", "measure"]


@pytest.mark.slow
def test_idle() -> None:
    """A cluster that idles and one that is stopped have a row, with the share of a CPU that each takes."""
    done = run("idle", "--seconds", "1")
    assert done.exit_code == 0, done.output
    rows = [row.strip("| ").split(" | ") for row in done.stdout.splitlines()[2:]]
    assert [row[0] for row in rows] == ["idle", "stopped"]
    idle, stopped = (float(row[1].rstrip("%")) for row in rows)
    assert stopped < idle


@pytest.mark.slow
def test_trimming() -> None:
    """Dask's threads and both kinds of cluster have a row, beside the threads."""
    done = run("trimming", "--images", "3", "--shape", "48x64", "--rounds", "1")
    assert done.exit_code == 0, done.output
    rows = [row.strip("| ").split(" | ") for row in done.stdout.splitlines()[2:]]
    assert [row[0] for row in rows] == [
        "Dask's threads",
        "A cluster as segbench starts it",
        "A cluster as Dask starts it",
    ]
    assert rows[0][2] == "1.00"


@pytest.mark.slow
def test_recommended() -> None:
    """Each folder has a row: what is named, what was predicted, and what it took."""
    done = run("recommended", "--folders", "1", "--rounds", "1", "--smaller", "4")
    assert done.exit_code == 0, done.output
    (row,) = done.stdout.splitlines()[2:]
    cells = row.strip("| ").split(" | ")
    assert cells[0] == "5 of 48 × 64"
    assert "scikit-image" in cells[1]
    assert cells[4] in ("yes", "no")
    assert float(cells[5]) >= 1
