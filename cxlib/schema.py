"""The words of the project: stages, tables, columns, units, and what is allowed.

Everything that names a table or a column reads it from here, and `data/README.md` is printed from here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import NamedTuple

STAGES = ("product", "help", "chatbot", "agent", "phone")
ESCALATION = "phone"
PROBLEM_FROM = "help"


class DataError(ValueError):
    """Data, a setting or a parameter that cannot be used; its message is one line and says what would have worked."""

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows: the line, not the way to it."""
        return [f"{type(self).__name__}: {self}"]


class UnitError(DataError):
    """A length of time without its unit."""


class Column(NamedTuple):
    """One column of the data dictionary.

    `kind` is id, text, time, date, int, float or bool. `known` says from when on a value may be used to predict: at the
    "start" of its row's life, or only at the "end" (filled in or changed later, so it would leak the future).
    """

    kind: str
    about: str
    unit: str = ""
    key: bool = False
    required: bool = False
    allowed: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    known: str = "start"


def _key(about: str, kind: str = "id") -> Column:
    return Column(kind, about, key=True, required=True)


def _id(about: str, known: str = "start") -> Column:
    return Column("id", about, known=known)


def _text(about: str, known: str = "start", allowed: tuple[str, ...] = ()) -> Column:
    return Column("text", about, known=known, allowed=allowed)


def _time(about: str, known: str = "start", required: bool = False) -> Column:
    return Column("time", about, unit="UTC", known=known, required=required)


def _number(kind: str, about: str, unit: str, low: float | None = 0, high: float | None = None, known: str = "start") -> Column:
    return Column(kind, about, unit=unit, low=low, high=high, known=known)


ABOUT = {
    "users": "one row per customer user",
    "identities": "one row per known link between a visitor and a user",
    "applications": "one row per application",
    "touchpoints": "one row per touch: one contact or use",
    "tickets": "one row per ticket",
    "ticket_events": "one row per change of a ticket (a comment too)",
    "transactions": "one row per use of an application",
    "surveys": "one row per invitation, answered or not",
    "incidents": "one row per incident of an application",
    "changes": "one row per change to an application",
    "flights": "one row per exposure of a user to an experiment",
    "expectations": "one row per application, role and metric",
    "articles": "one row per help article",
    "agents": "one row per member of staff",
    "tactics": "one row per improvement",
    "active_users": "one row per date and segment",
}

TABLES: dict[str, dict[str, Column]] = {
    "users": {
        "user_id": _key("the customer user"),
        "account_id": _id("the company or household the user belongs to"),
        "name": _text("full name; feeds `redact`, never shown"),
        "email": _text("e-mail address; feeds `redact`, never shown"),
        "phone": _text("phone number; feeds `redact`, never shown"),
        "role": _text("what the user does with the product"),
        "geography": _text("country or region"),
        "plan": _text("what the account pays for"),
        "is_staff": Column("bool", "true for the company's own staff"),
        "first_seen_at": _time("first use of the product"),
    },
    "identities": {
        "visitor_id": _key("anonymous visitor (a cookie or device)"),
        "user_id": _key("the user this visitor turned out to be"),
        "linked_at": _time("when the link was made", known="end"),
        "how": _text("how the link was made, such as login or e-mail"),
    },
    "applications": {
        "application_id": _key("the application or service"),
        "owner_group": _text("the team that owns it"),
        "tier": _text("how critical it is"),
    },
    "touchpoints": {
        "touchpoint_id": _key("the touch"),
        "user_id": _id("the customer, where known"),
        "visitor_id": _id("the anonymous visitor, where the customer is not known"),
        "case_id": _id("the problem this touch belongs to; where it is missing, cases are cut by gap"),
        "occurred_at": _time("when it happened", required=True),
        "seq": _number("int", "order within a case as the export gives it, where it does", "", low=None),
        "stage": Column("text", "one of the data set's stages, from left to right", required=True),
        "action": _text("what the customer did, such as search or chat"),
        "application_id": _id("the application it was about"),
        "agent_id": _id("the member of staff who handled it"),
        "article_id": _id("the help article that was read"),
        "ticket_id": _id("the ticket it belongs to"),
        "wait_s": _number("float", "waiting before it began", "seconds"),
        "duration_s": _number("float", "how long it took", "seconds", known="end"),
        "outcome": _text("how it ended, such as solved or not solved", known="end"),
        "sentiment": _number("float", "mood, from angry to happy", "-1 to 1", low=-1, high=1),
        "sentiment_source": _text("where the mood was read", allowed=("survey", "text", "agent", "simulated")),
    },
    "tickets": {
        "ticket_id": _key("the ticket"),
        "user_id": _id("the customer"),
        "case_id": _id("the problem it belongs to"),
        "application_id": _id("the application it is about"),
        "opened_at": _time("when it was opened"),
        "due_at": _time("until when it was promised to be resolved; moved later in many tools", known="end"),
        "first_response_at": _time("first answer by a person", known="end"),
        "resolved_at": _time("when it was resolved; empty while it is open", known="end"),
        "closed_at": _time("when it was closed; empty while it is open", known="end"),
        "channel": _text("how it came in; maps to a stage where there are no touchpoints"),
        "state": _text("its last known state", known="end"),
        "impact": _text("how many are affected, in the export's words"),
        "urgency": _text("how soon it must be solved, in the export's words"),
        "priority": _text("the order of work, in the export's words"),
        "category": _text("what kind of request it is"),
        "subcategory": _text("a finer category"),
        "location": _text("where it is about, such as a site or a neighbourhood"),
        "assignment_group": _text("the team that had it last", known="end"),
        "reassignment_count": _number("int", "how often it went to another team", "", known="end"),
        "reopen_count": _number("int", "how often it was opened again", "", known="end"),
        "made_sla": Column("bool", "solved within the agreed time", known="end"),
        "problem_id": _id("the known problem behind it", known="end"),
        "caused_by": _id("the change that caused it", known="end"),
        "close_code": _text("how it was closed", known="end"),
        "resolution": _text("what solved it, in words", known="end"),
        "short_description": _text("the customer's words in one line; shown only redacted"),
        "description": _text("the customer's words; shown only redacted"),
    },
    "ticket_events": {
        "event_id": _key("the change"),
        "ticket_id": _id("the ticket that changed"),
        "occurred_at": _time("when it changed"),
        "seq": _number("int", "order within a ticket as the export gives it, where it does", "", low=None),
        "actor_id": _id("who changed it"),
        "group_id": _text("the team that had the ticket then"),
        "field": _text("what changed; `comment` for a comment"),
        "old_value": _text("the value before, empty for the first"),
        "new_value": _text("the value after"),
    },
    "transactions": {
        "transaction_id": _key("the use"),
        "user_id": _id("who used it"),
        "application_id": _id("what was used"),
        "occurred_at": _time("when"),
        "duration_ms": _number("float", "how long it took", "milliseconds"),
        "outcome": _text("ok or failed, in the export's words"),
        "error_code": _text("the error, where there was one"),
    },
    "surveys": {
        "response_id": _key("the invitation"),
        "user_id": _id("who was asked"),
        "ticket_id": _id("what it was about"),
        "instrument": _text("csat, nps or another"),
        "sent_at": _time("when it was sent"),
        "responded_at": _time("when it was answered; empty where it was not", known="end"),
        "score": _number("float", "the answer, on the instrument's scale", "", low=None, known="end"),
        "comment": _text("the customer's words; shown only redacted", known="end"),
    },
    "incidents": {
        "incident_id": _key("the incident"),
        "application_id": _id("what was down"),
        "severity": _text("how bad it was"),
        "started_at": _time("when it began"),
        "detected_at": _time("when somebody noticed", known="end"),
        "acknowledged_at": _time("when work on it began", known="end"),
        "restored_at": _time("when it was over", known="end"),
    },
    "changes": {
        "change_id": _key("the change"),
        "application_id": _id("what was changed"),
        "group_id": _text("the team that changed it"),
        "proposed_at": _time("when it was proposed"),
        "approved_at": _time("when it was approved"),
        "deployed_at": _time("when it went live"),
    },
    "flights": {
        "user_id": _key("who was exposed"),
        "flight_id": _key("the experiment"),
        "arm": _text("which variant"),
        "exposed_at": _time("first exposure"),
    },
    "expectations": {
        "application_id": _key("the application"),
        "role": _key("whose expectation", "text"),
        "metric": _key("what is expected", "text"),
        "target": _number("float", "the value that is expected", "the metric's unit", low=None),
    },
    "articles": {
        "article_id": _key("the help article"),
        "title": _text("its title"),
        "body": _text("its text"),
        "topic": _text("what it is about"),
        "published_at": _time("when it was published"),
        "updated_at": _time("when it was last changed", known="end"),
    },
    "agents": {
        "agent_id": _key("the member of staff"),
        "name": _text("full name; feeds `redact`, never shown"),
        "email": _text("e-mail address; feeds `redact`, never shown"),
        "group_id": _text("the team"),
    },
    "tactics": {
        "tactic_id": _key("the improvement"),
        "stage": _text("the stage it improves"),
        "capability": _text("what it adds"),
        "started_at": _time("when it began"),
        "cost": _number("float", "what it costs", "currency"),
    },
    "active_users": {
        "date": _key("the day, in the data set's time zone", "date"),
        "segment": _key("the segment of users", "text"),
        "n_active": _number("int", "how many used the product that day", "users"),
    },
}


# When a row happened: rows outside the observed period are set aside by this column.
ROW_TIME = {
    "touchpoints": "occurred_at",
    "tickets": "opened_at",
    "ticket_events": "occurred_at",
    "transactions": "occurred_at",
    "surveys": "sent_at",
    "incidents": "started_at",
    "changes": "proposed_at",
    "flights": "exposed_at",
}

# Where there are no touchpoints, a ticket's channel (in lower case) says at which stage it came in.
CHANNEL_STAGE = {
    "web": "help",
    "self-service": "help",
    "self service": "help",
    "portal": "help",
    "bot": "chatbot",
    "virtual agent": "chatbot",
    "chat": "agent",
    "email": "agent",
    "e-mail": "agent",
    "mail": "agent",
    "walk-in": "agent",
    "call": "phone",
    "voice": "phone",
}

_SECONDS = {"s": 1, "min": 60, "h": 3_600, "d": 86_400, "w": 604_800}


def duration(text: object, name: str = "within") -> int:
    """How many microseconds is a length of time such as "7d"?

    Units are s, min, h, d and w. Raises UnitError where the unit is missing or unknown: 7 could be days or hours.

    >>> duration("2h"), duration("1.5s")
    (7200000000, 1500000)
    >>> duration("7", name="gap")
    Traceback (most recent call last):
    cxlib.schema.UnitError: gap=7 has no unit: write "7d" for 7 days (units: s, min, h, d, w)
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(s|min|h|d|w)?\s*", str(text))
    if found is None:
        raise UnitError(
            f"{name}={text} is not a length of time: write a number and a unit, such as 7d (units: {', '.join(_SECONDS)})"
        )
    if found[2] is None:
        raise UnitError(f'{name}={text} has no unit: write "{found[1]}d" for {found[1]} days (units: {", ".join(_SECONDS)})')
    return round(float(found[1]) * _SECONDS[found[2]] * 1_000_000)


HOUR, DAY = 3_600_000_000, 86_400_000_000  # microseconds, as times are counted in
_SPELLED = {"s": "second", "min": "minute", "h": "hour", "d": "day", "w": "week"}


def spelled(text: str) -> str:
    """A length of time such as "7d" as people write it; any other text as it is.

    >>> spelled("7d"), spelled("1h"), spelled("1.5 w"), spelled("soon")
    ('7 days', '1 hour', '1.5 weeks', 'soon')
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(s|min|h|d|w)\s*", text)
    return f"{found[1]} {_SPELLED[found[2]]}{'' if float(found[1]) == 1 else 's'}" if found else text


def nearest(word: str, allowed: Iterable[str]) -> str:
    """The end of an error message: what would have worked, the nearest name first.

    >>> nearest("stagse", ["name", "stages"])
    'did you mean stages? Allowed: name, stages'
    """
    allowed = list(allowed)
    close = get_close_matches(word, allowed, n=1)
    return (f"did you mean {close[0]}? " if close else "") + f"Allowed: {', '.join(allowed)}"


def key_of(table: str) -> list[str]:
    """Which columns make a row of `table` unique?

    >>> key_of("touchpoints"), key_of("identities")
    (['touchpoint_id'], ['visitor_id', 'user_id'])
    """
    return [name for name, column in TABLES[table].items() if column.key]


def known_at_start(table: str) -> list[str]:
    """Which columns of `table` may feed a prediction, because they are known when the row begins?

    >>> "category" in known_at_start("tickets"), "resolved_at" in known_at_start("tickets")
    (True, False)
    """
    return [name for name, column in TABLES[table].items() if column.known == "start"]


def dictionary() -> str:
    """The data dictionary as Markdown: what `data/README.md` holds.

    >>> dictionary().splitlines()[0]
    '# Data dictionary'
    """
    lines = ["# Data dictionary", "", *_PREFACE.strip().splitlines()]
    for table, columns in TABLES.items():
        lines += [
            "",
            f"## {table}",
            "",
            f"{ABOUT[table][0].upper()}{ABOUT[table][1:]}. Key: {', '.join(f'`{name}`' for name in key_of(table))}.",
            "",
        ]
        lines += ["| column | kind | unit or allowed values | known | what it is |", "|---|---|---|---|---|"]
        for name, c in columns.items():
            must = " (required)" if c.required and not c.key else ""
            lines.append(f"| `{name}` | {c.kind} | {', '.join(c.allowed) or c.unit} | {c.known} | {c.about}{must} |")
    return "\n".join(lines) + "\n"


_PREFACE = """
Printed from `cxlib/schema.py` by `make dictionary`; do not edit by hand.

A dataset is a folder with one parquet file per table and a `dataset.toml`. Only `touchpoints` or `tickets` is required, and
in each table only its key (plus `occurred_at` and `stage` for touchpoints). Ids are strings. Times are UTC and end in `_at`.
Durations carry their unit. "Known: end" marks values that are filled in or changed later: no prediction may use them.

`dataset.toml` holds: `name`; `timezone` (IANA; weekdays, hours and printed dates use it); `observed_from`, `observed_until`
(what is unfinished then is censored, later rows are set aside); `stages` in order from left to right; `escalation` (the
last-resort stage); `problem_from` (the leftmost stage that means seeking help); `[cases]` with `by = "user_id"` and
`gap = "7d"` (used only where `case_id` is missing); `[cost]` per touch and stage. Unknown keys are refused.

`data/demo` is the default data set: a simulated support world, made by
`cx demo --users 2000 --seed 1 --out data/demo`. Its `truth/` folder holds what was planted; no analysis reads it.
"""
