"""What do customers ask about? Tickets in themes with a size, a name, typical texts, and what becomes of them.

`fit` groups any texts; `of_tickets` groups a data set's tickets and joins them with their cases.
"""

from cxlib.themes.codebook import Codebook, fit
from cxlib.themes.shares import MIXED, NO_TEXT
from cxlib.themes.tickets import TicketThemes, called, of_tickets

__all__ = ["MIXED", "NO_TEXT", "Codebook", "TicketThemes", "called", "fit", "of_tickets"]
