"""Reports: parameters that are checked before anything runs, notebooks that run as they are, pages that appear as a whole.

For notebooks: `check_parameters` and `show_metrics`. For `cx`: `add_report` and `run_report`.
"""

from cxlib.reports.command import add_report, run_report
from cxlib.reports.metrics import show_metrics
from cxlib.reports.parameters import PARAMETERS, check_parameters, declared, parse

__all__ = ["PARAMETERS", "add_report", "check_parameters", "declared", "parse", "run_report", "show_metrics"]
