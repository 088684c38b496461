"""The ways cases take, in sentences."""

from __future__ import annotations

from cxlib.journey import END, Flow, Loops, Returns, StepMatrix, Variants
from cxlib.redact import escape
from cxlib.schema import spelled
from cxlib.words.numbers import count, percent, plural, share_with_interval

UNSETTLED = "What followed its first touch is not known of any case: the log ends before the pause that ends one has passed."


def say_variants(paths: Variants) -> str:
    """How many different paths there are, and how much the most frequent ones cover."""
    if not paths.n_cases:
        return "There is no case, so there is no path."
    first = paths.table.iloc[0]
    top = paths.table.head(12)
    said = (
        f"{plural(paths.n_cases, 'case')} took {plural(paths.n_variants, 'different path')}. The most frequent is "
        f"{escape(first['path'])}: {share_with_interval(first)}, {plural(first['count'], 'case')}."
    )
    if len(top) > 1:
        said += f" The {len(top)} most frequent cover {percent(top['count'].sum() / paths.n_cases)} of the cases."
    return said


def say_steps(matrix: StepMatrix) -> str:
    """How many cases are over after the first touch, and after the last step shown."""
    over = matrix.table[matrix.table["stage"] == END].set_index("step")
    if not len(over) or not over["n"].iloc[0]:
        return "There is no case, so there is no step."
    if len(over) > 1 and not over["n"].iloc[1]:
        return UNSETTLED
    over = over[over["n"] > 0]
    last = over.iloc[-1]
    said = [f"{share_with_interval(row)} of {plural(row['n'], 'case')}" for row in (over.iloc[min(1, len(over) - 1)], last)]
    return (
        f"After {plural(over.index[min(1, len(over) - 1)] - 1, 'touch', 'touches')}, {said[0]} are over; after "
        f"{plural(over.index[-1] - 1, 'touch', 'touches')}, {said[1]}. A case counts as far as it is known what followed."
    )


def say_flow(streams: Flow) -> str:
    """The largest stream between two touches that does not end there."""
    if streams.table.empty:
        return UNSETTLED
    moves = streams.table[streams.table["target"] != END]
    if moves.empty:
        return "No case has a second touch."
    row = moves.loc[moves["share"].idxmax()]
    return (
        f"The broadest stream is from {escape(row['source'])} at touch {int(row['step'])} to {escape(row['target'])} at touch "
        f"{int(row['step']) + 1}: {share_with_interval(row)} of {plural(row['n'], 'case')}."
    )


def say_loops(again: Loops) -> str:
    """The stage that most often has to be tried again."""
    used = again.table[again.table["n"] > 0]
    if used.empty or not used["again"].sum():
        return "No case needed a stage more than once."
    row = used.loc[used["share"].idxmax()]
    return (
        f"{escape(row.name)} is needed more than once most often: in {share_with_interval(row)} of the "
        f"{plural(row['n'], 'case')} that used it."
    )


def say_returns(back: Returns) -> str:
    """How soon customers are back, and after which ending."""
    if not back.n_cases:
        return (
            f"No case ended at least {spelled(back.within)} before the end of the data, so nothing can be said about returns."
        )
    table = back.table[back.table["n"] > 0]
    total = table["returned"].sum()
    said = (
        f"After {count(total)} of {plural(back.n_cases, 'case')} ({percent(total / back.n_cases)}) the customer was back with "
        f"another problem within {spelled(back.within)}."
    )
    sure = table[table["n"] >= 30]
    if len(sure) > 1:
        low, high = sure.loc[sure["share"].idxmin()], sure.loc[sure["share"].idxmax()]
        verb = "" if high["low"] > low["high"] else " The intervals overlap: the stages may not differ."
        said += (
            f" After an ending at {escape(high.name)} it was {share_with_interval(high)}, at {escape(low.name)} "
            f"{share_with_interval(low)}.{verb}"
        )
    return said + (
        f" {plural(back.n_untold, 'case')} still open or over too recently are not counted." if back.n_untold else ""
    )
