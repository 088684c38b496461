"""The bench in small: the peers and we answer what a loop over plain lists answers, and the harness counts what it says."""

import importlib.util
import json
import re
import subprocess
import sys
from collections import Counter
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bench import cost, escalation, journey, peers, themes
from bench.generate import moments, touches, write
from bench.tables import brief, page

N = 50_000
BENCH = Path(journey.__file__).parent
MODULES = {
    "Polars": "polars",
    "Retentioneering": "retentioneering",
    "Pm4py": "pm4py",
    "Pm4pyOnPolars": "pm4py",
}


@pytest.fixture(scope="module", params=["string", "integer"])
def events(request, tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("bench") / f"{request.param}.parquet"
    write(file, N, request.param)
    return file


@cache
def paths(events: Path) -> dict:
    """The touches of each case as a list of (time in microseconds, stage), in the order of the file."""
    found: dict = {}
    table = pq.read_table(events)
    at = table["occurred_at"].cast(pa.int64()).to_pylist()
    for case, us, stage in zip(table["case_id"].to_pylist(), at, table["stage"].to_pylist(), strict=True):
        found.setdefault(case, []).append((us, stage))
    return found


def depth(path: list, within: int | None) -> int:
    """How many of the four steps does a path take in order, one after the other?"""
    taken, began = 0, None
    for us, stage in path:
        if taken < 4 and stage == peers.STEPS[taken] and (within is None or began is None or us - began <= within):
            taken, began = taken + 1, us if began is None else began
    return taken


def watched(path: list, latest: int) -> bool:
    """Did the case begin by then, and take its first step by then if ever?"""
    return path[0][0] <= latest and next((us for us, stage in path if stage == "help"), latest) <= latest


def plainly(events: Path, question: str) -> Counter | dict:
    """The answer by looping over the paths: key -> values."""
    cases = paths(events)
    until = max(us for path in cases.values() for us, _ in path)
    code = peers.CODE
    if question == "transitions":
        return Counter(5 * code[a] + code[b] for p in cases.values() for (_, a), (_, b) in pairwise(p))
    if question == "variants":
        return Counter("".join(peers.LETTERS[code[stage]] for _, stage in path) for path in cases.values())
    if question in ("funnel", "funnel_within"):
        within = peers.WEEK if question == "funnel_within" else None
        depths = [depth(path, within) for path in cases.values() if not within or watched(path, until - within)]
        return {step: sum(d > step for d in depths) for step in range(4)}
    if question == "case_summary":
        return {
            str(case): (len(path), path[0][0], path[-1][0], code[path[0][1]], code[path[-1][1]]) for case, path in cases.items()
        }
    left = "help" if question == "time_to" else "product"
    sought = {case: next((us for us, s in path if code[s] >= code[left]), None) for case, path in cases.items()}
    called = {case: next((us for us, s in path if s == "phone"), None) for case, path in cases.items()}
    return Counter(called[case] - us for case, us in sought.items() if us is not None and called[case] is not None)


def answered(tool: str, question: str, events: Path) -> pd.DataFrame:
    """What a tool answers, prepared and brought back as in the bench."""
    asked, folder = cost.tool(tool), events.parent / tool / events.stem
    if not folder.exists():
        folder.mkdir(parents=True)
        asked.keep(asked.prepare(events, folder), folder)
    found = getattr(asked, question)(asked.load(events, folder))
    return pa.table(asked.answer(question, found, folder)).to_pandas()


@pytest.mark.parametrize(
    ("tool", "question"),
    [
        (tool, question)
        for tool, steps in journey.PIECES.items()
        for question in steps
        if question != "prepare" and tool not in ("Yardsticks", "OursAtOnce")
    ],
)
def test_a_tool_answers_as_a_loop_over_plain_lists_does(tool, question, events):
    module = MODULES.get(tool)
    if module and not importlib.util.find_spec(module):
        pytest.skip(f"{module} is not installed here: `make bench` compares it")
    found = answered(tool, question, events)
    truth = plainly(events, journey.INSTEAD.get((tool, question), question))
    if question == "case_summary":
        names = ["touches", "began", "ended", "first", "last"]
        whole = pd.DataFrame.from_dict(truth, orient="index", columns=names).rename_axis("case_id").reset_index()
        whole["duration"] = whole["ended"] - whole["began"]
        found["case_id"] = found["case_id"].astype(str)
        found, whole = (frame.sort_values("case_id", ignore_index=True) for frame in (found, whole))
        assert len(found) == len(whole)
        assert set(found) - {"case_id"}
        assert all((found[name] == whole[name]).all() for name in found)
    else:
        same = dict(zip(found.iloc[:, 0].tolist(), found.iloc[:, 1].tolist(), strict=True)) == dict(truth)
        assert same != ((tool, question) in journey.KNOWN_ERRORS)


def test_a_generated_log_is_ordered_by_time_with_ties_from_left_to_right():
    customer, case, at, stage = touches(N)
    rows = pd.DataFrame({"customer": customer, "case": case, "at": at, "stage": stage})
    assert len(rows) == N
    assert rows["at"].is_monotonic_increasing
    assert (rows.groupby("case")["customer"].nunique() == 1).all()
    tied = rows.groupby(["case", "at"])["stage"]
    assert (tied.size() > 1).sum() > N / 100
    assert tied.apply(lambda stages: stages.is_monotonic_increasing).all()
    assert rows.groupby("case").size().max() == 300  # a robot's


def test_the_clock_counts_processes_that_ended_and_that_still_run():
    burn = "import time\nwhile time.process_time() < {}: pass\n{}"

    def work():
        subprocess.run([sys.executable, "-c", burn.format(0.3, "")], check=True)
        running = subprocess.Popen(
            [sys.executable, "-c", burn.format(0.3, "print(flush=True); time.sleep(60)")], stdout=subprocess.PIPE
        )
        running.stdout.readline()
        return running

    running, spent = cost.clocked(work)
    running.kill()
    running.communicate()
    assert 0.55 <= spent["cpu"] <= 3
    assert spent["wall"] >= 0.3


def test_a_piece_runs_in_a_process_of_its_own_and_leaves_its_cost_and_answer(tmp_path):
    for name in ("log.parquet", "rehearsal-log.parquet"):
        write(tmp_path / name, 5_000)
    for step in ("prepare", "transitions"):
        spent = journey._piece(Path(sys.executable), "Pandas", step, tmp_path / "log.parquet", tmp_path)
        assert spent["cpu"] > 0
        assert 50 < spent["peak"] < 1000
    assert pq.read_table(tmp_path / "Pandas" / "transitions.answer.parquet").column_names == ["pair", "n"]
    with pytest.raises(SystemExit, match=r"(?s)Pandas no_such_question failed.*AttributeError"):
        journey._piece(Path(sys.executable), "Pandas", "no_such_question", tmp_path / "log.parquet", tmp_path)


def test_an_answer_that_differs_by_a_microsecond_is_unequal(tmp_path):
    for tool, wait in (("Pandas", 5), ("Ours", 6)):
        (tmp_path / tool).mkdir()
        pq.write_table(pa.table({"wait": [1, wait], "n": [1, 1]}), tmp_path / tool / "time_to.answer.parquet")
    equal = journey.answers(["Pandas", "Ours"], tmp_path)
    assert equal == {("Ours", "time_to"): False}
    assert journey.unlike(equal) == ["Ours time_to differs from Pandas"]
    assert journey.unlike({("Pm4pyOnPolars", "funnel"): False}) == []
    assert journey.unlike({("Pm4pyOnPolars", "funnel"): True}) == ["Pm4pyOnPolars funnel is a known error and is right"]


def spent(**changed) -> dict:
    """Costs under which every bar is held: one second a piece, ten of ours where many are taken together."""
    costs = {(tool, step): {"cpu": 1.0, "wall": 1.0, "peak": 800} for tool, steps in journey.PIECES.items() for step in steps}
    for (tool, _), of in costs.items():
        if tool in ("Pm4py", "Pm4pyOnPolars", "Retentioneering", "Pandas"):
            of["cpu"] = 40.0
    for name, cpu in changed.items():
        costs[tuple(name.split("__"))]["cpu"] = cpu
    return costs


def test_a_bar_is_held_up_to_its_limit_and_missed_beyond():
    def missed(**changed):
        return [row.name for row in journey.bars(spent(**changed), "string") if row.held is False]

    assert missed() == []
    assert missed(OursAtOnce__five_questions=6.5) == []
    assert missed(OursAtOnce__five_questions=6.6) == ["string ids: open and five questions, against one column scan, CPU s"]
    assert missed(Pandas__funnel_within=2.9) == ["string ids: funnel with window, against pandas, CPU s"]
    assert missed(Pm4py__funnel=-1.0) == ["string ids: four questions, against pm4py, CPU s"]
    assert len(missed(Ours__prepare=3.1)) == 2


def test_the_page_shows_a_missed_bar_and_every_cost():
    costs = spent(OursAtOnce__five_questions=7.0)
    rows = [journey.asdict(row) for row in journey.bars(costs, "string")]
    listed = [{"ids": "string", "tool": tool, "step": step, **of} for (tool, step), of in costs.items()]
    found = page({"10": {"rows": rows, "costs": listed, "wrong": [], "cpus": 2, "versions": {"python": "3"}}})
    assert found.count("**missed**") == 1
    assert "| variants | 1.00 / 1.00 / 800 | 1.00 / 1.00 / 800 | 40.00 / 1.00 / 800 | - | 40.00 / 1.00 / 800 |" in found


def test_the_results_that_are_committed_are_those_on_the_page():
    if not (BENCH / "results.json").is_file():
        pytest.skip("no results are committed yet: make bench, then make bench SIZE=100, write them")
    results = json.loads((BENCH / "results.json").read_text(encoding="utf-8"))
    assert (BENCH / "results.md").read_text(encoding="utf-8") == page(results)
    assert {"10", "100", "themes"} <= set(results)
    assert brief(results) in (BENCH.parent.parent / "README.md").read_text(encoding="utf-8")
    for ran in results.values():
        assert ran["wrong"] == []
        assert all({"name", "ours", "peer", "ratio", "bar", "held"} == set(row) for row in ran["rows"])


def test_the_lock_of_the_peers_has_hashes_and_no_address():
    lock = (BENCH / "requirements.lock").read_text(encoding="utf-8")
    pinned = re.findall(r"^([a-z0-9._-]+)==", lock, flags=re.MULTILINE)
    assert {"bertopic", "lightgbm", "xgboost-cpu", "pandas", "polars", "pm4py", "retentioneering"} <= set(pinned)
    assert not {"torch", "sentence-transformers"} & set(pinned)
    assert lock.count("--hash=sha256:") >= len(pinned)
    assert "://" not in lock


def test_growth_is_held_against_the_small_log():
    small = spent()
    rows = list(journey.bars_of_growth(spent(Ours__prepare=12.1), small, 10))
    assert [row.held for row in rows] == [True, True, False, True]


# --- themes -------------------------------------------------------------------------------------------------


def grouped_well(**changed) -> dict:
    """What was found where every bar of the themes is held."""
    steps = [(tool, step) for tool, steps in themes.PIECES.items() for step in steps]
    found = {piece: {"cpu": 1.0, "peak": 500, "ari": 0.6, "nmi": 0.8, "k": 77, "outliers": 0.0} for piece in steps}
    for (tool, _), of in found.items():
        of["cpu"] = 30.0 if tool == "BERTopic" else 1.0
    for name, value in changed.items():
        tool, step, what = name.split("__")
        found[tool, step][what] = value
    return found


def test_themes_are_held_against_the_best_of_the_three():
    def missed(**changed):
        return [row.name for row in themes.bars(grouped_well(**changed), "texts") if row.held is False]

    assert missed() == []
    assert missed(BERTopic__given_number__ari=0.609) == []
    assert missed(BERTopic__given_number__ari=0.611) == ["texts: ARI, against the best BERTopic"]
    assert missed(BERTopic__default__nmi=0.9) == ["texts: NMI, against the best BERTopic"]
    assert missed(BERTopic__default__cpu=9.0) == [
        "texts: clustering and naming, against the cheapest BERTopic, CPU s",
        "texts: from text to names, ours by words, against BERTopic by meaning, CPU s",
    ]


def test_agreement_counts_outliers_as_a_group_and_not_as_a_theme():
    found = themes.agreement(np.array([0, 0, 1, -1]), np.array(["a", "a", "b", "c"]))
    assert found == {"ari": 1.0, "nmi": 1.0, "k": 2, "outliers": 0.25}


def test_a_tool_that_draws_anew_is_judged_by_the_median_of_its_runs(monkeypatch, tmp_path):
    drawn = iter([0.2, 0.9, 0.4, 0.5, 0.1])
    spent = iter([3.0, 1.0, 2.0, 5.0, 4.0])
    monkeypatch.setattr(journey, "DRAWS", {("Draws", "one"): 5})
    monkeypatch.setattr(journey, "_piece", lambda *_: {"cpu": next(spent), "wall": 1.0, "peak": 7.0})
    pieces, tools = {"Draws": ("one",)}, {"Draws": Path(sys.executable)}
    found = journey.measure(tools, tmp_path, tmp_path, pieces, lambda *_: {"ari": next(drawn)})
    assert found == {("Draws", "one"): {"cpu": 1.0, "wall": 1.0, "peak": 7.0, "ari": 0.4}}


def test_many_tickets_are_held_against_cpu_and_memory():
    def missed(**changed):
        return [row.name for row in themes.bars_of_size(grouped_well(**changed)) if row.held is False]

    assert missed() == []
    assert missed(OursTickets__prepare__cpu=61) == ["a codebook of 100,000 tickets, by words: CPU s"]
    assert missed(OursTickets__assigned__peak=1501) == ["1 M tickets assigned: peak"]


def test_our_pieces_and_the_harness_assign_many_tickets(tmp_path, monkeypatch):
    monkeypatch.setattr(journey, "RUNS", 1)
    monkeypatch.setattr(themes, "REHEARSAL", 40)
    found = themes.run_tickets(2_000, tmp_path / "work")
    assert found.keys() == {("OursTickets", "prepare"), ("OursTickets", "assigned")}


def test_the_page_shows_themes_after_the_journey():
    listed = [{"ids": "5 texts", "tool": tool, "step": step, **of} for (tool, step), of in grouped_well().items()]
    rows = [journey.asdict(row) for row in themes.bars(grouped_well(OursThemes__by_meaning__ari=0.5), "5 texts")]
    found = page({"themes": {"rows": rows, "costs": listed, "cpus": 2, "versions": {"python": "3"}}})
    assert "| ours, by meaning | 0.600 | 0.800 | 77 | 0% | 1.0 | 500 |" in found
    assert found.count("**missed**") == 1


def test_our_pieces_and_the_harness_group_texts_that_say_what_they_are_about(tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime", reason="the language model is not installed: pip install 'cxlib[semantic]'")
    about = ["lost card", "late refund", "new password"]
    table = [(f"{about[n % 3]} of order x{chr(97 + n // 26)}{chr(97 + n % 26)}, please", about[n % 3]) for n in range(90)]
    source = tmp_path / "texts.csv"
    pd.DataFrame(table, columns=["text", "category"]).to_csv(source, index=False)
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    monkeypatch.setattr(journey, "RUNS", 1)
    found = themes.run(source, {"OursThemes": Path(sys.executable)}, tmp_path / "work")
    assert {step for _, step in found} == set(themes.PIECES["OursThemes"])
    assert all(found["OursThemes", step]["nmi"] > 0.3 for step in ("by_meaning", "by_words"))


# --- the forecast -------------------------------------------------------------------------------------------


def forecast_well(**changed) -> dict:
    """What was found where every bar of the forecast is held."""
    steps = [(tool, step) for tool, steps in escalation.PIECES.items() for step in steps]
    found = {
        piece: {"cpu": 20.0, "peak": 1500, "auc": 0.86, "log_loss": 0.3, "ece": 0.01, "kind": "boosting"} for piece in steps
    }
    for name, value in changed.items():
        tool, step, what = name.split("__")
        found[tool, step][what] = value
    return found


def test_a_forecast_is_held_against_the_best_peer_and_against_cpu_and_memory():
    def missed(**changed):
        found = forecast_well(**changed)
        return [row.name for of in (escalation.bars, escalation.bars_of_size) for row in of(found, "rows") if row.held is False]

    assert missed() == []
    assert missed(XGBoost__stopped__auc=0.869) == []
    assert missed(XGBoost__stopped__auc=0.871) == ["rows: AUC, against the best peer"]
    assert missed(OursForecast__prepare__cpu=241) == ["rows: choosing and fitting both kinds, CPU s"]
    assert missed(OursForecast__prepare__peak=2001) == ["rows: peak of that"]
    assert missed(OursForecast__other__cpu=31) == ["rows: as many scored by boosting, CPU s"]


def test_generated_moments_are_forty_features_of_whole_cases_and_can_be_forecast():
    features, keys = moments(3_000)
    assert features.shape == (3_000, 40)
    assert 2.5 < len(keys) / keys["case"].nunique() < 3.5
    by_case = keys.groupby("case")
    assert (by_case[["customer", "began"]].nunique() == 1).all(axis=None)
    assert 0.1 < by_case["escalated_at"].first().notna().mean() < 0.4
    assert (keys["at"] < keys["escalated_at"].fillna(np.inf)).all()
    assert set(features["word2.value"]) == set(moments(3_000, seed=2)[0]["word2.value"])


def test_our_forecast_and_the_peers_that_are_here_beat_guessing(tmp_path, monkeypatch):
    monkeypatch.setattr(escalation, "REHEARSAL", 150)
    modules = {"LightGBM": "lightgbm", "XGBoost": "xgboost"}
    tools = ["OursForecast", *(tool for tool, module in modules.items() if importlib.util.find_spec(module))]
    found = escalation.run(*escalation.of_size(4_000), dict.fromkeys(tools, Path(sys.executable)), tmp_path / "work", 1)
    assert {tool for tool, _ in found} == set(tools)
    assert {found["OursForecast", step]["kind"] for step in ("chosen", "other")} == {"logistic", "boosting"}
    assert all(of["auc"] > 0.6 for (_, step), of in found.items() if step != "prepare")


def test_peers_are_given_the_rows_as_our_models_code_them(tmp_path):
    older, later = escalation.of_size(2_000)
    escalation.lay(tmp_path / "rows.parquet", older, later)
    first, second = peers.Boosted().load(tmp_path / "rows.parquet", tmp_path)
    assert len(first) == len(second) == 2_000
    assert first["weight"].sum() == pytest.approx(older[1]["case"].nunique())
    assert first["word11.value"].cat.categories.size < older[0]["word11.value"].nunique()
    assert first["word11.value"].value_counts().drop("(another)").min() >= 20
    assert list(second["word11.value"].cat.categories) == list(first["word11.value"].cat.categories)
    began = older[1]["began"]
    assert began[first["is_newer"]].min() > began[~first["is_newer"]].max()


def test_the_page_shows_the_forecast_after_the_themes():
    listed = [{"ids": "ServiceNow", "tool": tool, "step": step, **of} for (tool, step), of in forecast_well().items()]
    rows = [journey.asdict(row) for row in escalation.bars(forecast_well(XGBoost__default__auc=0.9), "ServiceNow")]
    found = page({"escalation": {"rows": rows, "costs": listed, "cpus": 2, "versions": {"python": "3"}}})
    assert "| ours as chosen: boosting, scoring | 0.860 | 0.300 | 0.010 | 20.0 | 1,500 |" in found
    assert found.count("**missed**") == 1
