"""Who was it, as far as was known then? A visitor is a customer from the link on, not before."""

from __future__ import annotations

from dataclasses import replace

from cxlib.store import Dataset, Tables

_ALONE = " before"  # what the name of a visitor ends on while nobody knew whose it was


def as_known(dataset: Dataset) -> Dataset:
    """The data set in which touches of a visitor stand alone until the visitor was linked to a customer.

    Returns
    -------
    Dataset
        The same one where no link came later than a touch of its visitor, or every such touch names its case.

    Notes
    -----
    Where cases are cut by gap, a link joins a visitor's earlier touches to the customer's case. If links are made where
    customers give their name, as on the phone, a case that was joined tells that they called: in a world where calls are
    chance, an AUC of .87. What came before a link is therefore a case of its own here, as it was at the time.
    """
    queries = dict(dataset.queries)
    if not {"touchpoints", "identities"} <= set(queries):
        return dataset
    columns = {table: set(dataset.connection.sql(f"SELECT * FROM ({queries[table]}) LIMIT 0").columns) for table in queries}
    if "visitor_id" not in columns["touchpoints"] or "linked_at" not in columns["identities"]:
        return dataset
    case = "t.case_id IS NULL AND" if "case_id" in columns["touchpoints"] else ""
    early = f"""FROM ({queries["touchpoints"]}) t LEFT JOIN (
        SELECT visitor_id, max(linked_at) AS linked_at FROM ({queries["identities"]}) GROUP BY visitor_id) l
        ON t.visitor_id = l.visitor_id"""
    is_early = f"{case} t.visitor_id IS NOT NULL AND l.linked_at > t.occurred_at"
    if not dataset.connection.sql(f"SELECT count(*) {early} WHERE {is_early}").fetchall()[0][0]:
        return dataset
    visitor = f"CASE WHEN {is_early} THEN t.visitor_id || '{_ALONE}' ELSE t.visitor_id END AS visitor_id"
    queries["touchpoints"] = f"SELECT t.* REPLACE ({visitor}) {early}"
    return replace(
        dataset,
        queries=queries,
        tables=Tables(dataset.connection, queries),
        fingerprint=f"{dataset.fingerprint} as known",
    )
