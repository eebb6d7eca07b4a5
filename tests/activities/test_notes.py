import pytest

from activities.dispositions import DispositionTable
from activities.notes import call_notes, clock


def test_the_notes_are_in_sections() -> None:
    text = call_notes(
        notes="Prefers e-mail.",
        summary="Spoke with John about billing.",
        key_points=["Contract ends in Q2", "Budget confirmed"],
        next_steps=["Send case study"],
        duration_seconds=342,
        metrics={"ai_score": 87, "sentiment": "positive", "talk_ratio": 0.38},
    )
    assert text == (
        "--- Call Summary (AI Generated) ---\nSpoke with John about billing.\n\n"
        "--- Agent Notes ---\nPrefers e-mail.\n\n"
        "--- Key Points ---\n- Contract ends in Q2\n- Budget confirmed\n\n"
        "--- Next Steps ---\n- [ ] Send case study\n\n"
        "--- Call Metrics ---\nDuration: 5:42 | AI Score: 87/100 | Sentiment: Positive\nTalk Ratio: Agent 38% / Prospect 62%"
    )


def test_empty_sections_are_left_out() -> None:
    assert call_notes(duration_seconds=5) == "--- Call Metrics ---\nDuration: 0:05"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (59, "0:59"), (342, "5:42"), (3723, "1:02:03"), (-4, "0:00")]
)
def test_durations_read_like_a_clock(seconds: int, text: str) -> None:
    assert clock(seconds) == text


def test_a_tenants_disposition_overrides_the_default_and_case_does_not_matter() -> None:
    table = DispositionTable({"Connected": {"a": 1}, "Busy": {"b": 2}}, {"connected": {"a": 9}})
    assert table.values_of(" CONNECTED ") == {"a": 9}
    assert table.values_of("Busy") == {"b": 2}
    assert table.values_of("Unheard of") == {}
