"""The curve of time to a call in worlds with a planted incidence: customers with several cases alike, open cases cut off."""

import numpy as np
import pytest
from drills import central
from drills.times import HOURS, TEMPOS, coverage

from cxlib import journey
from cxlib.eventlog import EventLog
from cxlib.simulate.paths import DAY, called_by, planted, simulate_walks


def test_intervals_of_the_curve_hold_in_a_hundred_worlds():
    """DESIGN's coverage rule; `make drills` runs 400 worlds."""
    found = coverage(worlds=100)
    assert len(found) == len(HOURS)
    assert found["hits"].between(*central(100)).all(), found
    assert (found["mean"] - found["planted"]).abs().max() < 0.003, found
    assert found["open"].iloc[0] > 0.08  # so many that taking them for ended would show


def test_the_planted_incidence_is_what_a_large_population_shows():
    log = EventLog(**simulate_walks(20_000, 3, tempos=TEMPOS).arrays)
    shown = journey.time_to(log, "phone").table.set_index("hours").loc[HOURS, "share"]
    hour = DAY // 24
    assert shown.to_numpy() == pytest.approx(called_by(np.array(HOURS) * hour, TEMPOS), abs=0.005)
    ever = called_by(np.array([10_000 * DAY]))[0]
    assert ever == pytest.approx(planted()[0]["forced"] + 0.03, abs=1e-9)  # forced to call, or called first


def test_the_cases_of_one_customer_are_alike_in_how_long_they_take():
    log = EventLog(**simulate_walks(20_000, 4, tempos=TEMPOS).arrays)
    lasted = log.case_end - log.at[log.case_start[:-1]]
    first = log.customer_start[:-1][np.diff(log.customer_start) > 1]
    assert np.corrcoef(lasted[first], lasted[first + 1])[0, 1] > 0.3
