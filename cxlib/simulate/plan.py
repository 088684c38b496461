"""The planted topics and applications: sizes, severity, and how they show in columns."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Topic(NamedTuple):
    """One planted topic: `size` is its weight among ordinary cases, `harm` shifts the log odds of each further level of
    severity.
    """

    key: str
    category: str
    subcategory: str
    applications: tuple[int, ...]
    size: float
    harm: float
    group: int


APPLICATIONS = (
    ("Ledger", "Billing Team", "1 - core"),
    ("Atlas Reports", "Data Team", "2 - important"),
    ("Northwind Sync", "Integrations Team", "2 - important"),
    ("Fieldbook Mobile", "Mobile Team", "2 - important"),
    ("Keyring", "Access Team", "1 - core"),
    ("Workspace", "Product Support", "3 - other"),
)
GROUPS = ("Service Desk", "Billing Team", "Access Team", "Data Team", "Integrations Team", "Mobile Team", "Product Support")
CATEGORIES = {
    "Account and access": ("Sign-in", "Permissions", "Security"),
    "Billing": ("Invoices", "Payments", "Contract"),
    "Data and reports": ("Reports", "Import and export", "Data quality"),
    "Integrations": ("Connectors", "API", "Notifications"),
    "Mobile and devices": ("App", "Devices"),
    "Availability": ("Outage", "Performance"),
}
TOPICS = (
    Topic("password_reset", "Account and access", "Sign-in", (4,), 1.5, -0.30, 2),
    Topic("second_factor", "Account and access", "Sign-in", (4, 3), 1.0, 0.25, 2),
    Topic("permissions", "Account and access", "Permissions", (4, 5), 0.9, -0.20, 2),
    Topic("invoice_amount", "Billing", "Invoices", (0,), 1.2, 0.35, 1),  # look-alike of refund_missing
    Topic("refund_missing", "Billing", "Payments", (0,), 0.8, 0.60, 1),
    Topic("cancel_contract", "Billing", "Contract", (0, 5), 0.7, 0.45, 1),
    Topic("report_wrong", "Data and reports", "Data quality", (1,), 0.9, 0.05, 3),
    Topic("export_fails", "Data and reports", "Import and export", (1, 5), 1.1, -0.10, 3),
    Topic("sync_stuck", "Integrations", "Connectors", (2,), 1.0, 0.20, 4),
    Topic("api_limits", "Integrations", "API", (2, 1), 0.6, -0.15, 4),
    Topic("app_crash", "Mobile and devices", "App", (3,), 1.0, 0.15, 5),
    Topic("slow_pages", "Availability", "Performance", (5, 1, 0, 2, 3, 4), 0.8, 0.40, 6),
    Topic("notifications", "Integrations", "Notifications", (5, 3), 0.7, -0.50, 6),
    Topic("assistant_errors", "Data and reports", "Reports", (5, 1), 1.0, 0.30, 3),  # emerges in the last six weeks
)
KEYS = tuple(topic.key for topic in TOPICS)
EMERGING, INCIDENT_TOPIC = KEYS.index("assistant_errors"), KEYS.index("slow_pages")
LOOK_ALIKES = ("invoice_amount", "refund_missing")

TOPIC_SHARE = np.array([topic.size for topic in TOPICS]) / sum(topic.size for topic in TOPICS)
TOPIC_SEVERITY = np.array([topic.harm for topic in TOPICS])
N_TOPICS, N_APPLICATIONS = len(TOPICS), len(APPLICATIONS)

SURE_APPLICATION, SURE_CATEGORY, SURE_SUBCATEGORY, SURE_ARTICLE = 0.80, 0.86, 0.78, 0.65
SUBCATEGORY_NAMES = tuple((category, name) for category, names in CATEGORIES.items() for name in names)
ARTICLES_PER_TOPIC = 3
N_ARTICLES = ARTICLES_PER_TOPIC * N_TOPICS


def _topic_applications() -> np.ndarray:
    """Chance of each application by topic: mostly its own, else any."""
    table = np.full((N_TOPICS, N_APPLICATIONS), (1 - SURE_APPLICATION) / N_APPLICATIONS)
    for row, topic in zip(table, TOPICS, strict=True):
        own = np.array([0.7, 0.3] if len(topic.applications) == 2 else [1 / len(topic.applications)] * len(topic.applications))
        row[list(topic.applications)] += SURE_APPLICATION * own
    return table


def _topic_subcategories() -> np.ndarray:
    """Chance of each (category, subcategory) pair by topic: noise in the category first, then within it."""
    table = np.zeros((N_TOPICS, len(SUBCATEGORY_NAMES)))
    for row, topic in zip(table, TOPICS, strict=True):
        for at, (category, name) in enumerate(SUBCATEGORY_NAMES):
            others = len(CATEGORIES[category])
            in_category = SURE_CATEGORY if category == topic.category else (1 - SURE_CATEGORY) / (len(CATEGORIES) - 1)
            inner = (
                (SURE_SUBCATEGORY * (name == topic.subcategory) + (1 - SURE_SUBCATEGORY) / others)
                if category == topic.category
                else 1 / others
            )
            row[at] = in_category * inner
    return table


def _topic_articles() -> np.ndarray:
    """Chance of each article being the one read, by topic."""
    table = np.full((N_TOPICS, N_ARTICLES), (1 - SURE_ARTICLE) / N_ARTICLES)
    for t, row in enumerate(table):
        row[t * ARTICLES_PER_TOPIC : (t + 1) * ARTICLES_PER_TOPIC] += SURE_ARTICLE / ARTICLES_PER_TOPIC
    return table


TOPIC_APPLICATIONS, TOPIC_SUBCATEGORIES, TOPIC_ARTICLES = _topic_applications(), _topic_subcategories(), _topic_articles()
