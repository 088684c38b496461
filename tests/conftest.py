"""What several tests share."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with the real exports; a test that asks for it is skipped where there is none."""
    folder = Path(os.environ.get("CX_REAL_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real exports in {folder.name}: set CX_REAL_DATA to the folder that holds them")
    return folder


@pytest.fixture(scope="session")
def demo() -> Path:
    """The built-in data set."""
    return ROOT / "data" / "demo"
