import pytest
from cryptography.fernet import Fernet, MultiFernet
from django.db import connection as database
from encrypted_model_fields import fields as library

from integrations import tenancy
from integrations.fields import WrongKey
from integrations.models import ApiKey, CrmConnection, Tenant


def raw(column: str) -> str:
    with database.cursor() as cursor:
        cursor.execute(f"SELECT {column} FROM crm_credentials")
        return str(cursor.fetchone()[0])


def test_tokens_are_unreadable_in_the_database(connection: CrmConnection) -> None:
    with tenancy.everyone():
        CrmConnection.objects.filter(pk=connection.pk).update(secrets={"private_key": "hush"})
        assert CrmConnection.objects.get().secrets == {"private_key": "hush"}
    assert "access-0" not in raw("access_token")
    assert "hush" not in raw("secrets")


def test_a_wrong_key_is_an_error_and_never_hands_out_the_ciphertext(
    connection: CrmConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "CRYPTER", MultiFernet([Fernet(Fernet.generate_key())]))
    with tenancy.everyone(), pytest.raises(WrongKey, match="FIELD_ENCRYPTION_KEYS"):
        CrmConnection.objects.get()


def test_bulk_update_stores_the_value_and_not_an_expression(connection: CrmConnection) -> None:
    with tenancy.everyone():
        connection.access_token = "another"
        CrmConnection.objects.bulk_update([connection], ["access_token"])
        assert CrmConnection.objects.get().access_token == "another"


def test_an_api_key_is_kept_as_a_hash_only(tenant: Tenant) -> None:
    with tenancy.everyone():
        key, text = ApiKey.issue(tenant, "Dialer")
    secret = text.split("_", 2)[2]
    assert secret not in key.key_hash
    assert key.fits(secret)
    assert not key.fits(secret + "x")
