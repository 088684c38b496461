"""What runs beneath the desk: the incidents table and the uses of the applications."""

from __future__ import annotations

import numpy as np
import pandas as pd

from .cases import FROM, HOUR, N_HOURS, UNTIL, Incidents, hour_profile
from .columns import MICRO, flat_pick, ids, labels, stream, times
from .plan import APPLICATIONS

SEVERITIES = ("4 - Low", "3 - Moderate", "2 - High", "1 - Critical")
ERRORS = ("E503", "E504", "E500", "E409")
USES_PER_USER = 4.0  # recorded uses in the window (a sample of all use)
FAILS, FAILS_IN_INCIDENT = 0.012, 0.45


def incident_table(incidents: Incidents, seed: int) -> pd.DataFrame:
    rng = stream(seed, "incident table")
    n = len(incidents.started)
    length = incidents.restored - incidents.started
    detected = incidents.started + (length * (0.05 + 0.2 * rng.random(n))).astype(np.int64) // MICRO * MICRO
    acknowledged = detected + (length * (0.02 + 0.2 * rng.random(n))).astype(np.int64) // MICRO * MICRO
    return pd.DataFrame(
        {
            "incident_id": ids("I", np.arange(1, n + 1), 4),
            "application_id": labels(incidents.application, [name for name, _, _ in APPLICATIONS]),
            "severity": labels(incidents.weight - 1, SEVERITIES),
            "started_at": times(incidents.started),
            "detected_at": times(detected),
            "acknowledged_at": times(acknowledged),
            "restored_at": times(incidents.restored, incidents.restored >= UNTIL),
        }
    )


def transaction_table(n_users: int, incidents: Incidents, seed: int) -> pd.DataFrame:
    """Recorded uses in order of time; slow and failing while an incident lasts."""
    rng = stream(seed, "transactions")
    n = int(n_users * USES_PER_USER)
    hour = np.minimum(np.searchsorted(np.cumsum(hour_profile()), rng.random(n), side="right"), N_HOURS - 1)
    at = np.sort(FROM + hour * HOUR + rng.integers(0, 3600, n) * MICRO)
    application = flat_pick(rng, [0.15, 0.15, 0.2, 0.2, 0.1, 0.2], n)
    broken = np.zeros(n, bool)
    for app, started, restored in zip(incidents.application, incidents.started, incidents.restored, strict=True):
        broken |= (application == app) & (at >= started) & (at < restored)
    failed = rng.random(n) < np.where(broken, FAILS_IN_INCIDENT, FAILS)
    duration = np.round(np.exp(rng.normal(np.log(420), 0.6, n)) * np.where(broken, 6, 1) * np.where(failed, 3, 1))
    return pd.DataFrame(
        {
            "transaction_id": ids("X", np.arange(1, n + 1)),
            "user_id": ids("U", rng.integers(1, n_users + 1, n), 6),
            "application_id": labels(application, [name for name, _, _ in APPLICATIONS]),
            "occurred_at": times(at),
            "duration_ms": pd.Series(duration),
            "outcome": labels(failed.astype(int), ("ok", "failed")),
            "error_code": labels(np.where(failed, np.where(broken, rng.integers(0, 2, n), rng.integers(0, 4, n)), -1), ERRORS),
        }
    )
