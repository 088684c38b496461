"""What do customers ask about? Tickets in themes with a size, a name, typical texts, and what becomes of them.

`fit` groups any texts; `of_tickets` groups a data set's tickets and joins them with their cases. `costs` says what a theme
costs, `fix_list` which to mend first, and `similar` which resolved tickets say the same.
"""

from cxlib.themes.clusters import NO_TEXT, Themes, fit
from cxlib.themes.costs import Costs, costs
from cxlib.themes.fixes import FixList, fix_list
from cxlib.themes.knowledge import Replay, replay, resolved, similar
from cxlib.themes.tickets import TicketThemes, called, of_tickets

__all__ = [
    "NO_TEXT",
    "Costs",
    "FixList",
    "Replay",
    "Themes",
    "TicketThemes",
    "called",
    "costs",
    "fit",
    "fix_list",
    "of_tickets",
    "replay",
    "resolved",
    "similar",
]
