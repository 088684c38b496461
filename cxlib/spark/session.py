"""A session on a cluster: started with the settings that hold, refused in one line where something is missing."""

from __future__ import annotations

import atexit
import os
import re
import shutil
import socket
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from cxlib.schema import DataError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

PATIENCE = 60.0  # seconds until a cluster must have given us a first executor
_KNOCK = 5.0  # seconds until a master must have answered
_SETTINGS = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.driver.maxResultSize": "0",  # one row per case may come back, as it does from a local log
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.legacy.parquet.nanosAsLong": "true",  # what pandas wrote for years; Spark has no type for it
}


def connect(master: str) -> SparkSession:
    """The session on this cluster: the one that runs already, else a new one.

    Parameters
    ----------
    master : str
        ``"spark://HOST:7077"`` (several after commas), ``"local[2]"`` for this machine, "yarn" or "k8s://...". Memory and cores
        are Spark's own settings (`spark-defaults.conf`). The nodes run the Python that PYSPARK_PYTHON names, else the same path
        as here; cxlib must be installed there.

    Raises
    ------
    DataError
        If pyspark or Java is missing, no master answers within seconds, or no worker has room for an executor within a minute
        (Spark itself would wait for ever, silently).
    """
    check_cluster(master)
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

    running = SparkContext._active_spark_context
    if running is not None and running.master != master:
        raise DataError(f"Spark runs on {running.master} in this program already: ask {master} from another program")
    with quiet():
        if running is None:
            _start(master)
        session = SparkSession.builder.getOrCreate()
    for name, value in _SETTINGS.items():
        if name.startswith("spark.sql."):
            session.conf.set(name, value)
    if not master.startswith("local"):
        _await_executor(session, master)
    return session


@contextmanager
def quiet() -> Iterator[None]:
    """Without Spark's warning that pandas 3 is new to it: only Arrow passes between the two here."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="PySpark does not yet fully support pandas", category=FutureWarning)
        yield


def check_cluster(master: str) -> None:
    """Can Spark be started here, and does a master answer? Raises DataError in one line if not; starts nothing."""
    _check_installed()
    _check_answers(master)


def _check_installed() -> None:
    try:
        with quiet():
            import pyspark  # noqa: F401
    except ImportError:
        raise DataError("the Spark engine needs pyspark: pip install 'cxlib[spark]'") from None
    home = os.environ.get("JAVA_HOME")
    if not shutil.which(Path(home, "bin", "java") if home else "java"):
        raise DataError("the Spark engine needs Java 17 or newer: apt-get install openjdk-17-jre-headless, or set JAVA_HOME")


def addresses(master: str) -> list[tuple[str, int]]:
    """Where the masters of a standalone cluster listen; none for other kinds of cluster.

    >>> addresses("spark://one:7077,two:7078"), addresses("local[2]")
    ([('one', 7077), ('two', 7078)], [])
    >>> addresses("one:7077")
    Traceback (most recent call last):
    cxlib.schema.DataError: 'one:7077' is no address of a cluster: write spark://HOST:7077, or local[2] to try Spark here
    """
    if re.fullmatch(r"local(\[(\*|\d+)\])?|yarn|k8s://\S+", master):
        return []
    if not re.fullmatch(r"spark://[^\s,:]+:\d{1,5}(,[^\s,:]+:\d{1,5})*", master):
        raise DataError(f"{master!r} is no address of a cluster: write spark://HOST:7077, or local[2] to try Spark here")
    pairs = (pair.split(":") for pair in master.removeprefix("spark://").split(","))
    return [(host, int(port)) for host, port in pairs]


def _check_answers(master: str) -> None:
    """Knock at the masters: Spark would try for a minute and then say it in a hundred lines."""
    said = []
    for host, port in addresses(master):
        try:
            socket.create_connection((host, port), timeout=_KNOCK).close()
            return
        except (OSError, OverflowError) as error:
            said.append(f"{host}:{port}: {getattr(error, 'strerror', None) or error}")
    if said:
        raise DataError(f"no Spark master answers at {master} ({'; '.join(said)}): start one there, or name another")


def _start(master: str) -> None:
    """A context with a Java process of its own; what that writes goes to a file, since a notebook would print it.

    The process ends when this program has ended, however it did. In the group of a notebook's kernel it would be ended first,
    and the kernel would wait half a minute for it.
    """
    from py4j.protocol import Py4JError
    from pyspark import SparkConf, SparkContext
    from pyspark.errors import PySparkException
    from pyspark.java_gateway import launch_gateway

    conf = SparkConf().setMaster(master).setAppName("cxlib").setAll(list(_SETTINGS.items()))
    if master.startswith("local") or all(host.startswith(("localhost", "127.")) for host, _ in addresses(master) or [("", 0)]):
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
        conf.setAll([("spark.driver.host", "127.0.0.1"), ("spark.driver.bindAddress", "127.0.0.1")])
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    with tempfile.NamedTemporaryFile("wb", prefix="cxlib-spark-", suffix=".log", delete=False) as log:
        try:
            apart = {"stdout": log, "stderr": log, "start_new_session": True}
            SparkContext(conf=conf, gateway=launch_gateway(conf, apart))
        except (Py4JError, PySparkException) as error:
            raise DataError(f"Spark did not start on {master} ({type(error).__name__}): {log.name} says why") from None
    atexit.register(Path(log.name).unlink, missing_ok=True)


def _await_executor(session: SparkSession, master: str) -> None:
    """Wait until a worker has given us an executor."""
    context = session.sparkContext
    until = time.monotonic() + PATIENCE
    while len(context._jsc.sc().statusTracker().getExecutorInfos()) < 2:  # the driver counts as one
        if time.monotonic() > until:
            memory = context.getConf().get("spark.executor.memory", "1g")
            context.stop()
            raise DataError(
                f"no worker of {master} had room for an executor of {memory} within {PATIENCE:.0f} s: start workers, give them "
                "more memory, or ask for less (spark.executor.memory in spark-defaults.conf)"
            )
        time.sleep(0.1)
