"""Which step to the left do measured effects support for the open cases? The population's effect, not the case's."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

NO_STEP = "none"
GAINS = {"hours": -1, "mood": 1, "return": -1}  # which way is better: sooner over, a better mood, fewer who come back


@dataclass(frozen=True)
class Step:
    """Ending at `target` instead of at `source`, its right neighbour: what it changes on average.

    `proven`: one row per outcome whose band holds no zero: outcome, effect, low, high (the band), n_source, n_target, is_gain.
    `asked` counts the outcomes that were looked at, `threshold` is the chance (0 to 1) from which on it is suggested.
    """

    source: str
    target: str
    proven: pd.DataFrame
    asked: int
    threshold: float = 0.0

    @property
    def is_supported(self) -> bool:
        """Is any change for the better proven?"""
        return bool(self.proven["is_gain"].any())

    def at(self, stage: str, chance: float) -> str:
        """What the list suggests for a case that is at `stage` now and reaches `source` with this chance.

        Only a case at `target` can be kept from going on to `source`; from further left `target` is a step to the right.
        """
        if not self.is_supported or stage != self.target or chance < self.threshold:
            return NO_STEP
        better, worse = (self.proven[self.proven["is_gain"] == side] for side in (True, False))
        price = f"; but {_listed(worse)}" if len(worse) else ""
        return f"settle it at {self.target}: {_listed(better)}{price}"


def step_left(effects: pd.DataFrame, escalation: str, threshold: float = 0.0) -> Step | None:
    """What is gained by ending one stage left of the escalation stage, where an open case of the list is heading?

    Parameters
    ----------
    effects : DataFrame
        `journey.left_moves(log, known).table`.
    escalation : str
        The stage that is forecast.
    threshold : float
        The chance from which on the step is suggested, such as that from which on a review pays (`Decision.threshold`).

    Returns
    -------
    Step or None
        None where the effects do not speak of the escalation stage.

    Notes
    -----
    An effect counts as proven where its band (`band_low` to `band_high`: the 95 % interval, widened for what stays hidden)
    holds no zero. What could only be adjusted has a band that reaches to no effect, so it is never proven. It is the mean over
    the cases that ended at the escalation stage: it says nothing of one case, nor whether this one would have ended there.

    >>> row = {"source": "phone", "target": "agent", "effect": -9.8, "band_low": -15.0, "band_high": -4.7}
    >>> step = step_left(pd.DataFrame([row | {"outcome": "hours", "n_source": 835, "n_target": 1535}]), "phone")
    >>> step.at("agent", 0.3), step.at("help", 0.3)
    ('settle it at agent: -9.8 hours (-15.0 to -4.7)', 'none')
    """
    rows = effects[effects["source"] == escalation] if len(effects) else effects
    if rows.empty:
        return None
    rows = rows.rename(columns={"band_low": "low", "band_high": "high"})
    proven = rows[(rows["low"] > 0) | (rows["high"] < 0)]
    proven = proven[["outcome", "effect", "low", "high", "n_source", "n_target"]].reset_index(drop=True)
    proven = proven.assign(is_gain=proven["effect"] * proven["outcome"].map(GAINS).astype(float) > 0)
    return Step(escalation, str(rows["target"].iloc[0]), proven, int(rows["effect"].notna().sum()), threshold)


def _listed(rows: pd.DataFrame) -> str:
    return ", ".join(said_effect(row.outcome, row.effect, row.low, row.high) for row in rows.itertuples())


def said_effect(outcome: str, effect: float, low: float, high: float) -> str:
    """An effect in its unit.

    >>> said_effect("return", -0.031, -0.052, -0.01), said_effect("mood", 0.12, 0.04, 0.2)
    ('-3.1 points of returns (-5.2 to -1.0)', '+0.12 mood (+0.04 to +0.20)')
    """
    times, form, unit = _UNITS[outcome]
    value, least, most = (format(times * x, form) for x in (effect, low, high))
    return f"{value} {unit} ({least} to {most})"


_UNITS = {"hours": (1, "+.1f", "hours"), "mood": (1, "+.2f", "mood"), "return": (100, "+.1f", "points of returns")}
