"""What do customers ask about? Tickets in themes with a size, a name, typical texts, and what becomes of them.

`fit` groups any texts; `of_tickets` groups a data set's tickets and joins them with their cases. `emerging` asks what is new,
`growth` what grows.
"""

from cxlib.themes.clusters import NO_TEXT, Themes, fit
from cxlib.themes.growing import Growth, growth
from cxlib.themes.news import Emerging, emerging
from cxlib.themes.tickets import TicketThemes, called, of_tickets

__all__ = ["NO_TEXT", "Emerging", "Growth", "Themes", "TicketThemes", "called", "emerging", "fit", "growth", "of_tickets"]
