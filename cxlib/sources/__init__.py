"""Exports in, our tables out: `cx import servicenow` and `cx import table`."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import tomli_w

from cxlib.schema import TABLES, DataError, nearest
from cxlib.sources import read, servicenow, table
from cxlib.sources.convert import LEFT_OUT, Imported, zone

__all__ = ["add_import", "merged", "read_servicenow", "read_table", "run_import"]

REASONS = 8  # lines of reasons that are printed

_SERVICENOW = """
Read ServiceNow's audit log of incidents: one row per update, with the columns number, sys_mod_count, sys_updated_at,
reassignment_count, incident_state and so on; day-first dates, "?" for missing. Compressed files are read as they are.
Gives touchpoints (one per update, in the stage first group, second group, or third group or later), tickets and ticket events.

  cx import servicenow incidents.csv.xz --out data/incidents
"""
_TABLE = """
Read any CSV, JSON-lines or parquet file (also as .gz, .bz2, .xz or .zst). A mapping file says which of its columns are
which of ours; data/mappings/boston311.toml is one, with every key explained:

  cx import table requests.csv.xz --mapping data/mappings/boston311.toml --out data/boston

Simple files need no mapping file. Columns that already have our names map themselves:

  cx import table contacts.csv --table touchpoints --map occurred_at=When --map stage=Channel \\
      --map-value stage:fax=agent --date-format "%d/%m/%Y %H:%M" --timezone Europe/Berlin \\
      --save-mapping contacts.toml --out data/contacts
"""


def add_import(subparsers: Any) -> ArgumentParser:
    """Add `import` to the subcommands of `cx`; `run_import` does what it was asked."""
    parser = subparsers.add_parser("import", help="turn an export into a dataset folder")
    kinds = parser.add_subparsers(dest="source", required=True, metavar="SOURCE")
    for name, about in (("servicenow", _SERVICENOW), ("table", _TABLE)):
        kind = kinds.add_parser(
            name,
            help=about.strip().split(":")[0].split(". ")[0],
            description=about,
            formatter_class=RawDescriptionHelpFormatter,
        )
        kind.add_argument("file", type=Path, metavar="FILE", help="the export")
        kind.add_argument(
            "--out", type=Path, required=True, metavar="DIR", help="dataset folder to write; one that is there is replaced"
        )
        kind.add_argument("--name", help="what to call the data set in reports")
        kind.add_argument("--timezone", help="IANA time zone of times without one, such as Europe/Berlin (default UTC)")
        kind.add_argument("--encoding", help="of the file, such as latin-1 (default utf-8)")
        kind.add_argument("--delimiter", help='between the columns of a CSV file, such as ";" or "\\t" (default ",")')
        if name == "table":
            _add_mapping(kind)
    return parser


def _add_mapping(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--mapping", type=Path, metavar="FILE.toml", help="which columns are which; the options below add to it"
    )
    parser.add_argument("--table", metavar="NAME", help=f"the table that the file feeds: {', '.join(TABLES)}")
    parser.add_argument("--map", action="append", default=[], metavar="OURS=THEIRS", help="a column of the table (repeatable)")
    parser.add_argument(
        "--map-value",
        action="append",
        default=[],
        metavar="COLUMN:THEIRS=OURS",
        help="a value of one of our columns (repeatable)",
    )
    parser.add_argument(
        "--missing", action="append", default=[], metavar="TEXT", help='a text that means "no value" (repeatable)'
    )
    parser.add_argument(
        "--date-format", metavar="FORMAT", help="of the times, as in strptime, or unix or unix_ms (default ISO 8601)"
    )
    parser.add_argument("--stages", metavar="A,B,C", help="the stages from left to right")
    parser.add_argument("--save-mapping", type=Path, metavar="FILE.toml", help="write the mapping that was used")


def run_import(args: Namespace, store: Any) -> int:
    """Import as asked, print what became of every row, and return the exit code.

    `store` is the module that writes a dataset; the caller hands it in, because imports only go down. Raises DataError.
    """
    store.refuse_foreign_folder(args.out)
    if args.source == "servicenow":
        imported = read_servicenow(args.file, args.name, args.timezone, args.encoding, args.delimiter)
    else:
        mapping = merged(args)
        store.read_settings({key: mapping[key] for key in table.SETTINGS if key in mapping}, str(args.mapping or "the options"))
        if args.save_mapping:
            args.save_mapping.write_text(tomli_w.dumps(mapping), encoding="utf-8", newline="\n")
            print(f"mapping: {args.save_mapping}")
        imported = read_table(args.file, mapping)
    _refuse_empty(imported, args.file)
    accounting = store.write_dataset(args.out, imported.settings, imported.tables, imported.set_aside, imported.notes)
    print(summary(accounting, _quarantine(args.out), imported.notes))
    print(f"wrote {args.out}: next, cx report --data {args.out}")
    return 0


def read_servicenow(
    file: Path, name: str | None = None, timezone: str | None = None, encoding: str | None = None, delimiter: str | None = None
) -> Imported:
    """ServiceNow's audit log of incidents as our tables; see `servicenow.convert_log`."""
    chunks = read.chunks(file, _delimiter(delimiter or ","), encoding or "utf-8")
    return servicenow.convert_log(chunks, name or "ServiceNow incidents", zone(timezone or "UTC").key, file)


def read_table(file: Path, mapping: Mapping[str, Any]) -> Imported:
    """Any file as our tables, by a checked mapping; see `table.convert_rows`."""
    mapping = {"name": file.name.split(".")[0], **mapping}
    return table.convert_rows(read.chunks(file, mapping.get("delimiter", ","), mapping.get("encoding", "utf-8")), mapping, file)


def _delimiter(text: str) -> str:
    return text.replace("\\t", "\t")


def merged(args: Namespace) -> dict[str, Any]:
    """The mapping that these options ask for: that of the file, if one is given, with the options on top."""
    mapping = table.load_mapping(args.mapping) if args.mapping else {}
    options = {key: getattr(args, key) for key in ("name", "timezone", "encoding")}
    options |= {"delimiter": _delimiter(args.delimiter) if args.delimiter else None}
    options |= {"stages": [stage.strip() for stage in args.stages.split(",")] if args.stages else None}
    mapping |= {key: value for key, value in options.items() if value is not None}
    if args.missing:
        mapping["missing"] = [*mapping.get("missing", []), *args.missing]
    if args.date_format:
        mapping["dates"] = mapping.get("dates", {}) | {"format": args.date_format}
    tables = mapping.setdefault("tables", {})
    name = _table_name(args, tables)
    if name not in tables:
        theirs = read.columns(args.file, mapping.get("delimiter", ","), mapping.get("encoding", "utf-8"))
        tables[name] = {"columns": {column: column for column in TABLES[name] if column in theirs}}
    columns = tables[name].setdefault("columns", {})
    columns |= dict(_pair(text, "--map", "OURS=THEIRS", first=True) for text in args.map)
    for text in args.map_value:
        ours, _, pair = text.partition(":")
        theirs_value, our_value = _pair(pair, "--map-value", "COLUMN:THEIRS=OURS", first=False)
        fed = [part for part in tables.values() if ours in part.get("columns", {})]
        if not fed:
            raise DataError(f"--map-value {text}: no table has a column {ours!r}: {nearest(ours, columns)}")
        for part in fed:
            part.setdefault("values", {}).setdefault(ours, {})[theirs_value] = our_value
    return table.check_mapping(mapping, str(args.mapping or "the options"))


def _table_name(args: Namespace, tables: Mapping[str, Any]) -> str:
    """Which table the options speak of: the one named, else the only one of the mapping, else touchpoints."""
    if args.table and args.table not in TABLES:
        raise DataError(f"--table {args.table} is not a table: {nearest(args.table, TABLES)}")
    if not args.table and not tables:
        raise DataError(
            "say which columns are which: --mapping FILE.toml, "
            "or --table touchpoints --map occurred_at=THEIRS --map stage=THEIRS"
        )
    return args.table or (next(iter(tables)) if len(tables) == 1 or "touchpoints" not in tables else "touchpoints")


def _pair(text: str, option: str, form: str, first: bool) -> tuple[str, str]:
    left, sign, right = text.partition("=") if first else text.rpartition("=")
    if not sign or not right:
        raise DataError(f"{option} {text!r} cannot be read: write {option} {form}")
    return left, right


def _refuse_empty(imported: Imported, file: Path) -> None:
    if not {"touchpoints", "tickets"} & set(imported.tables):
        raise DataError(f"{file} feeds {', '.join(imported.tables)} only: a dataset needs touchpoints or tickets as well")
    if all(frame.empty for name, frame in imported.tables.items() if name in ("touchpoints", "tickets")):
        why = _reasons(imported.set_aside)
        raise DataError(f"{file} has no usable row; {why[0] if why else 'it is empty'}")


def _quarantine(out: Path) -> pd.DataFrame:
    file = out / "quarantine" / "rows.parquet"
    columns = ["table", "row", "column", "value", "kind", "reason"]
    return pd.read_parquet(file, columns=columns) if file.is_file() else pd.DataFrame(columns=columns)


def summary(accounting: pd.DataFrame, quarantine: pd.DataFrame, notes: Iterable[str] = ()) -> str:
    """What became of every row: a table of counts, the reasons with the most rows, and the notes."""
    lines = [f"{'table':<14}{'rows in':>12}{'kept':>12}{'set aside':>12}{'left out':>12}"]
    for row in accounting.itertuples():
        lines.append(f"{row.table:<14}{row.rows_in:>12,}{row.kept:>12,}{row.broken:>12,}{row.left_out:>12,}")
    reasons = _reasons(quarantine)
    if reasons:
        more = f" (the first {REASONS} of {len(reasons)})" if len(reasons) > REASONS else ""
        lines += [
            f"Why rows did not get in{more}; each row is in quarantine/rows.parquet:",
            *(f"  {r}" for r in reasons[:REASONS]),
        ]
    return "\n".join([*lines, *(f"note: {note}" for note in notes)])


def _reasons(quarantine: pd.DataFrame) -> list[str]:
    """One line per reason (and value, where rows were left out for it), most rows first."""
    split = quarantine.assign(each=quarantine["value"].where(quarantine["kind"].eq(LEFT_OUT), ""))
    keys = ["kind", "column", "reason", "each"]
    found = split.groupby([*keys, "table"], sort=False).agg(n=("row", "size"), row=("row", "first"), value=("value", "first"))
    same = found.reset_index().groupby([*keys, "n", "row", "value"], sort=False)["table"].agg(", ".join).reset_index()
    return [
        f"{line['table']}: {line['n']:,} {LEFT_OUT if line['kind'] == LEFT_OUT else 'set aside'}, first row {line['row']:,}: "
        + (f"{line['column']} {str(line['value'])[:60]!r} " if line["column"] else "")
        + line["reason"]
        for line in same.sort_values("n", ascending=False, kind="stable").to_dict("records")
    ]
