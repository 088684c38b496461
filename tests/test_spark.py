"""Spark on a real standalone cluster: a master and two workers on loopback, and the same numbers as here."""

import dataclasses
import inspect
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cxlib import cli, eventlog, journey, open_log, spark, store, stories
from cxlib.eventlog.log import PER_CASE, PER_TOUCH
from cxlib.reports import engine
from cxlib.schema import STAGES, DataError
from cxlib.spark import log as spark_log
from cxlib.spark import opening, parts, session

pyspark = pytest.importorskip("pyspark", reason="pyspark is not installed: pip install 'cxlib[spark]'")
needs_java = pytest.mark.skipif(shutil.which("java") is None, reason="Java 17 is not installed")

QUICK = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"  # short runs: less compiling by Java


@dataclasses.dataclass
class Cluster:
    url: str
    workers: list[subprocess.Popen]
    folder: Path

    def programs(self) -> set[str]:
        """Which programs have had an executor on a worker so far?"""
        return {program.name for program in self.folder.glob("*/app-*")}


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    """A master and two workers with one core each, and Spark's own settings as an operator would write them."""
    if shutil.which("java") is None:
        pytest.skip("Java 17 is not installed")
    folder = tmp_path_factory.mktemp("cluster")
    (folder / "spark-defaults.conf").write_text(
        f"spark.driver.extraJavaOptions {QUICK}\nspark.executor.extraJavaOptions {QUICK}\nspark.sql.shuffle.partitions 3\n"
    )
    home = Path(pyspark.__file__).parent
    ours = {"SPARK_HOME": str(home), "SPARK_LOCAL_IP": "127.0.0.1", "SPARK_CONF_DIR": str(folder)}
    theirs = os.environ | ours | {"SPARK_DAEMON_MEMORY": "256m", "SPARK_DAEMON_JAVA_OPTS": QUICK}
    port = free_port()
    url = f"spark://127.0.0.1:{port}"

    def start(name, *args):
        command = [str(home / "bin" / "spark-class"), f"org.apache.spark.deploy.{name}", "--host", "127.0.0.1", *args]
        with (folder / "daemons.log").open("ab") as log:
            return subprocess.Popen(command, env=theirs, stdout=log, stderr=log, cwd=folder)

    master = start("master.Master", "--port", str(port), "--webui-port", "0")
    wait_for(lambda: answers(port), "the master to listen")
    workers = [
        start("worker.Worker", "-c", "1", "-m", "1100m", "--webui-port", "0", "-d", str(folder / name), url)
        for name in ("one", "two")
    ]
    pyspark.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # kernels of this file: the workers cannot import it
    before = {name: os.environ.get(name) for name in ours}
    os.environ.update(ours)
    yield Cluster(url, workers, folder)
    if running := pyspark.SparkContext._active_spark_context:
        running.stop()
    for daemon in (*workers, master):
        end(daemon.pid)
    for name, value in before.items():
        os.environ.pop(name) if value is None else os.environ.update({name: value})


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_for(done, what: str, seconds: float = 120):
    until = time.monotonic() + seconds
    while not (found := done()):
        assert time.monotonic() < until, f"waited {seconds} s for {what}"
        time.sleep(0.05)
    return found


def end(pid: int) -> None:
    """Kill a process of ours and its children at once."""
    try:
        process = psutil.Process(pid)
        for each in [*process.children(recursive=True), process]:
            each.kill()
    except psutil.NoSuchProcess:
        return


@pytest.fixture
def small(cluster, monkeypatch):
    """Small batches, small parts and many tasks, so that a small log is cut as a large one would be."""
    monkeypatch.setattr(spark_log, "PER_TASK", 1_500)
    monkeypatch.setattr(spark_log, "PER_PART", 300)
    monkeypatch.setattr(session, "_SETTINGS", session._SETTINGS | {"spark.sql.execution.arrow.maxRecordsPerBatch": "100"})
    return cluster


# --- worlds ----------------------------------------------------------------------------------------------------------------


def random_touches(n: int, seed: int) -> pd.DataFrame:
    """Touches with ties, touches of nobody and of visitors, cases of two users or cut by gap, one very busy customer."""
    rng = np.random.default_rng(seed)
    user = rng.choice([*(f"u{i}" for i in range(60)), None], n)
    user[rng.random(n) < 0.25] = "busy"
    case = np.array([f"{u}-{k}" if u else None for u, k in zip(user, rng.integers(0, 8, n), strict=True)], dtype=object)
    case[rng.random(n) < 0.1] = "shared"
    case[rng.random(n) < 0.15] = None
    visitor = np.where([u is None for u in user], rng.choice(["v1", "v2", "v3", None], n), None)
    minutes = rng.integers(0, 60 * 24 * 80, n) // 30 * 30  # half hours: many touches at one time
    return pd.DataFrame(
        {
            "touchpoint_id": [f"t{i:05}" for i in rng.permutation(n)],
            "user_id": user,
            "visitor_id": visitor,
            "case_id": case,
            "occurred_at": pd.to_datetime(minutes, unit="m", utc=True, origin="2026-01-01").astype("datetime64[us, UTC]"),
            "seq": pd.array(rng.choice([1, 2, None], n), dtype="Int64"),
            "stage": rng.choice(STAGES, n, p=[0.3, 0.3, 0.2, 0.15, 0.05]),
            "action": rng.choice(["read", "ask", "Äther", None], n),
            "ticket_id": rng.choice([*(f"k{i}" for i in range(30)), None], n),
            "sentiment": np.where(rng.random(n) < 0.5, rng.uniform(-1, 1, n).round(4), np.nan),
            "wait_s": np.where(rng.random(n) < 0.3, rng.exponential(300, n), np.nan),
            "outcome": rng.choice(["solved", "unsolved", None], n),
        }
    )


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """A data set with everything that decides who owns a case and how it ends."""
    rng = np.random.default_rng(5)
    tickets = pd.DataFrame(
        {"ticket_id": [f"k{i}" for i in range(40)], "case_id": rng.choice(["u1-1", "u2-3", "busy-2", None], 40)}
    )
    times = pd.Timestamp("2026-02-01", tz="UTC") + pd.to_timedelta(rng.integers(0, 60, 40), unit="D")
    tickets["resolved_at"] = pd.Series(times).where(rng.random(40) < 0.8)
    links = pd.DataFrame({"visitor_id": ["v1", "v2", "v2"], "user_id": ["u1", "u2", "u3"]})
    folder = tmp_path_factory.mktemp("world") / "data"
    tables = {"touchpoints": random_touches(6_000, seed=3), "tickets": tickets, "identities": links}
    store.write_dataset(folder, {"observed_until": "2026-03-20T00:00Z", "timezone": "Europe/Berlin"}, tables)
    return store.open_dataset(folder)


def same(ours, theirs, where=""):
    """Equal to the last bit: whole numbers, floats, frames, and results made of them."""
    if isinstance(ours, pd.DataFrame | pd.Series):
        compare = pd.testing.assert_frame_equal if isinstance(ours, pd.DataFrame) else pd.testing.assert_series_equal
        compare(ours, theirs, check_exact=True, obj=where)
    elif isinstance(ours, np.ndarray):
        assert ours.dtype == theirs.dtype, where
        np.testing.assert_array_equal(ours, theirs, err_msg=where)
    elif dataclasses.is_dataclass(ours):
        for field in dataclasses.fields(ours):
            if field.name != "log":
                same(getattr(ours, field.name), getattr(theirs, field.name), f"{where}.{field.name}")
    elif isinstance(ours, list | tuple) and len(ours) == len(theirs):
        for place, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            same(one, other, f"{where}[{place}]")
    else:
        assert ours == theirs or (ours != ours and theirs != theirs), where


FACTS = ["stages", "actions", "escalation", "problem_from", "observed_from", "observed_until", "gap", "timezone", "notes",
         "ties", "n_touches", "n_cases", "n_customers"]  # fmt: skip


def same_log(ours, theirs):
    """Every fact, array and id of two logs; the parts of the second are fetched once."""
    pieces = list(theirs.shards()) or [theirs.empty]
    for name in FACTS:
        same(getattr(ours, name), getattr(theirs, name), name)
    for name in (*PER_TOUCH, *PER_CASE, "customer_key"):
        same(np.asarray(getattr(ours, name)), np.concatenate([getattr(piece, name) for piece in pieces]), name)
    for name in ("case_start", "customer_start"):
        same(np.diff(getattr(ours, name)), np.concatenate([np.diff(getattr(piece, name)) for piece in pieces]), name)
    same(ours.case_labels(), theirs.case_labels(), "case_labels")


# --- equal to here ---------------------------------------------------------------------------------------------------------


def labels(log, n):
    """A label for each case that does not depend on the engine."""
    return np.array(["one", "two", "three", None], dtype=object)[np.arange(log.n_cases) % n]


# What the questions need to be told beyond the log; one that is not named here is asked with the log alone.
TOLD = {
    "change": [lambda log: {"segment": labels(log, 3)}],
    "contact_rate": [lambda log: {}, lambda log: {"segment": labels(log, 3)}],
    "funnel": [
        lambda log: {},
        lambda log: {"within": "3d", "by": "user"},
        *(
            lambda log, mode=mode: {"steps": ["help", "chatbot", "phone"], "mode": mode, "within": "30d"}
            for mode in ("open", "closed", "strict", "any-order")
        ),
    ],
    "matrix_diff": [lambda log: {"group": labels(log, 2)}],
    "segments": [lambda log: {"segment": labels(log, 4)}],
    "sessions": [lambda log: {"gap": "2d"}],
    "time_to": [lambda log: {"stage": "phone"}],
    "variants": [lambda log: {}, lambda log: {"top": 7}],
}
ASKED = {name: getattr(journey, name) for name in journey.__all__ if inspect.isfunction(getattr(journey, name))}
QUESTIONS = [name for name, ask in ASKED.items() if next(iter(inspect.signature(ask).parameters)) == "log"]


def test_every_question_gives_the_same_numbers_on_two_workers(small, world):
    """Ties, touches of nobody, cases of two users, visitors, cut cases, tickets, and a customer of many batches and parts."""
    here = eventlog.compile(world)
    there = spark.open_log(world, master=small.url)
    assert len(list(there.shards())) > there.stored.rdd.getNumPartitions() > 2
    assert np.diff(here.case_start[here.customer_start]).max() > 10 * 100  # the busy one fills more than ten batches
    same_log(here, there)
    for name in ("at", "case_start", "customer_start", "case_of_touch", "customer_of_case", "case_id", "customer_id"):
        same(getattr(here, name), getattr(there, name), name)
    for name in QUESTIONS:
        for told in TOLD.get(name, [lambda log: {}]):
            ask = getattr(journey, name)
            same(ask(here, **told(here)), ask(there, **told(there)), name)
    same(journey.funnel(here).cases_at("phone"), journey.funnel(there).cases_at("phone"))
    told = [stories.of_cases(world, log, here.case_id[:50], seed=1) for log in (here, there)]
    same(*told, "stories")


def test_the_demo_gives_the_same_numbers(cluster, demo):
    dataset = store.open_dataset(demo)
    here, there = eventlog.compile(dataset), spark.open_log(demo, master=cluster.url)
    same_log(here, there)
    for ask in (journey.forced_to_call, journey.funnel, journey.transitions, journey.mood):
        same(ask(here), ask(there), ask.__name__)


def as_files(touches: pd.DataFrame, folder: Path, unit: str = "us", **change) -> Path:
    folder.mkdir()
    table = touches.assign(**change).drop(columns=["touchpoint_id"])
    table["occurred_at"] = table["occurred_at"].dt.as_unit(unit)
    for i, rows in enumerate(np.array_split(np.arange(len(table)), 3)):
        pq.write_table(pa.Table.from_pandas(table.iloc[rows], preserve_index=False), folder / f"{i} of 3.parquet")
    return folder


FILES = {
    "a case is a customer": ({}, {}),
    "known users": (
        {"user_id": lambda t: t["user_id"].fillna("x"), "case_id": lambda t: t["user_id"] + t["case_id"].fillna("")},
        {"user": "user_id", "tie": "seq"},
    ),
    "unknown and shared": ({}, {"user": "user_id", "tie": "seq"}),
    "whole numbers": ({"user_id": lambda t: t.index % 50 - 7, "case_id": lambda t: t.index % 150}, {"user": "user_id"}),
    "other stages": ({"stage": lambda t: t["stage"].map(str.upper)}, {"user": "user_id"}),
    "nanoseconds": ({}, {}),  # here from microseconds: the unit changes nothing
}


@pytest.mark.parametrize("name", FILES)
def test_parquet_files_give_the_same_log(small, tmp_path, monkeypatch, name):
    monkeypatch.setenv("CX_CACHE", str(tmp_path / "cache"))
    change, columns = FILES[name]
    folder = as_files(random_touches(2_000, seed=11), tmp_path / "files", **change)
    here = eventlog.compile(folder, **columns)
    if name == "nanoseconds":
        folder = as_files(random_touches(2_000, seed=11), tmp_path / "other files", "ns")
    same_log(here, spark.open_log(folder, master=small.url, **columns))


def test_a_log_with_fewer_customers_than_tasks_and_a_log_without_touches(small, tmp_path, monkeypatch):
    monkeypatch.setattr(spark_log, "PER_TASK", 1)
    monkeypatch.setenv("CX_CACHE", str(tmp_path / "cache"))
    touches = random_touches(12, seed=1).assign(case_id=["a"] * 6 + ["b"] * 6)
    folder = as_files(touches, tmp_path / "files")
    here, there = eventlog.compile(folder), spark.open_log(folder, master=small.url)
    assert there.n_customers == 2 < there.touches.n
    same_log(here, there)
    early = store.Settings(observed_until=pd.Timestamp("1999-01-01", tz="UTC"))
    here, there = (
        open_(folder, settings=early) for open_ in (eventlog.compile, lambda s, **k: spark.open_log(s, master=small.url, **k))
    )
    assert there.n_touches == 0
    same_log(here, there)
    for ask in (journey.forced_to_call, journey.funnel, journey.transitions):
        same(ask(here), ask(there), ask.__name__)


# --- a report ---------------------------------------------------------------------------------------------------------------


def test_a_report_on_spark_has_the_same_pages_and_numbers(cluster, tmp_path, capsys):
    if running := pyspark.SparkContext._active_spark_context:
        running.stop()  # this program's own, so that there is room for the notebooks'
    before = cluster.programs()
    assert cli.main(["report", "1", "--out", str(tmp_path / "here")]) == 0
    assert cluster.programs() == before
    there = ["report", "1", "--out", str(tmp_path / "there"), "--engine", "spark", "--master", cluster.url]
    assert cli.main(there) == 0
    here, there = tmp_path / "here" / "latest", tmp_path / "there" / "latest"
    same(*(pd.read_parquet(folder / "metrics.parquet") for folder in (here, there)), "metrics")
    pages = sorted(page.name for page in here.glob("[0-9]*.*"))
    assert len(pages) == 2
    for page in pages:
        assert (here / page).read_bytes() == (there / page).read_bytes(), page
    assert [json.loads((folder / "manifest.json").read_text())["engine"] for folder in (here, there)] == ["local", "spark"]
    assert len(cluster.programs() - before) == 1, "the notebook counted on the workers"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--engine", "spark"], "--engine spark needs a cluster: add --master spark://HOST:7077"),
        (["--master", "spark://one:7077"], "names a cluster, which --engine local does not use: add --engine spark"),
        (["--engine", "spark", "--master", "one:7077"], "'one:7077' is no address of a cluster: write spark://HOST:7077"),
        pytest.param(
            ["--engine", "spark", "--master", "spark://127.0.0.1:1"], "no Spark master answers", marks=needs_java
        ),
    ],
)  # fmt: skip
def test_a_cluster_that_cannot_be_is_one_line_and_exit_2_before_anything_runs(arguments, says, tmp_path, monkeypatch, capsys):
    monkeypatch.delenv(spark.MASTER, raising=False)
    assert cli.main(["report", "0", "--out", str(tmp_path / "out"), *arguments]) == 2
    said = capsys.readouterr()
    assert says in said.err
    assert (said.err.count("\n"), said.out) == (1, "")
    assert not (tmp_path / "out").exists()


def test_a_report_on_spark_names_what_is_not_installed(tmp_path, monkeypatch, capsys):
    command = ["report", "0", "--out", str(tmp_path / "out"), "--engine", "spark", "--master", "local[2]"]
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert cli.main(command) == 2
    monkeypatch.setitem(sys.modules, "pyspark", None)
    assert cli.main(command) == 2
    java, package = capsys.readouterr().err.splitlines()
    assert "needs Java 17" in java
    assert "needs pyspark: pip install 'cxlib[spark]'" in package


def test_a_notebook_that_opens_its_log_by_other_means_is_not_said_to_run_on_spark(tmp_path, monkeypatch, capsys):
    ours, other = tmp_path / "ours.ipynb", tmp_path / "other.ipynb"
    ours.write_text("log = open_log(dataset)")
    other.write_text("log = eventlog.compile(dataset)")
    monkeypatch.setattr(spark, "check_cluster", lambda master: None)
    monkeypatch.setenv(spark.MASTER, "spark://one:7077")
    assert engine.cluster("spark", None, {"ours": ours, "other": other}) == "spark://one:7077"
    assert capsys.readouterr().err == "other opens no log with open_log and runs on this machine alone\n"
    with pytest.raises(DataError, match=r"no chosen notebook counts on Spark: open the log with cxlib.open_log\(dataset\)"):
        engine.cluster("spark", None, {"other": other})


def test_a_notebook_is_told_its_cluster_from_outside(monkeypatch, world):
    asked = []
    monkeypatch.setattr(opening, "connect", asked.append)
    monkeypatch.setattr(opening, "of_checked", lambda session, dataset: dataset)
    monkeypatch.setattr(opening, "spread", lambda touches: touches)
    monkeypatch.setenv(spark.MASTER, "spark://one:7077")
    assert open_log(world) is world
    assert open_log(world, master="local[2]") is world
    assert asked == ["spark://one:7077", "local[2]"]


# --- what a worker does, without a cluster ---------------------------------------------------------------------------------


def test_parts_hold_whole_customers_however_the_rows_are_cut_into_batches():
    customers = np.repeat(["a", "b", "c", "d"], [1, 7, 2, 3]).tolist()
    for size in range(1, 14):
        batches = [pa.record_batch({"customer": customers[i : i + size]}) for i in range(0, 13, size)]
        for touches in (1, 3, 100):
            groups = [
                [name for batch in group for name in batch["customer"].to_pylist()]
                for group in parts.whole_customers(batches, touches)
            ]
            assert [name for group in groups for name in group] == customers
            assert sum(len(set(group)) for group in groups) == 4
            assert all(len(group) >= touches for group in groups[:-1])
    assert list(parts.whole_customers([], 1)) == []


def test_a_task_without_rows_gives_nothing():
    assert list(parts.compiled(iter([]), {}, 10)) == []
    assert list(parts.added_up(iter([]), (), len, {}, None)) == []


# --- what goes wrong -------------------------------------------------------------------------------------------------------


def test_no_spark_without_a_master(world):
    assert isinstance(spark.open_log(world), eventlog.EventLog)


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyspark", None)
    with pytest.raises(DataError, match=r"needs pyspark: pip install 'cxlib\[spark\]'"):
        spark.open_log("touches", master="local[2]")


def test_a_missing_java_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(DataError, match="needs Java 17"):
        spark.open_log("touches", master="local[2]")


@needs_java
def test_a_master_that_does_not_answer_is_refused_within_seconds():
    began = time.monotonic()
    with pytest.raises(DataError, match=r"no Spark master answers at spark://127.0.0.1:1 \(.*Connection refused"):
        spark.open_log("touches", master="spark://127.0.0.1:1")
    assert time.monotonic() - began < 10


def test_one_program_has_one_cluster(cluster, world):
    spark.open_log(world, master=cluster.url)
    with pytest.raises(DataError, match=r"Spark runs on spark://.* in this program already"):
        spark.open_log(world, master="local[2]")


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"case": "cas_id"}, "has no column cas_id .*did you mean case_id"),
        ({"at": "seq"}, "seq holds .*not times: a number has no unit"),
        ({"tie": "stage"}, r"stage holds string, not whole numbers \(tie=\)"),
        ({"stage": "outcome", "settings": store.Settings()}, "'solved' is not a stage"),
    ],
)
def test_columns_that_cannot_be_are_refused_in_one_line(small, tmp_path, columns, said):
    folder = as_files(random_touches(20, seed=1), tmp_path / "files")
    with pytest.raises(DataError, match=said):
        spark.open_log(folder, master=small.url, **columns)


def test_files_that_are_not_parquet_or_not_there_are_refused(cluster, tmp_path):
    (tmp_path / "x.parquet").write_text("no")
    with pytest.raises(DataError, match=r"x.parquet cannot be read as parquet"):
        spark.open_log(tmp_path / "x.parquet", master=cluster.url)
    with pytest.raises(DataError, match="no parquet file at"):
        spark.open_log(tmp_path / "none", master=cluster.url)


# --- a worker dies ---------------------------------------------------------------------------------------------------------


def slowly(part, marks: Path) -> np.ndarray:
    """A kernel that takes its time, and leaves a mark when it begins."""
    mark = marks / f"{os.getpid()}-{time.monotonic_ns()}"
    mark.touch()
    time.sleep(0.7)
    return np.bincount(part.stage, minlength=len(part.stages))


def test_killing_a_worker_in_the_middle_of_a_job_changes_nothing(small, world, tmp_path):
    """The last test here: afterwards one worker is left."""
    here, there = eventlog.compile(world), spark.open_log(world, master=small.url)
    n_parts = len(list(there.shards()))
    answer = []
    job = threading.Thread(target=lambda: answer.append(there.add_up(slowly, marks=tmp_path)))
    job.start()

    def busy():
        """The executor of the second worker, once a kernel runs there."""
        for mark in tmp_path.iterdir():
            try:
                above = [process.pid for process in psutil.Process(int(mark.name.split("-")[0])).parents()]
            except psutil.NoSuchProcess:
                continue
            if small.workers[1].pid in above:
                return above
        return None

    wait_for(busy, "a kernel on the second worker")
    executors = psutil.Process(small.workers[1].pid).children()
    for victim in (psutil.Process(small.workers[1].pid), *executors):
        victim.send_signal(signal.SIGKILL)
    begun = len(list(tmp_path.iterdir()))
    assert executors and job.is_alive() and not answer and begun < n_parts, "the job was over before the worker died"
    job.join(timeout=300)
    same(answer[0], np.bincount(here.stage, minlength=5))
    assert len(list(tmp_path.iterdir())) > n_parts, "what the dead worker had done was done again"
    assert there.stored.sparkSession.sparkContext._jsc.sc().statusTracker().getExecutorInfos().__len__() == 2
    same(journey.forced_to_call(here), journey.forced_to_call(there))
