"""What may a reader change in a notebook? Every parameter by name, with its kind, its range and its unit."""

from __future__ import annotations

import ast
import json
import math
import numbers
import re
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

from cxlib.schema import DataError, duration, nearest

ROOT = Path(__file__).resolve().parent.parent.parent


class Parameter(NamedTuple):
    """One parameter. `kind` is str, int, float, bool, path, duration or choice; the value `off` means "not asked for"."""

    kind: str
    about: str
    unit: str = ""
    low: float | None = None
    high: float | None = None
    allowed: tuple[str, ...] = ()
    off: int | str | None = None


PARAMETERS: dict[str, Parameter] = {
    "data_dir": Parameter("path", "the dataset folder; a relative path starts at the project's root"),
    "seed": Parameter("int", "seed of everything random", low=0),
    "n_themes": Parameter("int", "how many themes; 0 = chosen by stability", "themes", low=2, off=0),
    "text_model": Parameter("str", 'how texts are compared: "lexical", "semantic", "auto" or the folder of a language model'),
    "split": Parameter("float", "share of the cases, oldest first, that the model learns from", "share", low=0.5, high=0.95),
    "capacity": Parameter("int", "how many cases the team can review", "cases", low=1, high=100_000),
    "model": Parameter("path", 'a forecast that is kept, such as "mine/forecast.npz"; "" = learn anew', off=""),
    "themes": Parameter("bool", "does the forecast read what the tickets' texts are about, too?"),
    "cost_call": Parameter("float", "what a call costs", "in any currency", low=0.01, high=1e9),
    "cost_review": Parameter("float", "what a review of one case costs", "in that currency", low=0.001, high=1e9),
    "averted": Parameter("float", "share of the reviewed calls that a review averts: an assumption", "share", low=0.01, high=1),
    "within": Parameter(
        "duration", 'the funnel counts only touches up to this long after a case began; "" = no window', off=""
    ),
    "target": Parameter("str", 'the stage that is forecast; "" = the data set\'s last resort', off=""),
    "horizon": Parameter("duration", 'within how long it must be reached; "" = as long as cases were followed', off=""),
    "watched": Parameter("duration", "how long after its beginning a case is followed"),
    "period": Parameter("choice", "the length of a period", allowed=("month", "week", "day")),
    "before": Parameter("str", 'the period to compare with, such as "2026-07"; "" = the one before `after`', off=""),
    "after": Parameter("str", 'the period to compare, such as "2026-08"; "" = the last whole one', off=""),
    "segment": Parameter("str", 'the column that divides the cases, such as "role"; "" = what they are about', off=""),
    "minimum": Parameter("int", "the fewest cases of a segment that is compared", "cases", low=2, high=1_000_000),
    "topic": Parameter("str", 'what if: only cases about this topic; "" = all', off=""),
    "share": Parameter("float", "what if: the share of the cases that goes further left", "share", low=0.01, high=1),
    "top": Parameter("int", "how many rows are shown", "rows", low=1, high=1_000),
}


def check_parameters(**values: Any) -> SimpleNamespace:
    """Can the notebook run with these values?

    Parameters
    ----------
    **values
        Typed values by parameter name, as they stand in the notebook's cell tagged `parameters`.

    Returns
    -------
    SimpleNamespace
        The checked values as attributes: `data_dir` as an absolute Path (a relative one starts at the project's root),
        What is switched off (0 or "", such as `n_themes` and `within`) as None, the rest as given.

    Raises
    ------
    DataError
        In one line that says what would have worked.

    Examples
    --------
    >>> check_parameters(seed=7, within="", n_themes=12)
    namespace(seed=7, within=None, n_themes=12)
    >>> check_parameters(capacity=0)
    Traceback (most recent call last):
    cxlib.schema.DataError: parameter capacity=0 is out of range: 1 to 100,000 cases
    """
    return SimpleNamespace(**{name: check(name, value) for name, value in values.items()})


def parse(name: str, text: str) -> Any:
    """What value does a text given on the command line stand for? (Checked by `check`; nothing is evaluated.)

    >>> parse("seed", "7"), parse("split", "0.8"), parse("within", "14d")
    (7, 0.8, '14d')
    >>> parse("seed", "seven")
    Traceback (most recent call last):
    cxlib.schema.DataError: parameter seed=seven is not a whole number: 0 or more
    """
    wanted = known(name)
    stripped = text.strip()
    value: Any = text
    if wanted.kind == "int" and re.fullmatch(r"[+-]?\d{1,18}", stripped, re.ASCII):
        value = int(stripped)
    elif wanted.kind == "float" and re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", stripped, re.ASCII | re.IGNORECASE):
        value = float(stripped)
    elif wanted.kind == "bool" and stripped.lower() in ("true", "false"):
        value = stripped.lower() == "true"
    check(name, value)
    return value


_KINDS: dict[str, tuple[Any, str]] = {
    "int": (numbers.Integral, "a whole number"),
    "float": (numbers.Real, "a number"),
    "bool": (bool, "true or false"),
    "str": (str, "a text"),
    "path": ((str, Path), "a path"),
    "duration": (str, "a length of time"),
    "choice": (str, "one of the choices"),
}


def check(name: str, value: Any) -> Any:
    """Is the value allowed for this parameter? Returns what `check_parameters` gives for it."""
    wanted = known(name)
    types, words = _KINDS[wanted.kind]
    if wanted.kind == "duration" and isinstance(value, numbers.Real) and not isinstance(value, bool):
        value = f"{value:g}"
    if not isinstance(value, types) or (isinstance(value, bool) and wanted.kind != "bool") or not str(value).isprintable():
        raise DataError(f"parameter {name}={_plain(value)} is not {words}: {_says(wanted)}")
    if value == wanted.off:
        return None
    if isinstance(value, numbers.Real) and not _in_range(float(value), wanted):
        raise DataError(f"parameter {name}={value} is out of range: {_says(wanted)}")
    if wanted.kind == "choice" and value not in wanted.allowed:
        raise DataError(f"parameter {name}={value} is not one of the choices: {nearest(value, wanted.allowed)}")
    if wanted.kind == "duration" and not duration(value, name=f"parameter {name}"):
        raise DataError(f'parameter {name}={value} is no time at all: write a length such as "7d", or "" for no window')
    if wanted.kind == "path":
        if not str(value).strip():
            raise DataError(f"parameter {name} is empty: {_says(wanted)}")
        return ROOT / Path(value).expanduser()
    return value


def known(name: str) -> Parameter:
    """The parameter of this name, or a DataError that lists the names there are."""
    if not name.isidentifier():
        raise DataError(f"{_short(name)} is not a parameter name: write -p name=value, such as -p seed=1")
    if name not in PARAMETERS:
        raise DataError(f"unknown parameter {_short(name)}: {nearest(name, PARAMETERS)}")
    return PARAMETERS[name]


def declared(notebook: Path) -> dict[str, Any]:
    """Which parameters does a notebook take, and what are they if nobody says otherwise?

    Read from the plain assignments in the cell tagged `parameters`, in their order; nothing is run. A notebook without such a
    cell takes none.
    """
    try:
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        sources = ["".join(c["source"]) for c in cells if "parameters" in c.get("metadata", {}).get("tags", [])]
    except (OSError, UnicodeDecodeError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{notebook} is not a readable notebook ({type(error).__name__}): save it again in JupyterLab"
        ) from None
    try:
        return dict(_assignment(statement) for source in sources[:1] for statement in ast.parse(source).body)
    except (SyntaxError, ValueError):
        raise DataError(
            f"{notebook.name}: the cell tagged parameters may hold plain assignments only, such as seed = 0"
        ) from None


def _assignment(statement: ast.stmt) -> tuple[str, Any]:
    """Name and value of `name = value` or `name: type = value`; ValueError for anything else."""
    targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
    if len(targets) != 1 or not isinstance(targets[0], ast.Name):
        raise ValueError(ast.dump(statement))
    return targets[0].id, ast.literal_eval(getattr(statement, "value", None) or ast.Constant(None))


def shared_out(given: Mapping[str, str], notebooks: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Which notebook gets which of the given values? Only those that differ from its own are passed on.

    `given` holds texts by parameter name, `notebooks` what each notebook declares, by stem. Raises DataError for a name that
    is no identifier or that none of the notebooks declares, and for a value that is not allowed.

    >>> shared_out({"seed": "7"}, {"1_journey": {"seed": 0}, "2_themes": {"seed": 7, "top": 5}, "3_risk": {"top": 5}})
    {'1_journey': {'seed': 7}, '2_themes': {}, '3_risk': {}}
    """
    names = list(dict.fromkeys(name for own in notebooks.values() for name in own))
    for name in given:
        if not name.isidentifier() or name in PARAMETERS:
            known(name)
        if name not in names:
            raise DataError(f"none of the chosen notebooks has a parameter {_short(name)}: {nearest(name, names)}")
    values = {name: parse(name, text) for name, text in given.items()}
    passed = {
        stem: {name: value for name, value in values.items() if name in own and own[name] != value}
        for stem, own in notebooks.items()
    }
    for stem, own in notebooks.items():
        try:
            check_parameters(**{**own, **passed[stem]})
        except DataError as error:
            raise DataError(f"{stem}: {error}") from None
    return passed


def _in_range(value: float, wanted: Parameter) -> bool:
    low, high = (-math.inf if wanted.low is None else wanted.low), (math.inf if wanted.high is None else wanted.high)
    return math.isfinite(value) and low <= value <= high


def _says(wanted: Parameter) -> str:
    """What would have worked, in words."""
    if wanted.kind == "duration":
        return 'write a number and a unit in quotes, such as "7d"'
    if wanted.kind == "bool":
        return "write true or false"
    if wanted.low is None:
        return wanted.about
    numbers_ = f"{wanted.low:,g} to {wanted.high:,g}" if wanted.high is not None else f"{wanted.low:,g} or more"
    off = f", or {wanted.about.rpartition('; ')[2]}" if wanted.off is not None else ""
    return " ".join(filter(None, (numbers_, wanted.unit))) + off


def _short(name: str) -> str:
    return repr(name) if len(name) <= 40 else repr(name[:37] + "...")


def _plain(value: Any) -> str:
    """A value as one line of an error message."""
    text = str(value) if str(value).isprintable() else repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
