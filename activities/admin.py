"""Admin pages of calls, and the contact's page with its calls."""

from uuid import UUID

from django.contrib import admin
from django.utils.translation import gettext_lazy

from activities.admin_agents import AgentOverrideAdmin, CrmAgentAdmin
from activities.admin_call_panels import calls_panel, newest_calls
from activities.admin_calls import CallAdmin
from activities.admin_desk import last_calls
from activities.admin_dispositions import DispositionMapAdmin
from activities.admin_effects import DispositionEffectAdmin
from activities.admin_notes import NotesPages
from activities.admin_person import PersonPages
from activities.admin_recordings import RecordingPlayAdmin, RetentionRunAdmin
from activities.admin_settings import CallSettingsAdmin
from activities.admin_stages import CallStageAdmin
from activities.admin_webhooks import DialerEndpointAdmin, DialerMessageAdmin
from activities.agents import KIND as READ_AGENTS
from activities.booking import FOLLOW_UP, MEETING
from activities.models import (
    AgentOverride,
    Call,
    CallSettings,
    CallStage,
    CrmAgent,
    DialerEndpoint,
    DialerMessage,
    DispositionEffect,
    DispositionMap,
    RecordingPlay,
    RetentionRun,
)
from activities.searching import find_calls
from activities.states import states_from
from activities.summary_notes import NOTE
from activities.targets import KIND
from integrations.admin_base import Panel
from sync.admin.causes.places import PLACES
from sync.admin.contacts import ContactAdmin
from sync.admin.desk import CONTEXT
from sync.admin.jobs import JOB_TABLES, RECORD_MODELS
from sync.causes.words import KINDS, MAPPED_ELSEWHERE, OWNERS
from sync.job_words import KINDS as JOB_KINDS
from sync.models import Contact
from sync.presence import Facts
from sync.records_search import SEARCHES

RECORD_MODELS[Call._meta.db_table] = Call
CONTEXT.append(last_calls)
SEARCHES.append(find_calls)
admin.site.register(Call, CallAdmin)
admin.site.register(AgentOverride, AgentOverrideAdmin)
admin.site.register(CrmAgent, CrmAgentAdmin)
admin.site.register(DispositionMap, DispositionMapAdmin)
admin.site.register(DispositionEffect, DispositionEffectAdmin)
admin.site.register(RecordingPlay, RecordingPlayAdmin)
admin.site.register(RetentionRun, RetentionRunAdmin)
admin.site.register(CallStage, CallStageAdmin)
admin.site.register(DialerEndpoint, DialerEndpointAdmin)
admin.site.register(DialerMessage, DialerMessageAdmin)
JOB_TABLES.update(dict.fromkeys((KIND, MEETING, FOLLOW_UP, NOTE), Call._meta.db_table))
KINDS.update(
    {
        KIND: gettext_lazy("Calls can't be logged in %(crm)s"),
        MEETING: gettext_lazy("Meetings can't be booked in %(crm)s"),
        FOLLOW_UP: gettext_lazy("Follow-ups can't be made in %(crm)s"),
        NOTE: gettext_lazy("Summaries of calls can't be written in %(crm)s"),
        READ_AGENTS: gettext_lazy("The users of %(crm)s can't be read"),
    }
)
JOB_KINDS.update(
    {
        KIND: gettext_lazy("Logging a call"),
        MEETING: gettext_lazy("Booking a meeting"),
        FOLLOW_UP: gettext_lazy("Setting a follow-up"),
        NOTE: gettext_lazy("Writing the summary of a call"),
        READ_AGENTS: gettext_lazy("Reading the CRM's users"),
    }
)
DISPOSITIONS = "dispositions"
PLACES[DISPOSITIONS] = ("activities_dispositionmap_coverage", gettext_lazy("Open the dispositions"))
CHANGE_DISPOSITION = gettext_lazy(
    "Change under Dispositions what %(crm)s is told of such a call, or the field in %(crm)s."
)
MAPPED_ELSEWHERE.update(dict.fromkeys((KIND, MEETING, FOLLOW_UP), (DISPOSITIONS, CHANGE_DISPOSITION)))
PLACES[OWNERS] = ("activities_agentoverride_report", gettext_lazy("Open the agents without a user"))


@admin.register(CallSettings)
class CallSettingsWithNotes(NotesPages, CallSettingsAdmin):
    """The settings, with the page of the notes' template."""


@admin.register(Contact)
class ContactWithCalls(PersonPages, ContactAdmin):
    """The contact's page, to which this app adds the calls."""

    def other_rows(self, row: Contact) -> list[UUID]:
        row.newest_calls = list(newest_calls(row))  # type: ignore[attr-defined]
        return [call.pk for call in row.newest_calls]  # type: ignore[attr-defined]

    def sections(self, facts: Facts) -> list[Panel]:
        calls = facts.contact.newest_calls  # type: ignore[attr-defined]
        states = states_from([call.pk for call in calls], facts.others, facts.other_jobs)
        return [calls_panel(calls, states), *super().sections(facts)]
