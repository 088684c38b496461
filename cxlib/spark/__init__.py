"""The same questions on a Spark cluster: the log lies on its nodes, the kernels run there, the sums come back.

Optional: pip install 'cxlib[spark]', and Java 17. Nothing of Spark is imported before a log is opened there.
"""

from cxlib.spark.log import SparkLog
from cxlib.spark.opening import MASTER, open_log
from cxlib.spark.session import check_cluster

__all__ = ["MASTER", "SparkLog", "check_cluster", "open_log"]
