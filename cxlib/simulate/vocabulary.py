# ruff: noqa: E501
"""The words customers use: for each topic several wordings with few words in common, and the phrases all topics share.

`[a|b|c]` is a choice. A topic's wordings (families) are linked only by tickets that mix two of them, as in real queues, where nobody uses
all the words of a topic. Family = (subject lines, sentences).
"""

from __future__ import annotations

FAMILIES: dict[str, tuple[tuple[str, str], ...]] = {
    "password_reset": (
        (
            "[password|pass word] reset [link|mail] [missing|not arriving]; cannot reset [my |the |]password; forgot [my |]password",
            "I [asked for|requested|ordered] a [new password|password reset] and the [link|reset mail|e-mail] [never came|does not arrive|is missing]; "
            "The reset link [in the mail|you sent|] says it has [expired|run out|timed out]; I [forgot|cannot remember|have lost] my password [again|since the holidays|]; "
            "The [spam|junk] folder is [empty|checked] too, no reset [mail|message|link]",
        ),
        (
            "[cannot|can not] [sign in|log in|get in]; login [refused|rejected]; [sign in|login] [fails|does not work]",
            "[Signing in|Logging in|The login] [fails|is refused|is rejected] with [wrong credentials|invalid user or secret|unknown user]; "
            "It [keeps saying|tells me|insists] that my credentials are [wrong|invalid|not recognised]; "
            "I [typed|entered] [everything|it] [carefully|correctly|three times] and still [cannot get in|stay outside|am turned away]; "
            "The sign in [form|screen|box] [shakes|clears|turns red] and [asks again|nothing more]",
        ),
        (
            "account [locked|blocked|frozen]; [locked|shut] out; please unlock [my user|me]",
            "My [account|user] is [locked|blocked|frozen] after [too many|five|several] attempts; "
            "Please [unlock|release|open] [my user|the account|me] [again|so I can work|quickly]; "
            "It says [locked out|blocked for security|try again in one day] [since this morning|since yesterday|]; "
            "[An administrator|Someone] has to [lift|remove] the [lock|block], [it says|so the notice]",
        ),
    ),
    "second_factor": (
        (
            "[verification|security] code [missing|late]; no [text message|sms] with the code; code not [accepted|valid]",
            "The [verification|six digit|security] code [does not arrive|comes too late|never comes] [by text message|by sms|]; "
            "When the [code|sms] [finally comes|arrives] it is [no longer valid|already void|too old]; "
            "I [get|receive] [two|three|several] codes and [none|not one] is [accepted|taken]; "
            "The [sms|text message] with the digits [goes to|is sent to] [an old|a wrong|my former] number",
        ),
        (
            "new [phone|handset], authenticator [lost|gone]; move authenticator to new [device|handset]",
            "I have a [new phone|new handset|replacement device] and the authenticator [is gone|did not move|lost all entries]; "
            "How do I [pair|move|register] the authenticator [with|on] the [new|other] [device|handset]; "
            "The QR [picture|square] for the authenticator [cannot be scanned|is not shown|is refused]; "
            "My old handset was [stolen|broken|sent in] and with it the [authenticator|token generator]",
        ),
        (
            "two step [check|login] [loops|refuses]; recovery codes [lost|used up]; [second factor|two step] problem",
            "The two step [check|verification] [sends me back|loops|starts over] [each time|again and again|]; "
            "My [recovery|backup] codes are [used up|lost|on the old computer]; "
            "The second factor [is asked|pops up] [every ten minutes|at each click|all day] although I [trust this browser|ticked remember]; "
            "Can you [switch off|suspend|reset] the two step check [for me|for today|once]",
        ),
    ),
    "permissions": (
        (
            "no [access|rights] to [folder|project]; access [denied|refused]; missing [rights|permission]",
            "I get access [denied|refused] when I open the [project|folder|shared space]; "
            "My [colleague|manager] can [see|open] the [folder|project] and I [cannot|have no rights]; "
            "Please [grant|give] me [read|write|full] [rights|access] [to the project|for the folder|]; "
            "The [permission|right] to [edit|write] [is missing|was taken away|has vanished] [since the change of teams|]",
        ),
        (
            "[add|invite] a new [member|colleague]; new [employee|starter] needs a [seat|user]; role of a [member|user]",
            "We have a new [employee|starter|trainee] who needs a [seat|user|place] [from Monday|soon|]; "
            "The invitation for our new [member|employee] [bounced|expired|cannot be sent]; "
            "Please [change|set] her role from [viewer|guest] to [editor|approver]; "
            "Our [seats|places] are [full|used up] although [two|three] people have left",
        ),
        (
            "[admin|owner] [left|gone]; who is our [admin|owner]; transfer of [ownership|admin role]",
            "Our [admin|owner] has left the [company|firm] and nobody can [approve|invite|manage users]; "
            "Please [transfer|hand over] the [ownership|admin role] to [me|my boss|our office]; "
            "The [approval|request] waits for [an owner|an admin] who [no longer works here|retired|is on leave]; "
            "The [admin|owner] console [is greyed out|does not open|stays grey] for [me|us|everyone]",
        ),
    ),
    "invoice_amount": (
        (
            "invoice [too high|wrong]; wrong amount on the invoice; question on [my|the last] invoice",
            "The invoice [for last month|of this month|] shows [an amount|a total] that is [too high|wrong|not what we agreed]; "
            "The amount on the invoice [does not match|differs from] [our contract|the order|the quote]; "
            "Please [check|correct] the invoice [and send a new one|for last month|]; "
            "[Tax|VAT] on the invoice is [counted twice|wrong|missing]",
        ),
        (
            "charged twice; card charged [too much|twice]; double [charge|payment]",
            "My [card|bank account] was charged [twice|two times] for [the same|last] month; "
            "There are two [payments|charges] on [my card|the statement] for [one invoice|the same month]; "
            "You charged more [to my card|] than [the invoice says|we agreed|was due]; "
            "The [payment|charge] on [my card|the statement] is [higher|more] than [agreed|the invoice]",
        ),
        (
            "[plan|subscription] [dearer|costs more] than agreed; discount [missing|not applied]; [wrong|higher] price per seat",
            "Our [subscription|plan] suddenly [costs more|went up] [this month|]; "
            "The discount we were promised [in the contract|by sales|] is [missing|not applied]; "
            "We are [billed|charged] for more seats than we [have|use|agreed]; "
            "The price of the seats [on the invoice|now] [does not match|differs from] the contract",
        ),
    ),
    "refund_missing": (
        (
            "refund [missing|not received]; where is [my|our] refund; refund [promised|waiting]",
            "The refund for [last month|the wrong invoice] [has not arrived|is missing|did not come]; "
            "We were promised a refund [of the amount|for last month|] and [got nothing|are waiting]; "
            "The refund [does not match|differs from] the amount we agreed; "
            "Please [check|confirm] when the refund [is sent|arrives|will be paid back]",
        ),
        (
            "refund [not on card|not on statement]; refund of double [charge|payment]; card not refunded",
            "My [card|bank account] was charged twice and [never refunded|the refund is missing]; "
            "Of the two [payments|charges] [on the statement|] only one was refunded; "
            "No refund [shows|arrived] on [the statement|my card|my bank account] [so far|]; "
            "I want [a|the] refund [of|for] the double [payment|charge] [paid back to my card|on my statement|]",
        ),
        (
            "credit note [missing|wrong]; refund for [seats|the discount] missing; refund of [seats|discount] too low",
            "The credit note [for the refund|] [is missing|was never sent|does not match the contract]; "
            "We [returned|gave back] seats of our [plan|subscription] and the refund is [missing|too low]; "
            "The refund for the discount we were promised [is missing|has not arrived]; "
            "The credit note shows [a wrong|another] refund than [agreed|the price in the contract]",
        ),
    ),
    "cancel_contract": (
        (
            "[cancel|end] [our|my] [subscription|contract]; cancellation [not confirmed|ignored]; notice of [termination|cancellation]",
            "We want to [cancel|end|terminate] our [contract|subscription] [at the end of the year|by the next date|]; "
            "I sent the [cancellation|notice] [weeks ago|in writing] and got no [confirmation|receipt]; "
            "Please confirm the [termination|cancellation] [in writing|by mail|]; "
            "What is the [notice period|last day] of our [contract|agreement]",
        ),
        (
            "it renewed [by itself|without asking]; automatic renewal; [renewal|prolongation] not wanted",
            "It [renewed|was prolonged] [by itself|automatically|without asking] for [another year|twelve months]; "
            "Nobody [told|warned] us about the [automatic renewal|prolongation]; "
            "Please [undo|reverse|stop] the renewal [at once|before it starts|]; "
            "The switch for automatic renewal [cannot be turned off|jumps back|is hidden]",
        ),
        (
            "[close|delete] [my profile|everything]; we [leave|switch] to [another tool|a competitor]; [deletion|closing] request",
            "Please [close|delete] [my profile|our workspace|everything] [and all data|for good|]; "
            "We [are leaving|move away] because [another tool|a competitor] [suits us better|does more|is simpler]; "
            "The company [closes down|was sold|merges] and we [no longer need|stop using] the [product|service]; "
            "Under data protection law I [ask for|demand] [deletion|erasure] of [my profile|what you hold]",
        ),
    ),
    "report_wrong": (
        (
            "[figures|numbers] in report [wrong|do not add up]; [totals|sums] differ; report shows wrong [totals|figures]",
            "The [figures|numbers] in the [monthly|weekly|sales] report [are wrong|do not add up|make no sense]; "
            "The totals [differ|deviate] from what we [counted|know|keep by hand]; "
            "[One|The last] row is [counted twice|left out] in the totals; "
            "The [sum|total] at the bottom is [not the sum|lower than the parts|negative]",
        ),
        (
            "dashboard [empty|blank]; chart shows no [values|lines]; tiles [grey|blank] on dashboard",
            "The dashboard [is empty|stays blank|shows nothing] [since the weekend|today|]; "
            "All [tiles|charts] are [grey|blank] although [values exist|there was business]; "
            "The chart [stops|breaks off] [last Tuesday|in the middle|at the first of the month]; "
            "[Two|Some] tiles on the dashboard [spin|hang] and then [go grey|disappear]",
        ),
        (
            "filter [ignored|does nothing]; wrong [time zone|period] in overview; [drill down|breakdown] by region [off|odd]",
            "The [filter|selection] for [region|period] is [ignored|lost|not kept] [when I drill down|]; "
            "The overview uses the wrong [time zone|calendar|week start]; "
            "[Yesterday|Midnight] is [booked|shown] on the [wrong|next] day in the breakdown; "
            "Breaking down by [region|branch] [mixes|swaps] [north and south|two branches]",
        ),
    ),
    "export_fails": (
        (
            "export to [Excel|spreadsheet] fails; cannot export; export [stops|aborts]",
            "The export to [Excel|a spreadsheet] [stops|aborts|ends with an error] [at half|after a minute|]; "
            "I [start|press] export and [nothing happens|it breaks off|get an error]; "
            "Export of [large|long] lists [never ends|breaks off|fails] ; "
            "The export [worked|was fine] until [last week|the update]",
        ),
        (
            "downloaded file [empty|broken]; CSV [garbled|broken]; file [cannot be opened|damaged]",
            "The file I [download|downloaded] [is empty|has zero bytes|cannot be opened]; "
            "[Umlauts|Accents|Special letters] in the CSV are [garbled|broken|question marks]; "
            "The columns of the CSV are [shifted|mixed up|in one cell]; "
            "My computer says that the file is [damaged|of unknown type|unsafe]",
        ),
        (
            "upload of [records|customers] [rejected|fails]; import [template|wizard] refuses rows; bulk [import|upload]",
            "The import wizard [rejects|refuses] [half of|all|twelve] rows [as duplicates|without a reason|]; "
            "The upload of our [customer|stock|price] list [fails|hangs] at [the mapping|step three|ninety percent]; "
            "Which [template|layout] does the bulk upload [expect|need|accept]; "
            "After the import [half of the|many] records are [missing|doubled|without dates]",
        ),
    ),
    "sync_stuck": (
        (
            "sync [stuck|hangs]; synchronisation [stopped|pending]; sync [pending|waiting] for hours",
            "The sync [is stuck|hangs|has stopped] [since the night|at two percent|for hours]; "
            "Synchronisation [shows|stays] pending and [never finishes|does not move]; "
            "I [stopped|restarted] the sync [twice|three times] and it [hangs again|stays stuck]; "
            "The [last|latest] sync is [two days|a week] old",
        ),
        (
            "connector [disconnected|lost link]; connector to [CRM|shop] broken; reconnect [CRM|shop system]",
            "The connector to [our CRM|the shop system|the warehouse] [is disconnected|lost its link|dropped]; "
            "[Reconnecting|Authorising again] the connector [brings|ends in] [a red cross|an unknown fault]; "
            "The CRM [says|reports] that the connector [was revoked|has no token|is not trusted]; "
            "We [moved|migrated] the shop system and the connector [points|still goes] to the old one",
        ),
        (
            "records [doubled|missing] between systems; contacts [not transferred|out of date]; orders do not [flow|appear] on the other side",
            "[Contacts|Orders] [changed|entered] in one system do not [appear|show up] on the other side; "
            "Orders [arrive|are transferred] [twice|in duplicate|without items] on the other side; "
            "The two systems [disagree|drifted apart] about [stock|addresses|contacts]; "
            "[Deleted|Old] contacts [come back|reappear] from the other side",
        ),
    ),
    "api_limits": (
        (
            "API [returns|gives] 429; rate limit [reached|too low]; too many requests",
            "The API [answers|returns] 429 too many requests [since Monday|all day|]; "
            "We [hit|reach] the rate limit [after a few calls|every hour|although we poll slowly]; "
            "Can you [raise|lift] our rate limit [for the migration|for a week|]; "
            "Which [header|field] tells how many requests are [left|allowed]",
        ),
        (
            "webhook not [delivered|fired]; webhook signature [invalid|mismatch]; endpoint gets no [calls|events]",
            "The webhook is [not delivered|not fired|sent twice] [for updates|for new orders|]; "
            "Our endpoint [gets|sees] [no events|empty payloads|old payloads]; "
            "The signature of the payload [does not match|cannot be verified]; "
            "Retries of the webhook [stop|come] after [one|two] attempts",
        ),
        (
            "[developer|access] key [invalid|expired]; 401 with valid [key|token]; documentation of [endpoint|fields] unclear",
            "Our developer key [is refused|gives 401|expired] [in production|since the rotation|]; "
            "The [documentation|reference] [does not mention|is unclear about] [paging|the new fields|this endpoint]; "
            "The sandbox [behaves|answers] otherwise than production; "
            "A script [that ran for years|of ours] [gets|receives] 401 [with a fresh token|]",
        ),
    ),
    "app_crash": (
        (
            "app [crashes|closes] on start; app [crash|closes itself]; mobile app [crashing|quits]",
            "The app [crashes|closes|quits] [right after start|when I open it|every time]; "
            "After the update the app [does not start|crashes at once|shows a white screen]; "
            "I [deleted|reinstalled] the app and it [still crashes|closes again]; "
            "The app [asks to send|sends] a crash report [each time|]",
        ),
        (
            "camera [black|does not scan]; scanner [reads nothing|blurred]; barcode [scan|reading] [fails|slow]",
            "The camera stays [black|dark] when I want to [scan|photograph] [a barcode|a receipt|the label]; "
            "The scanner [reads|recognises] [nothing|wrong digits|only every third label]; "
            "[Photos|Pictures] of receipts are [blurred|upside down|lost] after taking them; "
            "Barcode reading [takes|needs] [ten seconds|many tries] [in the warehouse|]",
        ),
        (
            "offline [entries|forms] lost; tablet [loses|forgets] [forms|entries]; drafts [gone|vanished] without network",
            "[Entries|Forms] filled in [offline|without network|in the basement] are [lost|gone] later; "
            "The tablet [forgets|loses] drafts when [the network comes back|the battery is low]; "
            "My field [visits|forms] of [yesterday|the whole day] [vanished|are gone] from the tablet; "
            "Offline mode [does not switch on|ends by itself] [on the train|at the customer's site|]",
        ),
    ),
    "slow_pages": (
        (
            "everything [slow|very slow]; pages take [minutes|forever]; extremely slow [today|again]",
            "Everything is [slow|terribly slow|like treacle] [today|since noon|]; "
            "[Pages|Each click] [take|takes] [a minute|forever|thirty seconds] to [load|open]; "
            "[Searching|Saving] is [so slow|slow enough] that [we make coffee|customers wait|the queue grows]; "
            "It is slow [for all of us|in the whole office|on every computer]",
        ),
        (
            "service [down|unavailable]; [503|gateway] error; outage [again|right now]",
            "The service is [down|unavailable|not reachable] [for us|again|right now]; "
            "We [get|see] [error 503|bad gateway|a maintenance notice] [on every page|]; "
            "Is there an outage [right now|in our region|]; "
            "Your status page says [all green|no outage] but [nothing is reachable|it is down]",
        ),
        (
            "[session|connection] [times out|drops]; timeout when saving; browser [freezes|hangs]",
            "The connection [drops|times out] [every few minutes|in the middle of a form|]; "
            "[Saving|Submitting] ends in a timeout and [my entries are lost|I start over]; "
            "The browser [freezes|hangs] [on the list|when scrolling|] until the tab is [killed|closed]; "
            "The wheel [spins|turns] until it [times out|gives up]",
        ),
    ),
    "notifications": (
        (
            "too many [notifications|alerts]; stop the [notification mails|alerts]; flood of [alerts|notifications]",
            "I get [far too many|hundreds of|endless] notifications [a day|at night|]; "
            "How do I [turn off|mute|reduce] the [alerts|notifications] [for my team|]; "
            "I [turned off|muted] the alerts and they [keep coming|come back]; "
            "[Night|Weekend] alerts [wake|disturb] [me|the team]",
        ),
        (
            "no reminder [came|sent]; reminder for [task|deadline] missing; due [date|task] not announced",
            "The reminder for the [task|deadline|due date] [did not come|came a day late|was missing]; "
            "Nobody was [reminded|told] that the task was due; "
            "Reminders [come|go] to [the wrong person|people who left]; "
            "We [missed|overran] a deadline because no reminder [was sent|came]",
        ),
        (
            "[weekly|daily] digest [missing|empty]; digest [lists old items|in wrong language]; newsletter [unsubscribe|again]",
            "The [weekly|daily] digest [is empty|lists old items|comes in the wrong language]; "
            "[Unsubscribing|Signing off] from the newsletter [has no effect|leads nowhere|brings an error]; "
            "The digest [lands|ends up] in [quarantine|the filter] of our mail server; "
            "Can the digest [list|hold] only [my own|open] items",
        ),
    ),
    "assistant_errors": (
        (
            "assistant [invents|makes up] answers; assistant gives wrong [answer|summary]; assistant [wrong|nonsense]",
            "The new assistant [invents|makes up] [things|customers|facts that do not exist]; "
            "The [summary|answer] of the assistant is [wrong|nonsense|about another client]; "
            "I asked the assistant [a simple question|the same thing twice] and [got two answers|it talked nonsense]; "
            "The assistant [quotes|cites] [pages|clauses] that [do not exist|nobody wrote]",
        ),
        (
            "draft [replies|texts] [odd|rude]; suggested [reply|text] [in wrong language|rude]; smart [drafts|suggestions] unusable",
            "The suggested [reply|draft] was [rude|in the wrong language|sent without asking]; "
            "Smart suggestions [cover|overwrite] what I [type|wrote]; "
            "[Drafts|Suggestions] [repeat|copy] [the question|the same phrase] over and over; "
            "How do we [switch off|disable] the smart suggestions [for all|for juniors|]",
        ),
        (
            "AI [quota|credits] used up; prompts [refused|blocked]; AI button [greyed|missing]",
            "Our AI credits are [used up|gone] after [two|three] days; "
            "[Every|Each] prompt is [refused|blocked] as [unsafe|against the rules]; "
            "The AI button [disappeared|is missing] [after the release|for half of us|]; "
            "Who [may read|stores] the prompts, [our lawyer|the works council] asks",
        ),
    ),
}
