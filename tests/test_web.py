import json

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import OperationalError
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from config import readiness


def test_the_process_says_that_it_lives_without_asking_the_database() -> None:
    assert Client().get("/healthz").json() == {"status": "ok"}


def test_it_is_ready_when_the_database_answers(db: None) -> None:
    assert Client().get("/readyz").status_code == 200


def test_it_is_not_ready_without_a_database(monkeypatch: pytest.MonkeyPatch) -> None:
    def down() -> str:
        raise OperationalError

    monkeypatch.setattr(readiness, "_asked", down)
    answer = Client().get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["problem"] == "The database does not answer."


def test_machines_get_no_session_and_no_cookie(db: None) -> None:
    answer = Client().get("/api/v1/contacts/")
    assert not answer.cookies
    assert "Vary" not in answer or "Cookie" not in answer["Vary"]


def test_people_get_a_log_in_page(db: None) -> None:
    answer = Client().get("/", follow=True)
    assert answer.redirect_chain[-1][0].startswith("/admin/login/")
    assert answer.status_code == 200


def test_the_schema_describes_every_operation_with_its_errors(db: None) -> None:
    schema = Client().get("/api/schema/", headers={"Accept": "application/json"}).json()
    assert {"/api/v1/calls/", "/api/v1/calls/{call_id}/", "/api/v1/contacts/"} <= set(schema["paths"])
    for path in schema["paths"].values():
        for operation in path.values():
            assert {"401", "404", "429"} <= set(operation["responses"])
            assert operation["summary"]
    assert schema["components"]["securitySchemes"]["apiKey"]["scheme"] == "bearer"


def test_the_schema_is_valid(tmp_path: object) -> None:
    call_command("spectacular", "--validate", "--fail-on-warn", "--file", "/dev/null")


def test_the_documentation_page_loads_nothing_from_elsewhere(db: None) -> None:
    page = Client().get("/api/docs/").content.decode()
    assert "swagger" in page
    assert "https://" not in page.replace(json.dumps("https://"), "")


def test_unknown_addresses_are_not_found(db: None) -> None:
    for path in ("/api/v1/nothing/", "/api/v1/calls/no-uuid/", "/api/x"):
        answer = Client().get(path)
        assert (answer.status_code, answer["Content-Type"]) == (404, "application/problem+json")


def test_a_program_that_writes_to_a_wrong_address_is_told_so_and_not_of_cookies(db: None) -> None:
    programs = Client(enforce_csrf_checks=True)
    for path in ("/api/v1/calls", "/api/v1/nothing/", "/api/x"):
        answer = programs.post(path, {}, content_type="application/json")
        assert (answer.status_code, answer["Content-Type"]) == (404, "application/problem+json")
    assert programs.post("/healthz").status_code == 200
    assert programs.post("/people/password/", {"email": "x@example.com"}).status_code == 403


def test_logging_in_without_a_destination_leads_to_the_first_page(db: None) -> None:
    User.objects.create_superuser("boss", password="a-long-password")
    answer = Client().post("/admin/login/", {"username": "boss", "password": "a-long-password"}, follow=True)
    assert answer.redirect_chain[-1][0] == "/admin/"


def test_the_system_checks_need_no_database(db: None, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    """Otherwise nothing could be migrated on a fresh machine."""
    with django_assert_num_queries(0):
        call_command("check")
