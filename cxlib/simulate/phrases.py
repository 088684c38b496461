"""The phrases all topics share, and the titles of the help articles."""

from __future__ import annotations

ARTICLE_TITLES: dict[str, tuple[str, str, str]] = {
    "password_reset": ("Reset your password", "When the reset mail does not arrive", "Unlock a locked account"),
    "second_factor": ("Set up two step verification", "Move the authenticator to a new phone", "Use recovery codes"),
    "permissions": ("Roles and what they may do", "Invite a colleague", "Hand over ownership"),
    "invoice_amount": ("Read your invoice", "Why a card is charged twice", "How discounts are applied"),
    "refund_missing": ("How refunds are paid", "Credit notes explained", "When a payment is returned"),
    "cancel_contract": ("Cancel a subscription", "Automatic renewal", "Close a workspace"),
    "report_wrong": ("How totals are counted", "When a dashboard stays empty", "Filters and time zones"),
    "export_fails": ("Export to a spreadsheet", "Special letters in CSV files", "Bulk import step by step"),
    "sync_stuck": ("Restart a sync", "Reconnect a connector", "Duplicates between systems"),
    "api_limits": ("Rate limits of the API", "Verify a webhook", "Rotate a developer key"),
    "app_crash": ("When the app closes by itself", "Scan barcodes", "Work offline"),
    "slow_pages": ("Check the service status", "When pages load slowly", "Browser settings that help"),
    "notifications": ("Choose your notifications", "Reminders for tasks", "The weekly digest"),
    "assistant_errors": ("What the assistant can do", "Smart suggestions", "AI credits"),
}

GREETINGS = (
    "Hello,",
    "Hi,",
    "Hi team,",
    "Dear support,",
    "Good morning,",
    "Good afternoon,",
    "Hello support team,",
    "Dear all,",
    "Hey,",
    "",
    "",
    "",
)
OPENINGS = (
    "I have a problem with {app}.",
    "We use {app} every day.",
    "I need help with {app} please.",
    "This is about {app}.",
    "I hope you can help.",
    "Sorry to bother you.",
    "I could not find an answer in the help pages.",
    "The chat told me to open a ticket.",
    "I am writing for our whole office.",
    "My colleague said you could help.",
    "It is the second time this month.",
    "I have been a customer for years.",
)
CONTEXT = (
    "I already tried another browser and another computer.",
    "I restarted everything and cleared the cache.",
    "It worked fine until last week.",
    "Nothing was changed on our side.",
    "My colleagues see the same.",
    "Only I seem to have this.",
    "I attach a screenshot of the page.",
    "The message on the screen did not help.",
    "I followed the steps in the help article.",
    "I checked the settings and found nothing.",
    "We noticed it this morning when we opened the account.",
    "It happens on the web page and in the app.",
    "An error number was shown but I did not write it down.",
    "The system said to contact support.",
    "We have a meeting with a customer and need the data.",
    "The same happened in spring and was solved then.",
)
URGENT = (
    "This is urgent, please call me.",
    "We cannot work like this.",
    "Please answer today.",
    "Our month end depends on it.",
    "There is no hurry.",
    "Whenever you have time.",
    "I am quite unhappy with this.",
    "It costs us hours every day.",
)
ASIDES = (
    "By the way, the new design looks nice.",
    "I will be on holiday from Friday.",
    "We are moving offices next month.",
    "Also, the coffee machine is broken, but that is not for you.",
    "Last time your colleague was very helpful.",
    "I prefer an answer by mail.",
    "Our team has grown a lot this year.",
    "Please excuse my English.",
    "I am only in the office on weekdays.",
    "You will hear from my boss too.",
)
CLOSINGS = (
    "Thanks",
    "Thank you",
    "Best regards",
    "Kind regards",
    "Many thanks in advance",
    "Regards",
    "Cheers",
    "With best wishes",
    "",
    "",
)
# What comes before a personal detail, by kind.
DETAILS = {
    "email": ("You can reach me at {}.", "My address is {}.", "Please write to {}.", "The account is under {}."),
    "phone": ("Call me on {}.", "My number is {}.", "You can ring {} until five.", "Phone: {}"),
    "card": ("The card is {}.", "I paid with card {}.", "Card number {} was used."),
    "iban": ("Our IBAN is {}.", "Please use {} as the bank account.", "It was debited from {}."),
    "ip": ("We come from {}.", "The log shows {}.", "Our office address is {}."),
    "name": ("This is {} writing.", "My name is {}.", "{} here."),
}
