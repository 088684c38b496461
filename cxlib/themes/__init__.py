"""What do customers ask about? Tickets in themes with a size, a name, typical texts, and what becomes of them.

`fit` groups any texts; `of_tickets` groups a data set's tickets and joins them with their cases.
"""

from cxlib.themes.clusters import NO_TEXT, Themes, fit
from cxlib.themes.tickets import TicketThemes, called, of_tickets

__all__ = ["NO_TEXT", "Themes", "TicketThemes", "called", "fit", "of_tickets"]
