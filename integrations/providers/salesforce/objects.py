"""The objects that we know by name, as data: which may be written, and by what a record of ours is found again."""

from collections.abc import Mapping

from integrations.providers.salesforce import task

PEOPLE = ("Lead", "Contact")
OBJECT_TYPES = (*PEOPLE, "Account", "Opportunity", task.OBJECT, "Event", "User", "CampaignMember")
SESSION = "Dialer_Session__c"
VOICEMAIL_DROP = "Dialer_Voicemail_Drop__c"
OWN_OBJECTS = (SESSION, VOICEMAIL_DROP)
"""Made at onboarding, where the account allows it."""
WRITABLE = frozenset({*OBJECT_TYPES, *OWN_OBJECTS} - {"User"})

CONTACT_KEY = "Dialer_Contact_Id__c"
OWN_KEY = "Dialer_Key__c"
# A unique external id of ours: writing twice by it is writing once.
KEY_FIELDS: Mapping[str, str] = {
    "Lead": CONTACT_KEY,
    "Contact": CONTACT_KEY,
    task.OBJECT: task.KEY_FIELD,
    "Event": task.KEY_FIELD,
    SESSION: OWN_KEY,
    VOICEMAIL_DROP: OWN_KEY,
}
# Where there is no such field: what two records of the same thing have in common. The first set whose fields all have a value.
ALIKE: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "Lead": (("Email", "LastName"), ("Phone", "LastName"), ("MobilePhone", "LastName")),
    "Contact": (("Email", "LastName"), ("Phone", "LastName"), ("MobilePhone", "LastName")),
    "Account": (("Name",),),
    "Opportunity": (("Name", "AccountId"),),
    "CampaignMember": (("CampaignId", "LeadId"), ("CampaignId", "ContactId")),
    "Event": (("StartDateTime", "Subject", "WhoId"),),
}
# Look up even a first try: without it, everybody who is known already would be made a second time.
ALWAYS_LOOKED_UP = frozenset(PEOPLE)
