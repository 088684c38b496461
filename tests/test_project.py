"""The walls of the house: which way imports go, and that the lists of packages agree."""

import ast
import re
import tomllib
from pathlib import Path

import nbformat
import pytest
import yaml

ROOT = Path(__file__).parent.parent

# From the top down. A module may import from floors below its own, never beside it or above.
FLOORS = [
    {"cli", "reports"},
    {"figures", "words", "stories"},
    {"escalation", "experience", "reliability"},
    {"journey", "themes", "trust"},
    {"spark"},
    {"eventlog", "store"},
    {"sources", "simulate", "redact"},
    {"schema", "stats"},
]
# Pairs on one floor whose direction is fixed: the left one is built on the right one.
BUILT_ON = {("cli", "reports"), ("eventlog", "store"), ("words", "stories"), ("stats", "nothing")}
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def imported(file: Path) -> set[str]:
    """The rooms of cxlib that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found |= {f"{node.module}.{name.name}" for name in node.names} | {str(node.module)}
    return {name.split(".")[1] for name in found if name.startswith("cxlib.")}


def room(file: Path) -> str:
    return file.relative_to(ROOT / "cxlib").parts[0].removesuffix(".py")


def floor(name: str) -> int:
    return next(i for i, names in enumerate(FLOORS) if name in names)


FILES = [file for file in sorted((ROOT / "cxlib").rglob("*.py")) if file != ROOT / "cxlib" / "__init__.py"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_imports_only_go_down(file):
    here = room(file)
    rooms = {name for names in FLOORS for name in names}
    for other in (imported(file) & rooms) - {here}:
        assert floor(other) > floor(here) or (here, other) in BUILT_ON, f"{here} imports {other}"


def test_every_room_stands_on_a_floor():
    assert {room(file) for file in FILES} <= {name for names in FLOORS for name in names}


def ranges(requirements) -> dict[str, str]:
    """Names and version ranges of requirement lines."""
    parts = [re.fullmatch(r"([A-Za-z0-9_-]+)\s*(.*)", line.strip()) for line in requirements]
    return {part[1].lower().replace("_", "-"): part[2].replace(" ", "") for part in parts if part}


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_environment_yml_names_the_same_packages_and_ranges_as_pyproject():
    conda = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
    theirs = ranges(line for line in conda if isinstance(line, str))
    python, _ = theirs.pop("python"), theirs.pop("pip")
    theirs["duckdb"] = theirs.pop("python-duckdb")  # its name on conda-forge
    assert theirs == ranges(project()["project"]["dependencies"])
    assert python == project()["project"]["requires-python"].replace(" ", "")


def test_the_lock_pins_every_dependency_with_hashes_and_names_no_address():
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    pinned = dict(re.findall(r"^([a-z0-9._-]+)==([^ ;\\]+)", lock, flags=re.MULTILINE))
    wanted = ranges(project()["project"]["dependencies"]) | ranges(project()["dependency-groups"]["dev"])
    assert wanted.keys() <= pinned.keys()
    assert lock.count("--hash=sha256:") >= len(pinned)
    assert "://" not in lock


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_a_notebook_is_committed_executed_and_in_order(file):
    book = nbformat.read(file, as_version=4)
    code = [cell for cell in book.cells if cell.cell_type == "code" and cell.source.strip()]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    tags = [tag for cell in code for tag in cell.metadata.get("tags", [])]
    assert {tag: tags.count(tag) for tag in ("parameters", "headline", "main-figure")} == dict.fromkeys(
        ("parameters", "headline", "main-figure"), 1
    )
    assert all(cell.source.count("\n") < 15 for cell in code)
    drawn = [cell for cell in code if cell.source.startswith("ax = figures.draw_")]
    assert drawn
    assert all("image/png" in str(cell.outputs) for cell in drawn), "a figure was drawn but not shown"
    outputs = str([cell.outputs for cell in code])
    assert not re.search(r"/(home|root|tmp|work|Users)/", outputs), "an output holds an absolute path"
