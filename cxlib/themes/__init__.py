"""What do customers ask about? Tickets in themes with a size, a name, typical texts, and what becomes of them.

`fit` groups any texts and gives a codebook, which gives its themes to later texts; `of_tickets` groups a data set's tickets and
joins them with their cases.
"""

from cxlib.themes.codebook import Codebook, fit
from cxlib.themes.command import add_codebook, run_codebook
from cxlib.themes.edits import edited, read_edits
from cxlib.themes.shares import MIXED, NO_TEXT
from cxlib.themes.tickets import TicketThemes, called, of_tickets

__all__ = [
    "MIXED",
    "NO_TEXT",
    "Codebook",
    "TicketThemes",
    "add_codebook",
    "called",
    "edited",
    "fit",
    "of_tickets",
    "read_edits",
    "run_codebook",
]
