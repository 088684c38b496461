"""What do customers ask about? Tickets in themes with a size, a name, typical texts, and what becomes of them.

`fit` groups any texts and gives a codebook, which gives its themes to later texts; `of_tickets` groups a data set's tickets and
joins them with their cases; `subthemes` looks into the largest. `costs` says what a theme costs, `fix_list` which to mend
first, and `similar` which resolved tickets say the same; `emerging` asks what is new, `growth` what grows.
"""

from cxlib.themes.codebook import Codebook, fit
from cxlib.themes.command import add_codebook, run_codebook
from cxlib.themes.costs import Costs, costs
from cxlib.themes.edits import edited, read_edits
from cxlib.themes.fixes import FixList, fix_list
from cxlib.themes.growing import Growth, growth
from cxlib.themes.knowledge import Replay, replay, replayed, resolved, similar
from cxlib.themes.news import Emerging, emerging
from cxlib.themes.recent import Recent, recent
from cxlib.themes.shares import MIXED, NO_TEXT
from cxlib.themes.subthemes import subthemes, subthemes_of_tickets
from cxlib.themes.tickets import TicketThemes, called, of_tickets, ticket_texts

__all__ = [
    "MIXED",
    "NO_TEXT",
    "Codebook",
    "Costs",
    "Emerging",
    "FixList",
    "Growth",
    "Recent",
    "Replay",
    "TicketThemes",
    "add_codebook",
    "called",
    "costs",
    "edited",
    "emerging",
    "fit",
    "fix_list",
    "growth",
    "of_tickets",
    "read_edits",
    "recent",
    "replay",
    "replayed",
    "resolved",
    "run_codebook",
    "similar",
    "subthemes",
    "subthemes_of_tickets",
    "ticket_texts",
]
