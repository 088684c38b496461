"""The hidden kind of a case, the chain of stages it walks, and what the observed columns say about the kind.

A case has a topic, a severity (0 to 3) and its customer a temper (0 calm, 1 usual, 2 short). Severity depends on topic and
temper; the walk over the stages, the waits between touches, the mood, impact and urgency depend on severity and temper
only. So everything about the outcome runs through the 12 kinds (severity, temper), and what can be known of them is a short
sum.
"""

from __future__ import annotations

import numpy as np

N_SEVERITY, N_TEMPER = 4, 3
N_KINDS = N_SEVERITY * N_TEMPER  # kind = severity * N_TEMPER + temper
SEVERITY = np.repeat(np.arange(N_SEVERITY), N_TEMPER)
TEMPER = np.tile(np.arange(N_TEMPER), N_SEVERITY)

TEMPER_SHARE = np.array([0.50, 0.35, 0.15])  # of the customers
TEMPER_CASES = np.array([0.85, 1.05, 1.40])  # cases per customer, relative: the short-tempered have more
TEMPER_SEVERITY = np.array([-0.30, 0.05, 0.45])  # shift of the log odds of each further level of severity
SEVERITY_LOGIT = np.array([1.0, 0.55, -0.25, -0.70])

PRODUCT, HELP, CHATBOT, AGENT, PHONE = range(5)
END = 0  # in the tables below column 0 is the end of the case: nobody goes back to plain use within a case

# Chance that the case ends with this touch (solved, or given up), by stage (rows help..phone) and severity.
ENDS = np.array([[0.65, 0.50, 0.28, 0.09], [0.62, 0.48, 0.28, 0.08], [0.78, 0.67, 0.47, 0.22], [0.86, 0.78, 0.66, 0.54]])
# Where the others go next: weights for help, chatbot, agent, phone, by stage.
MOVES = np.array([[0.34, 0.48, 0.16, 0.008], [0.14, 0.28, 0.46, 0.017], [0.05, 0.07, 0.66, 0.070], [0.02, 0.02, 0.30, 0.660]])
# The first touch that seeks help: weights for help, chatbot, agent, phone.
FIRST = np.array([0.70, 0.20, 0.09, 0.0045])
CALLS = np.exp(0.70 * SEVERITY + np.array([-0.50, 0.05, 0.90])[TEMPER])  # how much likelier the phone is, by kind

# Mood on an unbounded scale, tanh of it is the sentiment: falls to the right, with severity and with temper.
MOOD_STAGE = np.array([1.05, 0.60, 0.38, 0.18, -0.15])
MOOD = MOOD_STAGE[None, :] - 0.40 * SEVERITY[:, None] - 0.15 * TEMPER[:, None]
MOOD_SD = 0.50
MOOD_KNOWN = np.array([0.35, 0.50, 0.75, 0.85, 0.80])  # share of touches with a sentiment, by stage
# Wait until the next touch, log hours: median by stage it comes from, shorter the more severe.
WAIT = np.log(np.array([8.0, 2.5, 6.0, 26.0, 22.0]))[None, :] - 0.40 * SEVERITY[:, None]
WAIT_SD = 1.0

IMPACT = np.array(
    [[0.06, 0.24, 0.70], [0.10, 0.34, 0.56], [0.20, 0.42, 0.38], [0.38, 0.40, 0.22]]
)  # high, medium, low by severity
URGENCY = np.array([[0.05, 0.27, 0.68], [0.12, 0.38, 0.50], [0.26, 0.44, 0.30], [0.46, 0.38, 0.16]])


def _shares(weights: np.ndarray) -> np.ndarray:
    return weights / weights.sum(axis=-1, keepdims=True)


def _with_calls(weights: np.ndarray) -> np.ndarray:
    """Weights of the four stages -> shares by kind, the phone made likelier by `CALLS`."""
    by_kind = np.repeat(weights[None], N_KINDS, axis=0).astype(float)
    by_kind[..., -1] *= CALLS.reshape(-1, *[1] * (weights.ndim - 1))
    return _shares(by_kind)


def next_stage() -> np.ndarray:
    """Chance of the next step, (kind, stage from, [end, help, chatbot, agent, phone]); from `product` is not a step."""
    ends = ENDS.T[SEVERITY]
    steps = np.zeros((N_KINDS, 5, 5))
    steps[:, 1:, 1:] = _with_calls(MOVES) * (1 - ends)[..., None]
    steps[:, 1:, END] = ends
    steps[:, PRODUCT, END] = 1.0
    return steps


def first_stage() -> np.ndarray:
    """Chance that help is first sought at help, chatbot, agent, phone, by kind."""
    tilted = FIRST * np.exp(np.array([-0.12, 0.0, 0.12, 0.12]) * SEVERITY[:, None])
    tilted[:, -1] *= CALLS
    return _shares(tilted)


NEXT, FIRST_STAGE = next_stage(), first_stage()


def ever_reaches(targets: list[int], steps: np.ndarray = NEXT) -> np.ndarray:
    """Chance of ever touching one of `targets` from each stage, (kind, stage); 1 at the targets, 0 at `product`.

    Absorbing Markov chain: h = P(to target) + P(to the rest) h (Kemeny and Snell, Finite Markov Chains, 1960, theorem 3.3.7).
    """
    rest = [s for s in (HELP, CHATBOT, AGENT, PHONE) if s not in targets]
    h = np.zeros((len(steps), 5))
    h[:, targets] = 1.0
    if rest:
        inner = steps[:, rest][:, :, rest]
        h[:, rest] = np.linalg.solve(np.eye(len(rest)) - inner, steps[:, rest][:, :, targets].sum(axis=2, keepdims=True))[
            ..., 0
        ]
    return h


WILL_CALL = ever_reaches([PHONE])


def severity_given(topic_shift: np.ndarray) -> np.ndarray:
    """Chance of each severity, (topic, temper, severity), from the topics' shifts of the log odds per level."""
    shift = topic_shift[:, None] + TEMPER_SEVERITY[None, :]
    return _shares(np.exp(SEVERITY_LOGIT + shift[..., None] * np.arange(N_SEVERITY)))


def kind_given(topic_shift: np.ndarray) -> np.ndarray:
    """Chance of each kind among the *cases* of a topic, (topic, kind): customers weigh as many cases as they have."""
    temper = _shares(TEMPER_SHARE * TEMPER_CASES)
    joint = severity_given(topic_shift) * temper[None, :, None]
    return joint.transpose(0, 2, 1).reshape(len(topic_shift), N_KINDS)


def planted_shares(topic_share: np.ndarray, topic_shift: np.ndarray, problems: float) -> dict[str, float]:
    """The population's shares, computed from the parameters: what a funnel over endless cases would show.

    `topic_share` is each topic's share of the problem cases, `problems` the share of all cases that are problems.
    `share_STAGE` is of all cases, `share_of_problems_STAGE` of the cases that seek help: went at least as far right as
    STAGE.
    """
    kinds = topic_share @ kind_given(topic_shift)

    def first_then(h: np.ndarray) -> float:
        return float(kinds @ (FIRST_STAGE * h[:, 1:]).sum(axis=1))

    of_problems = {
        name: first_then(ever_reaches(list(range(code, 5)))) for name, code in (("chatbot", 2), ("agent", 3), ("phone", 4))
    }
    called_first = float(kinds @ FIRST_STAGE[:, -1])
    shares = {"share_help": problems} | {f"share_{name}": problems * share for name, share in of_problems.items()}
    shares |= {f"share_of_problems_{name}": share for name, share in of_problems.items()}
    return shares | {"forced_to_call": of_problems["phone"] - called_first, "called_first": called_first}
