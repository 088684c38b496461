"""results.json as a page: what each tool cost, and which bars were held."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

NAMES = {
    "Ours": "ours",
    "Polars": "polars",
    "Pandas": "pandas",
    "Retentioneering": "retentioneering",
    "Pm4py": "pm4py",
    "Pm4pyOnPolars": "pm4py on polars",
}
STEPS = {
    "prepare": "read and sort, once",
    "transitions": "transitions",
    "variants": "variants",
    "funnel": "funnel of four steps",
    "case_summary": "case summary",
    "time_to": "time to the phone",
    "sum": "the five in sum",
    "funnel_within": "funnel within 7 days",
}
THEMES = {
    ("OursThemes", "prepare"): "placing by meaning, for all but the last",
    ("OursThemes", "by_meaning"): "ours, by meaning",
    ("BERTopic", "default"): "BERTopic as it comes",
    ("BERTopic", "outliers_reduced"): "BERTopic, outliers reduced",
    ("BERTopic", "given_number"): "BERTopic with KMeans of 77",
    ("OursThemes", "by_words"): "ours, by words alone, from text to names",
    ("OursTickets", "prepare"): "a codebook of the first tenth, by words",
    ("OursTickets", "assigned"): "all assigned to it, 100,000 at a time",
}
FORECASTS = {
    ("OursForecast", "prepare"): "ours: choosing the kind, fitting both",
    ("OursForecast", "chosen"): "ours as chosen: {kind}, scoring",
    ("OursForecast", "other"): "ours, the other: {kind}, scoring",
    ("LightGBM", "default"): "LightGBM as it comes, fitting and scoring",
    ("LightGBM", "stopped"): "LightGBM, rounds from newer cases",
    ("XGBoost", "default"): "XGBoost as it comes, fitting and scoring",
    ("XGBoost", "stopped"): "XGBoost, rounds from newer cases",
}
READ_ME_FORECASTS = """All learn from the same coded rows, labels and weights, each case weighing 1 in all, and score the
same newer ones, on one thread. ServiceNow: every update of an open incident that no third group has had yet, as
`escalation.fit` takes them; the oldest 80 % of the incidents to learn from. The million rows are generated, 28 numbers and 12
columns of words; as many newer ones are scored. "Choosing and fitting" is all that `escalation.fit` does between its features
and its scores: both kinds at three rolling origins, from 100,000 rows at most, then each on all rows, rounds and penalty sought
on newer cases. "Rounds from newer cases" is the same for the peers, fitted again on all rows. One run each, on a busy machine.
"""
READ_ME_THEMES = """ARI and NMI are agreement with the 77 intents that people gave these texts (Banking77, Casanueva et al.
2020): 1 = the same groups, an ARI of 0 = no more than chance. All group the same rows of the same model, but the last.
CPU is that of clustering and naming, those rows given: the least of three runs, on one thread. BERTopic chooses its number of
themes unless given one, its outliers count as one group. It draws anew in each run: its ARI and NMI are medians of three, those
of KMeans of 77 of nine.
"""
READ_ME = """Equal answers are checked first, column by column, down to each case and each microsecond. What the peers do
otherwise, and how this was measured:

- pm4py on polars answers the funnel wrongly: its `eventually_follows` takes B, C, A, B for A, B, C. Its cost is counted.
- pm4py on pandas gives starts and ends of cases as a thousandth of the time where stamps are in microseconds; its durations
  are right and are what is compared. It has no time to a stage, and neither engine has a window.
- retentioneering runs the time to the phone from a case's first touch, not from the first that seeks help: it is held
  against the answer to that question. It has no variants, and no window over several steps. It orders ties by input row: tied
  touches of a case stand in the file from left to right, where all tools agree.
- Observation goes on for long after the last touch, so that every case is over: the peers take it so whatever the log says.
- Each piece runs in a process of its own, after a rehearsal on a small log. CPU is that of all processes; the peak is that of
  the process, with what it had loaded. Bringing back what was prepared is not counted for the peers; for ours it is where a
  line says "open". The least CPU and wall time of three runs counts; of one run for retentioneering, pm4py and what the peers
  prepare.
"""


def page(results: Mapping[str, Mapping[str, Any]]) -> str:
    """The page for all sizes that were run, the smallest first."""
    parts = ["# How fast\n"]
    for size, ran in sorted(
        ((size, ran) for size, ran in results.items() if size not in ("themes", "escalation")), key=lambda item: float(item[0])
    ):
        versions = ", ".join(f"{name} {version}" for name, version in ran["versions"].items())
        parts.append(f"## {size} million touches\n\n{ran['cpus']} CPUs; {versions}.\n")
        for ids in dict.fromkeys(cost["ids"] for cost in ran["costs"]):
            parts.append(f"With {ids} ids, CPU seconds / wall seconds / peak MB:\n\n{_costs(ran['costs'], ids)}\n")
        parts.append(_bars(ran["rows"]) + "\n")
        parts += [f"Wrong: {what}.\n" for what in ran["wrong"]]
    parts += [READ_ME, *(_themes(results["themes"]) if "themes" in results else [])]
    return "\n".join([*parts, *(_forecasts(results["escalation"]) if "escalation" in results else [])])


def _themes(ran: Mapping[str, Any]) -> Iterator[str]:
    versions = ", ".join(f"{name} {version}" for name, version in ran["versions"].items())
    yield f"# How well texts are grouped\n\n{ran['cpus']} CPUs; {versions}.\n"
    for texts in dict.fromkeys(cost["ids"] for cost in ran["costs"]):
        found = {(cost["tool"], cost["step"]): cost for cost in ran["costs"] if cost["ids"] == texts}
        rows = [["", "ARI", "NMI", "themes", "outliers", "CPU s", "peak MB"]]
        rows += [[what, *_agreement(found[piece])] for piece, what in THEMES.items() if piece in found]
        yield f"{texts}:\n\n{_table(rows)}\n"
    yield _bars(ran["rows"]) + "\n"
    yield READ_ME_THEMES


def _forecasts(ran: Mapping[str, Any]) -> Iterator[str]:
    versions = ", ".join(f"{name} {version}" for name, version in ran["versions"].items())
    yield f"# Who will escalate\n\n{ran['cpus']} CPUs; {versions}.\n"
    for rows in dict.fromkeys(cost["ids"] for cost in ran["costs"]):
        found = {(cost["tool"], cost["step"]): cost for cost in ran["costs"] if cost["ids"] == rows}
        table = [["", "AUC", "log loss", "ECE", "CPU s", "peak MB"]]
        table += [[what.format(**found[piece]), *_scored(found[piece])] for piece, what in FORECASTS.items() if piece in found]
        yield f"{rows}:\n\n{_table(table)}\n"
    yield _bars(ran["rows"]) + "\n"
    yield READ_ME_FORECASTS


def _scored(cost: Mapping[str, float]) -> list[str]:
    said = [f"{cost[name]:.3f}" if name in cost else "-" for name in ("auc", "log_loss", "ece")]
    return [*said, f"{cost['cpu']:.1f}", f"{cost['peak']:,.0f}"]


def _agreement(cost: Mapping[str, float]) -> list[str]:
    said = (
        [f"{cost['ari']:.3f}", f"{cost['nmi']:.3f}", str(cost["k"]), f"{cost['outliers']:.0%}"] if "ari" in cost else ["-"] * 4
    )
    return [*said, f"{cost['cpu']:.1f}", f"{cost['peak']:,.0f}"]


def brief(results: Mapping[str, Mapping[str, Any]]) -> str:
    """The table of the README: CPU seconds on ten million touches, and ours on a hundred million beside them."""
    found = {(cost["tool"], cost["step"]): cost for cost in results["10"]["costs"] if cost["ids"] == "string"}
    large = {(cost["tool"], cost["step"]): cost for cost in results["100"]["costs"] if cost["ids"] == "string"}
    columns = {name: (found, tool) for tool, name in NAMES.items()} | {"ours, 100 M": (large, "Ours")}
    rows = [["", *columns]]
    for step in [*list(STEPS)[:6], "funnel_within"]:
        cells = [costs.get((tool, step)) for costs, tool in columns.values()]
        rows.append([STEPS[step], *("-" if cost is None else f"{cost['cpu']:.2g}" for cost in cells)])
    peaks = [max(cost["peak"] for (name, _), cost in costs.items() if name == tool) for costs, tool in columns.values()]
    return _table([*rows, ["highest peak, GB", *(f"{peak / 1000:.2g}" for peak in peaks)]])


def _costs(costs: Sequence[Mapping[str, Any]], ids: str) -> str:
    found = {(cost["tool"], cost["step"]): cost for cost in costs if cost["ids"] == ids}
    tools = [tool for tool in NAMES if (tool, "prepare") in found]
    for tool in tools:
        asked = [found[tool, step] for step in list(STEPS)[1:6] if (tool, step) in found]
        found[tool, "sum"] = {unit: sum(cost[unit] for cost in asked) for unit in ("cpu", "wall")} | {
            "peak": max(cost["peak"] for cost in asked)
        }
    rows = [["", *(NAMES[tool] for tool in tools)]]
    rows += [[what, *(_cell(found.get((tool, step))) for tool in tools)] for step, what in STEPS.items()]
    return _table(rows)


def _cell(cost: Mapping[str, float] | None) -> str:
    return "-" if cost is None else f"{cost['cpu']:.2f} / {cost['wall']:.2f} / {cost['peak']:,.0f}"


def _bars(rows: Sequence[Mapping[str, Any]]) -> str:
    said = {True: "held", False: "**missed**", None: ""}
    lines = [["", "ours", "peer", "ratio", "bar", ""]]
    for row in rows:
        peer, ratio = ("" if row[name] is None else f"{row[name]:,.2f}" for name in ("peer", "ratio"))
        lines.append([row["name"], f"{row['ours']:,.2f}", peer, ratio, row["bar"], said[row["held"]]])
    return _table(lines)


def _table(rows: Sequence[Sequence[str]]) -> str:
    head, *body = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([head, "|---" + "|---:" * (len(rows[0]) - 1) + "|", *body])
