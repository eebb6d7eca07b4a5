"""The tables of calls."""

from activities.models.agents import AgentOverride, CrmAgent
from activities.models.calls import Call, CallStage
from activities.models.dialer_webhooks import DialerEndpoint, DialerMessage
from activities.models.dispositions import DispositionEffect, DispositionMap
from activities.models.recordings import RecordingPlay
from activities.models.retention import RetentionRun
from activities.models.settings import CallSettings

__all__ = [
    "AgentOverride",
    "Call",
    "CallSettings",
    "CallStage",
    "CrmAgent",
    "DialerEndpoint",
    "DialerMessage",
    "DispositionEffect",
    "DispositionMap",
    "RecordingPlay",
    "RetentionRun",
]
