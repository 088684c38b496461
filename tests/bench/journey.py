"""Ours against pandas, polars, retentioneering and pm4py, in one run on one generated log: `make bench`.

    PYTHONPATH=tests python -m bench.journey --millions 10

Every piece runs in a process of its own (cost.py). Equal answers are checked first, then the costs are held against the bars.
More than ten millions: ours alone, and ten millions of the same run beside it. Prints the tables, writes results.json and
results.md, and exits with 1 where an answer differs or a bar is missed.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import pyarrow.parquet as pq

from bench.cost import descendants
from bench.generate import write
from bench.tables import NAMES, page

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
QUESTIONS = ("transitions", "variants", "funnel", "case_summary", "time_to")
PIECES = {
    "Yardsticks": ("column_scan", "sort_for_customers", "sort_for_cases"),
    "Ours": ("prepare", *QUESTIONS, "funnel_within"),
    "OursAtOnce": ("open", "five_questions"),
    "Polars": ("prepare", *QUESTIONS, "funnel_within"),
    "Pandas": ("prepare", *QUESTIONS, "funnel_within", "time_from_start"),
    "Retentioneering": ("prepare", "transitions", "funnel", "case_summary", "time_to"),
    "Pm4py": ("prepare", "transitions", "variants", "funnel", "case_summary"),
    "Pm4pyOnPolars": ("prepare", "transitions", "variants", "funnel", "case_summary"),
}
RUNS = 3  # of which the least CPU and wall count, for other work on the machine only adds, and the highest peak
ONE_THREAD = {"NUMBA_NUM_THREADS": "1"}  # as the Makefile has it for BLAS
SLOW = {"Retentioneering", "Pm4py", "Pm4pyOnPolars"}  # one run each, as for what the peers prepare
DRAWS = {("BERTopic", "given_number"): 9}  # the nearest peer draws anew each time: .55 to .59, so that three say little
REFERENCE = "Pandas"  # whose answers the others are held against
INSTEAD = {("Retentioneering", "time_to"): "time_from_start"}
KNOWN_ERRORS = {("Pm4pyOnPolars", "funnel")}  # said in tables.py
OURS = dict.fromkeys(("Ours", "OursAtOnce"), Path(sys.executable))
MEMORY = 500  # MB, what compile is allowed

Costs = Mapping[tuple[str, str], Mapping[str, float]]


@dataclass(frozen=True)
class Row:
    """One figure of ours beside one of a peer: seconds of CPU, seconds or MB; `held` is None where there is no bar."""

    name: str
    ours: float
    peer: float | None
    ratio: float | None
    bar: str
    held: bool | None


def at_most(name: str, ours: float, peer: float, times: float, plus: float = 0) -> Row:
    """Ours may cost so many times the peer, plus something fixed."""
    bar = f"ours <= {times:g} x peer" + (f" + {plus:g}" if plus else "")
    return Row(name, ours, peer, ours / peer, bar, ours <= times * peer + plus)


def cheaper(name: str, ours: float, peer: float, times: float | None = None) -> Row:
    """The peer must cost at least so many times ours; without `times` the figures stand there for information."""
    return Row(
        name, ours, peer, peer / ours, f"peer >= {times:g} x ours" if times else "", peer >= times * ours if times else None
    )


def below(name: str, ours: float, limit: float, unit: str = "MB") -> Row:
    return Row(name, ours, None, None, f"ours <= {limit:g} {unit}", ours <= limit)


def bars(costs: Costs, ids: str) -> Iterator[Row]:
    """The bars of a run with all tools; a peer that did not run is left out."""

    def cpu(tool: str, *steps: str) -> float:
        return sum(costs[tool, step]["cpu"] for step in steps)

    prepare, five = costs["Ours", "prepare"], costs["OursAtOnce", "five_questions"]
    scan = cpu("Yardsticks", "column_scan")
    yield at_most(f"{ids} ids: open and five questions, against one column scan, CPU s", five["cpu"], scan, 6, 0.5)
    for tool, times in {"Pm4py": 30, "Pm4pyOnPolars": 30, "Retentioneering": 10, "Pandas": None, "Polars": None}.items():
        if shared := [step for step in QUESTIONS if (tool, step) in costs]:
            name = f"{ids} ids: {_many(shared)} questions, against {NAMES[tool]}, CPU s"
            yield cheaper(name, cpu("Ours", *shared), cpu(tool, *shared), times)
    for tool, times in {"Pandas": 3, "Polars": None}.items():
        if (tool, "funnel_within") in costs:
            name = f"{ids} ids: funnel with window, against {NAMES[tool]}, CPU s"
            yield cheaper(name, cpu("Ours", "funnel_within"), cpu(tool, "funnel_within"), times)
    for step, order in {"sort_for_customers": "customer, case, time", "sort_for_cases": "case, time"}.items():
        if ("Yardsticks", step) in costs:
            for unit, what in {"cpu": "CPU s", "wall": "wall s"}.items():
                name = f"{ids} ids: compile, against polars' read and sort by {order}, {what}"
                yield at_most(name, prepare[unit], costs["Yardsticks", step][unit], 3)
    yield below(f"{ids} ids: peak of compile", prepare["peak"], MEMORY + 600)
    yield below(f"{ids} ids: peak of the questions", _peak(costs), 900)


def bars_of_growth(large: Costs, small: Costs, times: float) -> Iterator[Row]:
    """The bars of a run of ours alone on a large log, beside a small one `times` smaller."""
    yield below("peak of compile", large["Ours", "prepare"]["peak"], 2500)
    yield below("peak of the questions", _peak(large), 2500)
    for tool, step in (("Ours", "prepare"), ("OursAtOnce", "five_questions")):
        name = f"{step.replace('_', ' ')}, against a log {times:g} x smaller, CPU s"
        ours, peer = large[tool, step]["cpu"], small[tool, step]["cpu"]
        yield at_most(name, ours, peer, 1.2 * times)


def _peak(costs: Costs) -> float:
    """The most memory that any question of ours took."""
    return max(cost["peak"] for (tool, step), cost in costs.items() if tool.startswith("Ours") and step != "prepare")


def _many(steps: Sequence[str]) -> str:
    return {3: "three", 4: "four", 5: "five"}[len(steps)]


def measure(
    tools: Mapping[str, Path],
    events: Path,
    folder: Path,
    pieces: Mapping[str, Sequence[str]] = PIECES,
    scores: Callable[[str, str], Mapping[str, float]] = lambda tool, step: {},
    runs: int | None = None,
) -> dict[tuple[str, str], dict[str, float]]:
    """What each piece costs in its runs, and the median of what `scores` finds in the answers that each run leaves.

    `tools` says which python runs which tool, `runs` how often if not as often as usual.
    """
    costs = {}
    for tool, python in tools.items():
        for step in pieces[tool]:
            times = runs or _runs(tool, step)
            spent = [_piece(python, tool, step, events, folder) | scores(tool, step) for _ in range(times)]
            least = {unit: min(run[unit] for run in spent) for unit in ("cpu", "wall")}
            costs[tool, step] = found = least | {"peak": max(run["peak"] for run in spent)}
            found |= {score: median(run[score] for run in spent) for score in spent[0] if score not in found}
            print(
                f"{tool:16} {step:20} {found['cpu']:8.2f} CPU s {found['wall']:8.2f} wall s {found['peak']:6.0f} MB", flush=True
            )
    return costs


def _runs(tool: str, step: str) -> int:
    if (tool, step) in DRAWS:
        return DRAWS[tool, step]
    return 1 if tool in SLOW or (step == "prepare" and tool != "Ours") else RUNS


def _piece(python: Path, tool: str, step: str, events: Path, folder: Path) -> dict[str, float]:
    """Run one piece in a process of its own; processes that it starts count in its peak."""
    said = folder / "said.txt"
    with said.open("wb") as text:
        arguments = [str(python), "-m", "bench.cost", tool, step, str(events), str(folder)]
        env = os.environ | {"PYTHONPATH": str(HERE.parent)} | ONE_THREAD
        process = subprocess.Popen(arguments, stdout=text, stderr=text, env=env)
        helpers = 0.0
        while process.poll() is None:
            helpers = max(helpers, sum(map(_megabytes, descendants(process.pid))))
            time.sleep(0.05)
    if process.returncode:
        raise SystemExit(f"{tool} {step} failed:\n" + said.read_text(encoding="utf-8", errors="replace")[-2000:])
    cost = json.loads((folder / tool / f"{step}.json").read_text(encoding="utf-8"))
    return cost | {"peak": cost["peak"] + helpers}


def _megabytes(process: int) -> float:
    """What a process holds, memory that it shares divided among those that share it."""
    try:
        rollup = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return int(rollup.split("\nPss:")[1].split()[0]) / 1024 if "\nPss:" in rollup else 0.0


def answers(tools: Sequence[str], folder: Path) -> dict[tuple[str, str], bool]:
    """Is each answer equal to the reference's, in every column that both have?"""
    found = {}
    for tool in tools:
        for step in PIECES[tool]:
            file = folder / tool / f"{step}.answer.parquet"
            reference = folder / REFERENCE / f"{INSTEAD.get((tool, step), step)}.answer.parquet"
            if tool != REFERENCE and file.exists() and reference.exists():
                found[tool, step] = _equal(file, reference)
    return found


def _equal(file: Path, reference: Path) -> bool:
    one, other = pq.read_table(file).to_pandas(), pq.read_table(reference).to_pandas()
    if "case_id" in one and "case_id" in other:  # pm4py makes text of every id
        one, other = (frame.assign(case_id=frame["case_id"].astype(str)) for frame in (one, other))
    columns = [name for name in one.columns if name in other.columns]
    rows = [frame[columns].sort_values(columns[0], ignore_index=True) for frame in (one, other)]
    return len(columns) > 1 and len(one) == len(other) and all((rows[0][name] == rows[1][name]).all() for name in columns)


def events_file(folder: Path, millions: float, ids: str) -> Path:
    """The log of that size, generated unless it lies there; and a small one for rehearsals beside it."""
    form = hashlib.sha256((HERE / "generate.py").read_bytes()).hexdigest()[:8]
    events = folder / f"{millions:g}M-{ids}-{form}.parquet"
    for file, n in ((events, int(millions * 1_000_000)), (events.with_name("rehearsal-" + events.name), 5_000)):
        if not file.exists():
            write(file, n, ids)
    return events


def run(millions: float, ids: str, tools: Mapping[str, Path], folder: Path) -> tuple[dict, dict]:
    """Costs and answers of one log."""
    events, work = events_file(folder, millions, ids), folder / "work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    print(f"\n{millions:g} M touches, {ids} ids", flush=True)
    costs = measure(tools, events, work)
    equal = answers(list(tools), work)
    shutil.rmtree(work)
    return costs, equal


def unlike(equal: Mapping[tuple[str, str], bool]) -> list[str]:
    """What is wrong with the answers: those that differ and should not, and a known error that is none any more."""
    differs = [f"{tool} {step} differs from {REFERENCE}" for (tool, step), same in equal.items() if not same]
    known = {f"{tool} {step} differs from {REFERENCE}" for tool, step in KNOWN_ERRORS}
    cured = [f"{tool} {step} is a known error and is right" for tool, step in KNOWN_ERRORS if equal.get((tool, step))]
    return [what for what in differs if what not in known] + cured


def keep(out: Path, size: str, ran: dict) -> None:
    """Put a run into results.json, in the place of an earlier one of its size, and print results.md from the whole file."""
    file = out / "results.json"
    results = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    results[size] = ran
    file.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    (out / "results.md").write_text(page(results), encoding="utf-8")


def publish(
    out: Path, size: str, found: Mapping[str, Costs], rows: Sequence[Row], about: Mapping[str, str], wrong: Sequence[str] = ()
) -> None:
    """Put a run into results.json and results.md, say what was missed, and exit with 1 if anything was.

    `found` holds costs by what they were run on, `about` the versions.
    """
    listed = [{"ids": on, "tool": tool, "step": step, **cost} for on, of in found.items() for (tool, step), cost in of.items()]
    ran = {"rows": [asdict(row) for row in rows], "wrong": list(wrong), "costs": listed, "cpus": os.cpu_count()}
    keep(out, size, ran | {"versions": about})
    print((out / "results.md").read_text(encoding="utf-8"))
    missed = [f"missed: {row.name}" for row in rows if row.held is False]
    print(*(f"wrong: {what}" for what in wrong), *missed, sep="\n")
    sys.exit(bool(wrong or missed))


PACKAGES = ("numpy", "pandas", "pyarrow", "duckdb", "polars", "retentioneering", "pm4py")


def versions(pythons: Sequence[Path], packages: Sequence[str] = PACKAGES) -> dict[str, str]:
    """The versions of what was run."""
    names = list(packages)
    ask = f"import importlib.metadata as m; print({{n: m.version(n) for n in {names} if [*m.Distribution.discover(name=n)]}})"
    found = {"python": platform.python_version()}
    for python in pythons:
        found |= ast.literal_eval(subprocess.run([python, "-c", ask], capture_output=True, text=True, check=True).stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--millions", type=float, default=10, help="touches in the log")
    parser.add_argument("--folder", type=Path, default=ROOT / ".cache" / "bench", help="where logs and work lie")
    parser.add_argument("--peers", type=Path, default=ROOT / ".venv-bench" / "bin" / "python", help="the python of the peers")
    parser.add_argument("--out", type=Path, default=HERE, help="where results.json and results.md lie")
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    if asked.millions > 10:
        small, _ = run(10, "string", OURS, asked.folder)
        large, _ = run(asked.millions, "string", OURS, asked.folder)
        costs, wrong = {"string": large, "string, 10 M": small}, []
        rows = list(bars_of_growth(large, small, asked.millions / 10))
    else:
        tools = dict.fromkeys(PIECES, asked.peers) | OURS
        done = {ids: run(asked.millions, ids, tools, asked.folder) for ids in ("string", "integer")}
        costs = {ids: cost for ids, (cost, _) in done.items()}
        wrong = [f"{ids} ids: {what}" for ids, (_, equal) in done.items() for what in unlike(equal)]
        rows = [row for ids, cost in costs.items() for row in bars(cost, ids)]
    about = versions([asked.peers, Path(sys.executable)])
    publish(asked.out, f"{asked.millions:g}", costs, rows, about, wrong)


if __name__ == "__main__":
    main()
