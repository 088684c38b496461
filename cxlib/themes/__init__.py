"""What do customers ask about? Tickets in themes with a size, a name, typical texts, and what becomes of them.

`fit` groups any texts; `of_tickets` groups a data set's tickets and joins them with their cases. `costs` says what a theme
costs, `fix_list` which to mend first, `similar` which resolved tickets say the same, `emerging` what is new and `growth` what
grows.
"""

from cxlib.themes.clusters import NO_TEXT, Themes, fit
from cxlib.themes.costs import Costs, costs
from cxlib.themes.fixes import FixList, fix_list
from cxlib.themes.growing import Growth, growth
from cxlib.themes.knowledge import Replay, replay, resolved, similar
from cxlib.themes.news import Emerging, emerging
from cxlib.themes.tickets import TicketThemes, called, of_tickets

__all__ = [
    "NO_TEXT",
    "Costs",
    "Emerging",
    "FixList",
    "Growth",
    "Replay",
    "Themes",
    "TicketThemes",
    "called",
    "costs",
    "emerging",
    "fit",
    "fix_list",
    "growth",
    "of_tickets",
    "replay",
    "resolved",
    "similar",
]
