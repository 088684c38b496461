"""Sentences and figures of the journey on odd worlds: they must not lie, and nothing may fall over."""

from dataclasses import replace

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from cxlib import eventlog, figures, journey, words
from cxlib.eventlog import from_paths
from cxlib.store import Settings
from cxlib.words.numbers import percent

WATCHED = {"observed_until": pd.Timestamp("1970-01-09", tz="UTC")}  # a day longer than the pause that ends a case
OPEN = Settings(observed_until=pd.Timestamp("1970-01-02", tz="UTC"))
LINES = Settings(stages=("app", "hotline", "visit"), escalation="hotline", problem_from="app")
YEAR = pd.Timestamp("1971-01-01", tz="UTC")
WORLDS = {
    "nobody sought help": from_paths(a="product", b="product product"),
    "nobody called": from_paths(a="help", b="help chatbot"),
    "everybody called first": from_paths(a="phone", b="phone", c="phone"),
    "all open": from_paths(a="help phone", b="help", settings=OPEN),
    "one case": from_paths(a="help phone"),
    "hostile stages": from_paths(
        a="<b>app</b> [x](y)",
        settings=Settings(stages=("<b>app</b>", "[x](y)"), escalation="[x](y)", problem_from="<b>app</b>", observed_until=YEAR),
    ),
    "the last resort is not the last stage": from_paths(a="visit hotline", b="app hotline", settings=LINES),
}


@pytest.mark.parametrize("name", WORLDS)
def test_every_sentence_and_figure_can_be_made(name):
    log = WORLDS[name]
    felt, reach = journey.mood(log), journey.funnel(log)
    calls = journey.time_to(log, log.stages[log.escalation])
    said = [
        words.say_log(log, name), words.say_forced(journey.forced_to_call(log)), words.say_funnel(reach),
        words.say_ends(journey.ends(log)),
        words.say_transitions(journey.transitions(log)), words.say_mood(felt), words.say_time_to(calls),
    ]  # fmt: skip
    assert not any("nan" in sentence or "<b>" in sentence or "](y)" in sentence for sentence in said)
    drawn = [
        figures.draw_funnel(reach, felt), figures.draw_forced(journey.forced_to_call(log)), figures.draw_incidence(calls),
        figures.draw_ends(journey.ends(log)), figures.draw_mood(felt),
    ]  # fmt: skip
    for ax in drawn:
        ax.figure.canvas.draw()
        plt.close(ax.figure)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nobody sought help", "so nobody can have been forced to call"),
        ("nobody called", "0 % of cases with a problem were forced to call"),
        ("everybody called first", "100 %"),
        ("all open", "1 are still open and may follow"),
        ("the last resort is not the last stage", "1 case, with nothing tried to its left before"),
    ],
)
def test_the_headline_says_what_happened(name, says):
    assert says in words.say_forced(journey.forced_to_call(WORLDS[name])).replace("**", "")


def test_a_closed_window_is_not_said_to_grow():
    log = from_paths(a="help", b="help phone", settings=OPEN)
    assert "can only grow" in words.say_funnel(journey.funnel(log))
    assert "can only grow" not in words.say_funnel(journey.funnel(log, within="2h"))
    assert "2 cases are younger than 9 days" in words.say_funnel(journey.funnel(log, within="9d"))


@pytest.mark.parametrize("name", WORLDS)
def test_every_sentence_and_figure_of_the_paths_can_be_made(name):
    log = WORLDS[name]
    moves, streams, steps = journey.transitions(log), journey.flow(log), journey.step_matrix(log)
    paths, again, back = journey.variants(log), journey.loops(log), journey.returns(log)
    said = [words.say_flow(streams), words.say_steps(steps), words.say_variants(paths)]
    said += [words.say_loops(again), words.say_returns(back)]
    assert not any("nan" in sentence or "<b>" in sentence or "](y)" in sentence for sentence in said)
    drawn = [
        figures.draw_graph(moves), figures.draw_flow(streams), figures.draw_step_matrix(steps), figures.draw_variants(paths),
        figures.draw_loops(again), figures.draw_returns(back),
    ]  # fmt: skip
    for ax in drawn:
        ax.figure.canvas.draw()
        plt.close(ax.figure)


def test_the_label_of_a_move_stands_on_its_arrow_whatever_the_number_of_stages():
    for log in (
        from_paths(a="help phone", b="product help"),
        from_paths(a="app hotline visit", settings=replace(LINES, **WATCHED)),
    ):
        ax = figures.draw_graph(journey.transitions(log))
        ax.figure.canvas.draw()
        labels = [text for text in ax.texts if text.get_text().endswith("%") and "\n" not in text.get_text()]
        assert len(labels) == len(ax.patches) == 2
        for label, arrow in zip(labels, ax.patches, strict=True):
            (_, low), (middle, control) = arrow.get_path().vertices[:2]  # a quadratic curve rises half way to its control
            assert label.get_position() == pytest.approx((middle, (low + control) / 2), abs=0.02)
        plt.close(ax.figure)


def test_a_figure_does_not_call_a_visit_a_call():
    ax = figures.draw_forced(journey.forced_to_call(from_paths(a="help phone")))
    assert [label.get_text() for label in ax.get_yticklabels()] == ["called first", "forced to call"]
    there = Settings(stages=("app", "visit"), escalation="visit", problem_from="app")
    ax = figures.draw_forced(journey.forced_to_call(from_paths(a="app visit", settings=there)))
    assert [label.get_text() for label in ax.get_yticklabels()] == ["went there first", "forced on to visit"]


def test_open_cases_are_named_beside_the_curve_only_where_there_are_some():
    assert "still open" not in words.say_time_to(journey.time_to(from_paths(a="help phone"), "phone"))
    log = from_paths(a="help", b="help phone", step="30h", settings=Settings(**WATCHED))
    said = words.say_time_to(journey.time_to(log, "phone"))
    assert "1 case still open is counted for as long as seen" in said


def test_mood_of_a_single_touch_is_not_called_missing():
    frame = pd.DataFrame({"touchpoint_id": ["1"], "user_id": ["a"], "stage": ["help"], "sentiment": [0.5]})
    log = eventlog.compile(frame.assign(occurred_at=pd.Timestamp("2026-01-01", tz="UTC").as_unit("us")))
    assert "1 touch carries a mood" in words.say_mood(journey.mood(log))


def test_what_is_drawn_stands_in_the_table():
    reach = journey.funnel(from_paths(a="help", b="help chatbot", c="product phone"))
    ax = figures.draw_funnel(reach)
    assert [round(bar.get_height(), 9) for bar in ax.patches] == reach.table["share"].round(9).tolist()
    plt.close(ax.figure)


def test_not_all_is_never_written_as_all():
    assert percent(0.9996) == "99.9 %"
    assert percent(1) == "100 %"
