"""What all tests share."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


# How long an example takes is not what is tested, least of all on a machine that is shared. The examples
# are the same in each run; `SEGBENCH_EXAMPLES=20000 pytest tests/test_untrusted.py` looks for new ones.
hypothesis.settings.register_profile(
    "segbench", deadline=None, derandomize="SEGBENCH_EXAMPLES" not in os.environ
)
hypothesis.settings.load_profile("segbench")


@pytest.fixture(scope="session", autouse=True)
def _cache_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what tests make out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEGBENCH_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session", autouse=True)
def _interruptible() -> None:
    """Have what tests start listen to Ctrl-C: a shell has its background jobs ignore it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def real_images() -> Path:
    """Folder of real photographs of cells, which the repository does not hold."""
    folder = os.environ.get("SEGBENCH_REAL_IMAGES")
    if not folder:
        pytest.skip("SEGBENCH_REAL_IMAGES names no folder of real images")
    if not Path(folder).is_dir():
        pytest.skip(f"SEGBENCH_REAL_IMAGES: no such folder: {folder}")
    return Path(folder)
