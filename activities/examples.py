"""Examples for the page of the interface. They are whole: a program may send them as they are."""

from typing import Any

from drf_spectacular.utils import OpenApiExample

from integrations.registry import PROVIDERS

CRM = next(iter(PROVIDERS))
CALL_ID = "5e0c6b0e-8f1e-4d6e-9d43-0d7a4a9f6c11"
CALL: dict[str, Any] = {
    "external_id": "dialer-20260121-0042",
    "phone": "+14155550142",
    "direction": "outbound",
    "duration_seconds": 342,
    "started_at": "2026-01-21T14:30:00Z",
    "disposition": "Connected",
    "notes": "Wants a demo for a team of five.",
    "key_points": ["Contract with the current vendor ends in Q2"],
    "next_steps": ["Send the migration case study"],
    "recording_url": "https://recordings.example.com/rec_abc123.mp3",
    "agent_email": "rep@example.com",
    "metadata": {"ai_score": 87, "sentiment": "positive", "talk_ratio": 0.38},
}
BOOKED: dict[str, Any] = {
    **CALL,
    "external_id": "dialer-20260121-0043",
    "from_number": "+14155550100",
    "disposition": "Meeting Booked",
    "meeting": {"starts_at": "2026-01-27T15:00:00Z", "duration_minutes": 30, "title": "Demo", "location": "Video call"},
    "follow_up": {"due_at": "2026-01-26T09:00:00Z", "title": "Send the agenda"},
}
INBOUND: dict[str, Any] = {
    "external_id": "dialer-20260121-0044",
    "phone": "+14155550177",
    "direction": "inbound",
    "duration_seconds": 61,
    "started_at": "2026-01-21T15:02:00Z",
}
LOGGED = {
    "provider": CRM,
    "status": "logged",
    "crm_record_id": "00T8c00000Abc",
    "url": "https://crm.example.com/00T8c00000Abc",
    "error": None,
    "attempts": 1,
}
CALL_STATE = {
    "id": CALL_ID,
    "external_id": CALL["external_id"],
    "contact_id": "0b8f7a44-6a0f-4b52-8f8d-58a3f0a1f0e2",
    "disposition": "Connected",
    "review": "",
    "syncs": [LOGGED],
}


def _sent(name: str, value: dict[str, Any]) -> OpenApiExample:
    return OpenApiExample(name, request_only=True, value=value)


def _answered(name: str, value: dict[str, Any], status: str = "200") -> OpenApiExample:
    return OpenApiExample(name, response_only=True, status_codes=[status], value=value)


POST = [
    _sent("A connected call", CALL),
    _sent("A call that booked a meeting", BOOKED),
    _sent("Somebody called in", INBOUND),
    _answered("Stored", {"id": CALL_ID, "external_id": CALL["external_id"]}, "201"),
    _answered("Posted before", {"id": CALL_ID, "external_id": CALL["external_id"]}),
]
BULK = [
    _sent("Two calls", {"calls": [CALL, INBOUND]}),
    _answered(
        "One new, one refused",
        {
            "results": [
                {"index": 0, "status": 201, "external_id": CALL["external_id"], "id": CALL_ID},
                {"index": 1, "status": 400, "errors": [{"field": "phone", "message": "This is not a phone number."}]},
            ]
        },
    ),
]
STAGE = [
    _sent("The disposition, after the call", {"disposition": "Voicemail", "said_at": "2026-01-21T14:36:10Z"}),
    _sent(
        "The summary, when it is ready",
        {"summary": "Asked for a demo.", "next_steps": ["Send the agenda"], "metadata": {"ai_score": 91}},
    ),
    _sent("The meeting was called off", {"meeting": None}),
    _answered(
        "Taken in part",
        {"id": CALL_ID, "external_id": CALL["external_id"], "changed": ["summary"], "ignored": ["disposition"]},
    ),
]
STATE = [_answered("Logged", CALL_STATE)]
FOUND = [_answered("Found", {"results": [CALL_STATE]})]
