"""Which stage would spare the most calls if it solved a little more? The journey as a chain that ends sooner or later.

The states are the stages at which help is sought. From counted moves and one assumption, that where a case goes next depends
on where it is and not on where it was, everything follows: who will be forced to call, how many touches are ahead, and what
one point more of success at a stage would change. `Absorbing.first_order` says how well the assumption holds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from cxlib import stats
from cxlib.eventlog import EventLog
from cxlib.journey.walks import blocks, walk_sums
from cxlib.schema import STAGES, DataError

POINT = 0.01
# What one point more of ends at a stage is called, where the stages are the usual five.
_LEVERS = {"help": "help success", "chatbot": "chatbot success", "agent": "agent first-contact resolution"}


@dataclass(frozen=True)
class FirstOrder:
    """Does where a case came from change where it goes next? The check of the chain's assumption.

    Over all cases `chain` and `counted` are nearly the same whatever the memory: only moves after the first call make a
    difference. The size of a failure is seen by the stage where cases began (`table`), and in the levers (`second_order` in
    `Absorbing.sensitivities`).
    """

    table: pd.DataFrame  # one row per stage where help is first sought: chain, counted, gap (chain - counted), low, high, n
    chain: float  # share forced to call as the chain has it, of all cases that sought help
    counted: float  # as counted; open cases with the chain's chance from where they stand
    statistic: float  # chi-square, scaled for the likeness of one customer's cases
    df: float
    p: float
    n: int  # moves
    warns: bool  # p < .05


@dataclass(frozen=True)
class Absorbing:
    """The answer of `absorbing`."""

    table: pd.DataFrame  # one row per stage where help is first sought: forced, further, mood with low and high; n, moves
    overall: pd.DataFrame  # the same columns and calls, one row: all cases that sought help
    removal: pd.DataFrame  # one row per stage left of the escalation: remain, closed, each with low and high; n
    sensitivities: pd.DataFrame  # one row per stage left of the escalation, strongest first: lever, points, calls ..., rank
    first_order: FirstOrder
    n_cases: int  # that sought help
    n_customers: int
    n_open: int
    escalation: str
    problem_from: str
    replicates: int


def absorbing(log: EventLog, *, seed: int = 0, replicates: int = 200) -> Absorbing:
    """Who will be forced to call from where, and which stage would spare the most calls if it solved one point more?

    Parameters
    ----------
    log : EventLog
        One row per touch; row order does not matter.
    seed, replicates : int
        Of the bootstrap of customers; at least 20 replicates.

    Returns
    -------
    Absorbing
        `table`, one row per stage where help is first sought: ``forced`` (share, 0 to 1, expected to reach the escalation stage
        after a try left of it; 0 for those who called first), ``further`` (touches still to come, on average), ``mood`` (mean
        over the touches on the way, -1 to 1; NaN where no mood is known), each with its 95 % interval by customer; ``n`` cases
        that began there and ``moves`` counted out of the stage. `overall` is the same for all `n_cases`, with ``calls``:
        touches at the escalation stage per 1,000 cases. `sensitivities` and `removal`: see the notes.

    Raises
    ------
    DataError
        If there are too few replicates.

    Notes
    -----
    *The chain.* Touches left of `problem_from` are passed over: help, product, phone is a move from help to phone. A case is
    followed as far as it is known where its touches led (see `transitions`). Kemeny and Snell (1960), Finite Markov Chains,
    chapter 3, solved exactly.

    *A lever* (`sensitivities`): one percentage point more of the touches at a stage end the case, taken from all other moves
    out of it in proportion; solved again, not extrapolated. ``points`` is the change of the share forced to call in percentage
    points, ``calls`` the change of touches at the escalation stage per 1,000 cases, ``first`` the share of replicates in which
    this lever is the strongest, ``n`` the moves counted out of the stage. An end is "no further touch": solved, or given up.
    ``second_order`` is ``points`` in the chain that remembers one step: a check beside it, without an interval.

    *Removal*: the share of forced calls that remains if the stage is taken out. ``remain``: walks that would enter it end there
    (attribution's removal effect is 1 - remain, the share of forced calls that pass the stage). ``closed``: they take one of
    the other moves instead, in proportion; above 1, the stage spares calls. Neither says what customers would do.

    Intervals: Poisson bootstrap of customers (DESIGN section 3).

    References
    ----------
    Kemeny and Snell (1960); Anderson and Goodman (1957), Ann. Math. Stat. 28, for the check of the order.

    Examples
    --------
    Four cases: after help two of three go on, and one of these calls.

    >>> from cxlib.eventlog import from_paths
    >>> found = absorbing(from_paths(a="help", b="help chatbot", c="help chatbot phone", d="phone"))
    >>> found.table.loc[["help", "chatbot"], ["forced", "further"]].round(2)
             forced  further
    start
    help       0.33      1.0
    chatbot    0.50      0.5
    >>> found.sensitivities[["lever", "points"]].head(2).round(1).values.tolist()
    [['chatbot success', -0.5], ['help success', -0.4]]
    """
    if replicates < 20:
        raise DataError(f"replicates={replicates} are too few for an interval: write 20 or more, such as replicates=200")
    chain = _chain(log.add_up(walk_sums, seed=seed, replicates=replicates), log)
    return Absorbing(
        table=_by_start(chain),
        overall=_overall(chain),
        removal=_removal(chain),
        sensitivities=_sensitivities(chain),
        first_order=_check(chain),
        n_cases=int(chain.starts[0].sum()),
        n_customers=chain.customers,
        n_open=int(chain.still_open[0].sum()),
        escalation=log.stages[log.escalation],
        problem_from=log.stages[log.problem_from],
        replicates=replicates,
    )


@dataclass(frozen=True)
class _Chain:
    """The chain as counted and in each replicate (the first dimension everywhere)."""

    counts: np.ndarray  # came from, is, goes to
    starts: np.ndarray
    first: np.ndarray  # shares of the cases that begin at each state
    moves: np.ndarray  # shares of the moves out of each state
    felt: np.ndarray  # mean mood by state, NaN where none is known
    still_open: np.ndarray
    forced: np.ndarray  # cases, by where they began
    customers: int
    phone: int  # the state of the escalation stage
    names: tuple[str, ...]
    levers: tuple[str, ...]

    @property
    def left(self) -> list[int]:
        """The states left of the escalation."""
        return list(range(self.phone))

    @property
    def n_moves(self) -> np.ndarray:
        """Moves counted out of each state."""
        return self.counts[0].sum(axis=(0, 2))


def _chain(sums: np.ndarray, log: EventLog) -> _Chain:
    names = log.stages[log.problem_from :]
    part, start = {}, 0
    for name, shape in blocks(len(names)).items():
        end = start + int(np.prod(shape))
        part[name], start = sums[:, start:end].reshape(len(sums), *shape), end
    felt = np.where(part["felt"] > 0, part["mood"] / np.maximum(part["felt"], 1) / 1000, np.nan)
    usual = log.stages == STAGES
    return _Chain(
        counts=part["moves"],
        starts=part["starts"],
        first=stats.shares_of_moves(part["starts"]),
        moves=stats.shares_of_moves(part["moves"].sum(axis=1)),
        felt=felt,
        still_open=part["still_open"],
        forced=part["forced"],
        customers=int(part["customers"][0, 0]),
        phone=log.escalation - log.problem_from,
        names=names,
        levers=tuple(_LEVERS.get(name, "") if usual else "" for name in names),
    )


def _averaged(first: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The mean over where walks begin; NaN where none does."""
    total = np.where(first > 0, first * values, 0).sum(axis=-1)
    return np.where(first.sum(axis=-1) > 0, total, np.nan)


def _will_call(chain: _Chain, moves: np.ndarray) -> np.ndarray:
    return stats.ever_after(moves, [chain.phone], chain.left)


def _calls(chain: _Chain, first: np.ndarray, moves: np.ndarray) -> np.ndarray:
    """Touches at the escalation stage per 1,000 cases."""
    return 1000 * _averaged(first, stats.visits(moves)[..., chain.phone])


def _bounded(name: str, values: np.ndarray, interval, chain: _Chain) -> dict[str, np.ndarray]:
    low, high = interval(values, chain.customers)
    return {name: values[0], f"{name}_low": low, f"{name}_high": high}


def _mood_along(chain: _Chain, first: np.ndarray | None = None) -> np.ndarray:
    """Mean mood over the touches on the way, from each state or from where walks begin; stages of unknown mood left out."""
    knows = ~np.isnan(chain.felt)
    total = stats.along(chain.moves, np.where(knows, chain.felt, 0))
    touched = stats.along(chain.moves, knows.astype(float))
    if first is not None:
        total, touched = _averaged(first, total), _averaged(first, touched)
    return np.where(touched > 0, total / np.where(touched > 0, touched, 1), np.nan)


def _further(chain: _Chain) -> np.ndarray:
    return stats.along(chain.moves, np.ones(len(chain.names))) - 1


def _by_start(chain: _Chain) -> pd.DataFrame:
    forced = _bounded("forced", _will_call(chain, chain.moves), stats.share_from_draws, chain)
    forced["forced_high"][chain.phone] = 0.0  # those who called first are never forced: nothing is estimated
    columns = (
        forced
        | _bounded("further", _further(chain), stats.size_from_draws, chain)
        | _bounded("mood", _mood_along(chain), stats.mean_from_draws, chain)
    )
    index = pd.Index(chain.names, name="start")
    return pd.DataFrame(columns, index=index).assign(n=chain.starts[0], moves=chain.n_moves)


def _overall(chain: _Chain) -> pd.DataFrame:
    values = {
        "forced": (_averaged(chain.first, _will_call(chain, chain.moves)), stats.share_from_draws),
        "further": (_averaged(chain.first, _further(chain)), stats.size_from_draws),
        "mood": (_mood_along(chain, chain.first), stats.mean_from_draws),
        "calls": (_calls(chain, chain.first, chain.moves), stats.size_from_draws),
    }
    columns: dict[str, np.ndarray] = {}
    for name, (value, interval) in values.items():
        columns |= _bounded(name, value[:, None], interval, chain)
    index = pd.Index(["all cases"], name="start")
    return pd.DataFrame(columns, index=index).assign(n=chain.starts[0].sum(), moves=chain.n_moves.sum())


def _used(chain: _Chain) -> list[int]:
    """The states left of the escalation that somebody left."""
    return [state for state in chain.left if chain.n_moves[state]]


def _removal(chain: _Chain) -> pd.DataFrame:
    usual = _averaged(chain.first, _will_call(chain, chain.moves))
    left = np.full((2, len(usual), chain.phone), np.nan)
    for way, spread in enumerate((False, True)):
        for state in _used(chain):
            first, moves = stats.without(chain.first, chain.moves, state, spread=spread)
            forced = np.where(first > 0, first * _will_call(chain, moves), 0).sum(axis=-1)
            left[way, :, state] = np.where(usual > 0, forced / np.where(usual > 0, usual, 1), np.nan)
    columns = _bounded("remain", left[0], stats.share_from_draws, chain)
    columns |= _bounded("closed", left[1], stats.size_from_draws, chain)
    index = pd.Index(chain.names[: chain.phone], name="stage")
    return pd.DataFrame(columns, index=index).assign(n=chain.n_moves[: chain.phone])


def _sensitivities(chain: _Chain) -> pd.DataFrame:
    usual = _averaged(chain.first, _will_call(chain, chain.moves)), _calls(chain, chain.first, chain.moves)
    change = np.full((2, len(chain.moves), chain.phone), np.nan)
    for state in _used(chain):
        better = stats.with_more_ends(chain.moves, [state], POINT)
        change[0, :, state] = 100 * (_averaged(chain.first, _will_call(chain, better)) - usual[0])
        change[1, :, state] = _calls(chain, chain.first, better) - usual[1]
    columns = _bounded("points", change[0], stats.size_from_draws, chain)
    columns |= _bounded("calls", change[1], stats.size_from_draws, chain)
    strongest = np.where(np.isnan(change[0]), np.inf, change[0])
    draws = strongest[1:][np.isfinite(strongest[1:]).any(axis=1)]
    first = [(draws.argmin(axis=1) == state).mean() if len(draws) else np.nan for state in chain.left]
    table = pd.DataFrame(columns, index=pd.Index(chain.names[: chain.phone], name="stage"))
    table.insert(0, "lever", [lever or f"success at {name}" for lever, name in zip(chain.levers, table.index, strict=False)])
    table = table.assign(first=first, second_order=_remembering(chain), n=chain.n_moves[: chain.phone])
    table = table.iloc[np.argsort(strongest[0], kind="stable")]
    return table.assign(rank=np.arange(1, len(table) + 1))


def _remembering(chain: _Chain) -> np.ndarray:
    """The points of each lever in the chain that remembers one step."""
    k = len(chain.names)
    moves = stats.second_order(chain.counts[0])
    first = np.zeros((k + 1) * k)
    first[k * k :] = chain.first[0]
    at = [[came * k + state for came in range(k + 1)] for state in range(k)]
    left = [state for states in at[: chain.phone] for state in states]

    def forced(moves: np.ndarray) -> float:
        return float(_averaged(first, stats.ever_after(moves, at[chain.phone], left)))

    points = np.full(chain.phone, np.nan)
    for state in _used(chain):
        points[state] = 100 * (forced(stats.with_more_ends(moves, at[state], POINT)) - forced(moves))
    return points


def _check(chain: _Chain) -> FirstOrder:
    """The test of the order, and how far the chain's shares forced to call are from the counted ones."""
    test = stats.memory_test(chain.counts)
    expected = _will_call(chain, chain.moves)
    chances = np.stack([expected, stats.ever(chain.moves, [chain.phone])], axis=1)[:, None]  # nothing tried yet, tried
    waiting = np.where(chain.still_open > 0, chain.still_open * chances, 0).sum(axis=(2, 3))
    counted = np.where(chain.starts > 0, (chain.forced + waiting) / np.maximum(chain.starts, 1), np.nan)
    low, high = stats.mean_from_draws(expected - counted, chain.customers)
    table = pd.DataFrame(
        {
            "chain": expected[0],
            "counted": counted[0],
            "gap": (expected - counted)[0],
            "low": low,
            "high": high,
            "n": chain.starts[0],
        },
        index=pd.Index(chain.names, name="start"),
    ).drop(index=chain.names[chain.phone])
    return FirstOrder(
        table=table,
        chain=float(_averaged(chain.first, expected)[0]),
        counted=float(_averaged(chain.first, counted)[0]),
        statistic=test.statistic,
        df=test.df,
        p=test.p,
        n=int(chain.n_moves.sum()),
        warns=bool(test.p < 1 - stats.LEVEL),
    )
