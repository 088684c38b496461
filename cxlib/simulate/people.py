"""Users, agents, applications, articles and visitors: who and what there is."""

from __future__ import annotations

import numpy as np
import pandas as pd

from .cases import FROM, HOUR, UNTIL, Cases, Touches
from .columns import MICRO, flat_pick, ids, labels, stream, text, times
from .phrases import ARTICLE_TITLES
from .plan import APPLICATIONS, ARTICLES_PER_TOPIC, GROUPS, N_ARTICLES, TOPICS

_GIVEN = (
    "Anna Bruno Carla David Elena Felix Greta Henrik Ingrid Jakob Katrin Lukas Maria Nils Olga Pavel Quentin Rosa Stefan "
    "Tanja Ulrich Vera Walter Xenia Yusuf Zoe Amara Boris Chloe Dmitri Emily Farid Giulia Hassan Irene Jorge Karim Laura "
    "Mateo Nadia Oscar Petra Rafael Sofia Tomas Ursula Viktor Wanda Akira Beatriz Connor Daria Ewan Fatima Gordon Helena "
    "Ivan Joanna Kofi Leila"
)
_FAMILY = (
    "Adler Baumann Castillo Dietrich Eriksen Fischer Gruber Hoffmann Ivanova Jansen Keller Lindqvist Moreau Novak Okafor "
    "Petrov Quist Richter Schneider Tanaka Ulmer Vogel Weber Yilmaz Zimmermann Andersson Bianchi Costa Dubois Evans "
    "Ferrari Gonzalez Haddad Iversen Johansson Kowalski Lehmann Martins Nielsen Oliveira Papadopoulos Rossi Santos "
    "Tremblay Urbanek Varga Wagner Xu Young Zhang Abadi Becker Clarke Doyle Engel Fontaine Graham Hughes Ibrahim Jensen "
    "Krause Larsen Meyer Nowak Olsen Peters Reid Schmidt Thomas Vasquez"
)
GIVEN, FAMILY = _GIVEN.split(), _FAMILY.split()
ROLES = (("analyst", 0.30), ("accountant", 0.20), ("field worker", 0.25), ("manager", 0.15), ("administrator", 0.10))
GEOGRAPHIES = (
    ("Germany", 0.40),
    ("France", 0.15),
    ("United Kingdom", 0.15),
    ("Poland", 0.10),
    ("Spain", 0.10),
    ("Canada", 0.10),
)
DIALLING = ("+49 30", "+33 1", "+44 20", "+48 22", "+34 91", "+1 416")
PLANS = (("basic", 0.45), ("standard", 0.38), ("premium", 0.17))
DOMAINS = ("example.com", "example.org", "example.net", "mail.example.com", "firm.example.org")
N_AGENTS = 40
ANONYMOUS = 0.15  # of the cases begin without signing in: only the visitor is known left of the agent
LOST_LINKS = 0.12  # of the visitors' links are missing from `identities`
NEW_USERS = 0.15  # of the users first appear within the window


def _names(n: int, rng: np.random.Generator) -> tuple[pd.Series, pd.Series]:
    """Full names and addresses; an address carries the row number when the name has been seen before."""
    given, family = rng.integers(0, len(GIVEN), n), rng.integers(0, len(FAMILY), n)
    twin = pd.Series(given * len(FAMILY) + family).groupby(given * len(FAMILY) + family).cumcount().to_numpy()
    domain = rng.integers(0, len(DOMAINS), n)
    name = [f"{GIVEN[g]} {FAMILY[f]}" for g, f in zip(given, family, strict=True)]
    email = [
        f"{GIVEN[g].lower()}.{FAMILY[f].lower()}{k + 1 if k else ''}@{DOMAINS[d]}"
        for g, f, k, d in zip(given, family, twin, domain, strict=True)
    ]
    return text(name), text(email)


def draw_users(n: int, cases: Cases, seed: int) -> pd.DataFrame:
    """The users table; role, geography and plan say nothing about temper or severity."""
    rng = stream(seed, "users")
    name, email = _names(n, rng)
    geography = flat_pick(rng, [share for _, share in GEOGRAPHIES], n)
    number = rng.integers(1_000_000, 9_999_999, n)
    phone = [f"{DIALLING[g]} {k // 10000} {k % 10000:04d}" for g, k in zip(geography, number, strict=True)]
    first_case = np.full(n, FROM + 150 * 24 * HOUR)
    np.minimum.at(first_case, cases.user, cases.start)
    new = rng.random(n) < NEW_USERS
    long_ago = FROM - (rng.random(n) * 730 * 24).astype(np.int64) * HOUR
    return pd.DataFrame(
        {
            "user_id": ids("U", np.arange(1, n + 1), 6),
            "account_id": ids("K", 1 + rng.integers(0, max(n // 4, 1), n), 5),
            "name": name,
            "email": email,
            "phone": text(phone),
            "role": labels(flat_pick(rng, [share for _, share in ROLES], n), [r for r, _ in ROLES]),
            "geography": labels(geography, [g for g, _ in GEOGRAPHIES]),
            "plan": labels(flat_pick(rng, [share for _, share in PLANS], n), [p for p, _ in PLANS]),
            "is_staff": pd.Series(rng.random(n) < 0.015, dtype="boolean"),
            "first_seen_at": times(np.where(new, np.maximum(first_case - 2 * 24 * HOUR, FROM), long_ago)),
        }
    )


def draw_agents(seed: int) -> pd.DataFrame:
    name, email = _names(N_AGENTS, stream(seed, "agents"))
    group = np.r_[np.zeros(10, int), np.arange(N_AGENTS - 10) % (len(GROUPS) - 1) + 1]
    email = email.str.replace("@.*", "@support.example.com", regex=True)
    return pd.DataFrame(
        {"agent_id": ids("A", np.arange(1, N_AGENTS + 1), 3), "name": name, "email": email, "group_id": labels(group, GROUPS)}
    )


def applications() -> pd.DataFrame:
    names, owners, tiers = zip(*APPLICATIONS, strict=True)
    return pd.DataFrame({"application_id": text(names), "owner_group": text(owners), "tier": text(tiers)})


def draw_articles(seed: int) -> pd.DataFrame:
    rng = stream(seed, "articles")
    published = FROM - (30 + rng.random(N_ARTICLES) * 500).astype(np.int64) * 24 * HOUR
    titles = [title for topic in TOPICS for title in ARTICLE_TITLES[topic.key]]
    return pd.DataFrame(
        {
            "article_id": ids("H", np.arange(1, N_ARTICLES + 1), 3),
            "title": text(titles),
            "body": text(
                [
                    f"{title}: the steps in order, with a picture for each, and whom to ask when they do not help."
                    for title in titles
                ]
            ),
            "topic": labels(np.repeat(np.arange(len(TOPICS)), ARTICLES_PER_TOPIC), [topic.category for topic in TOPICS]),
            "published_at": times(published),
            "updated_at": times(
                np.minimum(published + (rng.random(N_ARTICLES) * 300).astype(np.int64) * 24 * HOUR, UNTIL - HOUR)
            ),
        }
    )


def draw_visitors(n_users: int, cases: Cases, touches: Touches, seed: int) -> tuple[np.ndarray, pd.DataFrame, pd.DataFrame]:
    """The visitor's number by touch (0 where the customer is signed in), `identities`, and its truth with the lost links."""
    rng = stream(seed, "visitors")
    anonymous = (rng.random(len(cases.user)) < ANONYMOUS)[touches.case] & (touches.stage <= 2)
    users = np.unique(cases.user[touches.case[anonymous]])
    last = np.zeros(n_users, np.int64)
    np.maximum.at(last, cases.user[touches.case[anonymous]], touches.at[anonymous])
    linked = last[users] + rng.integers(60, 5 * 86400, len(users)) * MICRO
    known = (rng.random(len(users)) >= LOST_LINKS) & (linked < UNTIL)
    number = 1 + rng.permutation(n_users)
    truth = pd.DataFrame(
        {
            "visitor_id": ids("V", number[users], 6),
            "user_id": ids("U", users + 1, 6),
            "is_known": pd.Series(known, dtype="boolean"),
        }
    )
    how = labels(flat_pick(rng, [0.7, 0.3], len(users)), ["login", "e-mail"])
    table = (
        truth[["visitor_id", "user_id"]]
        .assign(linked_at=times(linked), how=how)[known]
        .sort_values("visitor_id", ignore_index=True)
    )
    return np.where(anonymous, number[cases.user[touches.case]], 0), table, truth
