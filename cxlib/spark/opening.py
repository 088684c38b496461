"""One way to open a log for both engines."""

from __future__ import annotations

import os
from pathlib import Path

from cxlib import eventlog
from cxlib.eventlog import EventLog
from cxlib.eventlog.files import is_dataset
from cxlib.spark.log import SparkLog, spread
from cxlib.spark.reading import of_checked, of_files
from cxlib.spark.session import connect
from cxlib.store import Dataset, Settings, open_dataset

MASTER = "CX_MASTER"  # the environment variable that names a cluster; `cx report --engine spark` sets it for its notebooks


def open_log(
    source: Dataset | str | Path,
    *,
    master: str | None = None,
    case: str = "case_id",
    user: str | None = None,
    at: str = "occurred_at",
    stage: str = "stage",
    tie: str | None = None,
    settings: Settings | None = None,
) -> EventLog | SparkLog:
    """The event log of a source, on this machine or on a Spark cluster: what is asked of it gives the same numbers.

    Parameters
    ----------
    source : path, Dataset
        A parquet file, a folder or a glob of them with one row per touch, or a dataset (its folder). On a cluster every node
        must see it under the same path; addresses such as ``s3a://bucket/touches/*.parquet`` are read by the nodes alone.
    master : str, optional
        ``"spark://HOST:7077"``, or ``"local[2]"`` to try Spark here. None: the cluster that CX_MASTER names, or this machine
        where it names none. A notebook leaves it out: it is told from outside, and no number depends on it.
    case, user, at, stage, tie, settings
        For parquet files: which column is which; see `eventlog.compile`.

    Raises
    ------
    DataError
        As `eventlog.compile`; and where pyspark or Java is missing, or the cluster does not answer or has no room.

    Notes
    -----
    A dataset is checked, and its cases found, on this machine, where the store is; the nodes sort and count. Parquet files are
    read by the nodes from the start. Both are put in order by customer, case and time, and cut into parts of whole customers;
    kernels see parts as they do here, and add whole numbers, so no result depends on how many nodes there are or which of them
    fail.
    """
    master = master or os.environ.get(MASTER)
    if not master:
        return eventlog.compile(source, case=case, user=user, at=at, stage=stage, tie=tie, settings=settings)
    session = connect(master)
    if isinstance(source, Dataset) or ("://" not in str(source) and is_dataset(Path(source))):
        return spread(of_checked(session, source if isinstance(source, Dataset) else open_dataset(source)))
    return spread(of_files(session, source, {"case": case, "user": user, "at": at, "stage": stage, "tie": tie}, settings))
