"""Where do our customers go, what do they ask, who will be forced to call, and what would move them left?"""

from cxlib.schema import DataError
from cxlib.spark import open_log
from cxlib.store import open_dataset

__all__ = ["DataError", "open_dataset", "open_log"]
