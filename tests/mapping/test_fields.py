import pytest

from mapping.fields import DIALER_FIELDS, DIRECTIONS, DialerField, UnknownFieldError, dialer_field
from mapping.rules import check_rules
from mapping.validation import validate

ALL = [field for fields in DIALER_FIELDS.values() for field in fields.values()]


def test_a_contact_has_the_fields_the_api_shows() -> None:
    assert set(DIALER_FIELDS["contact"]) == {
        "first_name",
        "last_name",
        "email",
        "phone",
        "mobile_phone",
        "company",
        "title",
        "lead_status",
        "owner_email",
        "do_not_call",
        "last_called_at",
        "call_count",
        "ai_score",
        "last_disposition",
    }


def test_a_call_has_the_fields_the_api_takes() -> None:
    assert set(DIALER_FIELDS["call_activity"]) == {
        "external_id",
        "direction",
        "duration_seconds",
        "started_at",
        "disposition",
        "notes",
        "summary",
        "key_points",
        "next_steps",
        "recording_url",
        "agent_email",
        "ai_score",
        "sentiment",
        "talk_ratio",
    }


@pytest.mark.parametrize("field", ALL, ids=lambda field: field.key)
def test_what_the_dialer_computes_is_never_read_from_a_crm_by_default(field: DialerField) -> None:
    assert field.direction_default in DIRECTIONS
    assert not field.readonly or field.direction_default == "outbound"


@pytest.mark.parametrize("field", ALL, ids=lambda field: field.key)
def test_the_standard_rules_are_rules_a_tenant_could_have_written(field: DialerField) -> None:
    assert check_rules([rule.as_json() for rule in field.standard_rules]) == []


@pytest.mark.parametrize(
    ("entity", "key", "good", "bad"),
    [
        pytest.param("contact", "phone", "+14155551234", "4155551234", id="phone"),
        pytest.param("contact", "email", "ann@example.com", "ann at example.com", id="email"),
        pytest.param("contact", "first_name", "A" * 255, "A" * 256, id="length"),
        pytest.param("call_activity", "ai_score", 87, 101, id="score"),
        pytest.param("call_activity", "duration_seconds", 0, -1, id="duration"),
        pytest.param("call_activity", "direction", "inbound", "sideways", id="choice"),
        pytest.param("call_activity", "recording_url", "u" * 2048, "u" * 2049, id="url length"),
    ],
)
def test_standard_rules_accept_what_fits_and_refuse_what_does_not(
    entity: str, key: str, good: object, bad: object
) -> None:
    rules = {key: dialer_field(entity, key).standard_rules}
    assert validate({key: good}, rules) == []
    assert len(validate({key: bad}, rules)) == 1


def test_a_tenants_own_field_takes_any_value() -> None:
    field = dialer_field("contact", "custom.Größe 2")
    assert (field.label, field.kind, field.standard_rules) == ("Größe 2", "any", ())


@pytest.mark.parametrize(
    ("entity", "key", "sentence"),
    [
        pytest.param("contact", "fist_name", 'did you mean "first_name"?', id="typing error"),
        pytest.param("contact", "zzz", "choose one of first_name, last_name", id="nothing near"),
        pytest.param(
            "call_activity", "custom.x", 'The dialer has no call_activity field "custom.x"', id="custom on call"
        ),
        pytest.param("contact", "custom.", "cannot name an own field", id="custom without a name"),
        pytest.param("contact", "custom.a/b", "cannot name an own field", id="custom with a slash"),
        pytest.param("invoice", "x", 'no entity "invoice"; choose one of contact, call_activity', id="entity"),
    ],
)
def test_an_unknown_field_is_explained_in_a_sentence(entity: str, key: str, sentence: str) -> None:
    with pytest.raises(UnknownFieldError) as caught:
        dialer_field(entity, key)
    assert isinstance(caught.value, KeyError)
    assert sentence in str(caught.value)
    assert not str(caught.value).startswith("'")
