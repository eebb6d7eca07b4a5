"""The people of a tenant: invited, with a role, suspended and removed; and never more than somebody may give."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.test import Client
from django.utils import timezone

from integrations import people, tenancy
from integrations.access import SUPPORT, TENANT_ADMIN, VIEWER
from integrations.models import ApiKey, AuditEntry, Invitation, Membership, Role, Tenant
from sync.models import Contact
from tests import factories
from tests.admin import pages
from tests.admin.conftest import SignIn

INVITE = "/admin/integrations/invitation/add/"
PASSWORD = {"new_password1": "correct horse battery", "new_password2": "correct horse battery"}


@pytest.fixture
def boss(tenant: Tenant) -> User:
    return factories.tenant_admin(tenant)


@pytest.fixture
def client_of_boss(boss: User, sign_in: SignIn) -> Client:
    return sign_in(boss)


def membership(of: User, tenant: Tenant) -> Membership:
    with tenancy.everyone():
        found: Membership = Membership.objects.select_related("tenant", "user").get(user=of, tenant=tenant)
    return found


def press(client: Client, row: Any, name: str) -> Any:
    """The address that the button on the row's page leads to, pressed and said yes to."""
    shown = pages.html(client, pages.page(type(row), "change", row.pk))
    address = re.search(rf'href="([^"]*{row.pk}/{name}[^"]*)"', shown)
    assert address, f"no button {name}"
    assert client.get(address[1]).status_code == 200, "a button asks before it acts"
    return client.post(address[1], follow=True)


def invited(client: Client, email: str = "new@acme.example", role: str = "viewer", **more: str) -> str:
    """Invites somebody and returns the path of the link in the e-mail."""
    answer = client.post(INVITE, {"email": email, "role": role, **more}, follow=True)
    assert answer.status_code == 200
    found = re.search(r"https?://[^/]+(/people/join/\S+)", str(mail.outbox[-1].body))
    assert found, "the e-mail has a link"
    return found[1]


# --- joining --------------------------------------------------------------------------------------------------------


def test_the_invited_choose_a_password_and_see_the_tenant(client_of_boss: Client, tenant: Tenant) -> None:
    contact = factories.contact(tenant)
    link = invited(client_of_boss)
    assert mail.outbox[-1].to == ["new@acme.example"]
    newcomer = Client()
    assert "Choose a password" in pages.html(newcomer, link)
    assert newcomer.post(link, PASSWORD)["Location"] == "/admin/"
    assert contact.last_name in pages.html(newcomer, pages.page(Contact, "changelist"))
    made = User.objects.get(username="new@acme.example")
    assert [group.name for group in made.groups.all()] == [VIEWER]
    assert membership(made, tenant).role == Role.VIEWER


def test_the_link_is_shown_to_the_inviter_once(client_of_boss: Client) -> None:
    answer = client_of_boss.post(INVITE, {"email": "new@acme.example", "role": "viewer"}, follow=True)
    assert "/people/join/" in answer.content.decode()
    assert "/people/join/" not in client_of_boss.get(answer.redirect_chain[-1][0]).content.decode()


def test_without_mail_the_link_is_still_there(client_of_boss: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise ConnectionRefusedError

    monkeypatch.setattr("integrations.people.send_mail", refuse)
    shown = client_of_boss.post(INVITE, {"email": "new@acme.example", "role": "viewer"}, follow=True).content.decode()
    assert "No e-mail could be sent" in shown
    assert "/people/join/" in shown


def test_djangos_rules_for_passwords_hold(client_of_boss: Client) -> None:
    link = invited(client_of_boss)
    answer = Client().post(link, {"new_password1": "12345", "new_password2": "12345"})
    assert "too short" in answer.content.decode()
    assert not User.objects.filter(username="new@acme.example").exists()


def test_a_link_works_once(client_of_boss: Client) -> None:
    link = invited(client_of_boss)
    Client().post(link, PASSWORD)
    again = Client().get(link)
    assert again.status_code == 410
    assert "over" in again.content.decode()


@pytest.mark.parametrize("ending", ["expired", "withdrawn", "sent again", "forged", "tenant off"])
def test_a_link_that_is_over_lets_nobody_in(ending: str, client_of_boss: Client, tenant: Tenant) -> None:
    link = invited(client_of_boss)
    with tenancy.everyone():
        row = Invitation.objects.get()
        if ending == "expired":
            Invitation.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
        elif ending == "withdrawn":
            press(client_of_boss, row, "withdraw")
        elif ending == "sent again":
            press(client_of_boss, row, "send_again")
        elif ending == "tenant off":
            Tenant.objects.update(is_active=False)
    path = link[:-3] + "xx/" if ending == "forged" else link
    assert Client().get(path).status_code == 410
    assert Client().post(path, PASSWORD).status_code == 410
    assert not User.objects.filter(username="new@acme.example").exists()


def test_an_invitation_sent_again_brings_a_link_that_works(client_of_boss: Client) -> None:
    invited(client_of_boss)
    with tenancy.everyone():
        press(client_of_boss, Invitation.objects.get(), "send_again")
    found = re.search(r"(/people/join/\S+)", str(mail.outbox[-1].body))
    assert found
    assert Client().post(found[1], PASSWORD)["Location"] == "/admin/"


def test_somebody_with_an_account_signs_in_to_join_another_tenant(
    client_of_boss: Client, tenant: Tenant, stranger: Tenant, sign_in: SignIn
) -> None:
    known = factories.tenant_admin(stranger)
    link = invited(client_of_boss, known.email, "viewer")
    assert Client().get(link)["Location"].startswith("/admin/login/?next=/people/join/")
    assert Client().post(link, PASSWORD).status_code == 302, "a link alone never changes a password"
    client = sign_in(known)
    assert client.post(link)["Location"] == "/admin/"
    assert membership(known, tenant).role == Role.VIEWER
    assert membership(known, stranger).role == Role.ADMIN


def test_an_invitation_cannot_be_taken_up_by_somebody_else(client_of_boss: Client, boss: User, tenant: Tenant) -> None:
    other = factories.user("other", tenants=(tenant,))
    link = invited(client_of_boss, other.email)
    assert "somebody else" in pages.html(client_of_boss, link)
    client_of_boss.post(link)
    with tenancy.everyone():
        assert Invitation.objects.get().accepted_at is None


# --- roles ----------------------------------------------------------------------------------------------------------


def test_a_viewer_sees_everything_and_changes_nothing(tenant: Tenant, sign_in: SignIn) -> None:
    contact, client = factories.contact(tenant), sign_in(factories.viewer(tenant))
    address = pages.page(Contact, "change", contact.pk)
    shown = pages.html(client, address)
    assert contact.last_name in shown
    assert 'name="_save"' not in shown
    assert client.post(address, {"last_name": "Changed"}).status_code == 403
    assert client.post(INVITE, {"email": "x@y.example", "role": "admin"}).status_code == 403
    assert client.get(pages.page(ApiKey, "changelist")).status_code == 403


def test_a_viewer_here_and_admin_there_changes_only_there(tenant: Tenant, stranger: Tenant, sign_in: SignIn) -> None:
    person = factories.tenant_admin(tenant, stranger)
    with tenancy.everyone():
        Membership.objects.filter(user=person, tenant=stranger).update(role=Role.VIEWER)
        keys = {one.slug: factories.api_key(one) for one in (tenant, stranger)}
    client = sign_in(person)
    for slug, expected in (("acme", 200), ("stranger", 404)):
        page = pages.page(ApiKey, "change", keys[slug].pk)
        assert ('name="_save"' in pages.html(client, page)) is (slug == "acme"), "no Save where one only looks"
        assert client.post(page, {"name": "renamed"}, follow=True).status_code == expected
    refused = client.post(INVITE, {"email": "x@y.example", "role": "admin", "tenant": str(stranger.pk)})
    assert "not one of the available choices" in refused.content.decode()
    with tenancy.everyone():
        assert {key.name for key in ApiKey.objects.filter(tenant=stranger)} == {keys["stranger"].name}


def test_a_role_is_changed_and_takes_effect_at_once(client_of_boss: Client, tenant: Tenant, sign_in: SignIn) -> None:
    other = factories.viewer(tenant)
    client = sign_in(other)
    assert client.get(INVITE).status_code == 403
    press(client_of_boss, membership(other, tenant), "change_role")
    assert membership(other, tenant).role == Role.ADMIN
    assert client.get(INVITE).status_code == 200
    press(client_of_boss, membership(other, tenant), "change_role")
    assert client.get(INVITE).status_code == 403


@pytest.mark.parametrize("name", ["change_role", "suspend", "remove"])
def test_the_last_admin_stays(name: str, tenant: Tenant, support_client: Client, boss: User) -> None:
    shown = press(support_client, membership(boss, tenant), name).content.decode()
    assert "last admin" in shown
    assert membership(boss, tenant).role == Role.ADMIN
    assert membership(boss, tenant).is_active


@pytest.mark.parametrize("name", ["change_role", "suspend", "remove"])
def test_nobody_does_it_to_themselves(name: str, client_of_boss: Client, boss: User, tenant: Tenant) -> None:
    second = factories.user("second", TENANT_ADMIN, tenants=(tenant,))
    assert membership(second, tenant).role == Role.ADMIN
    assert "This is you" in press(client_of_boss, membership(boss, tenant), name).content.decode()
    assert membership(boss, tenant).is_active


def test_a_tenant_admin_cannot_remove_support(client_of_boss: Client, tenant: Tenant) -> None:
    helper = factories.user("helper", SUPPORT, tenants=(tenant,))
    assert "may do more than you" in press(client_of_boss, membership(helper, tenant), "remove").content.decode()
    assert membership(helper, tenant)


def test_whoever_is_suspended_sees_nothing_until_let_back_in(
    client_of_boss: Client, tenant: Tenant, sign_in: SignIn
) -> None:
    contact, other = factories.contact(tenant), factories.viewer(tenant)
    client, page = sign_in(other), pages.page(Contact, "change", contact.pk)
    press(client_of_boss, membership(other, tenant), "suspend")
    assert client.get(page).status_code == 404
    press(client_of_boss, membership(other, tenant), "suspend")
    assert client.get(page).status_code == 200


def test_whoever_is_removed_keeps_the_account_and_the_other_tenant(
    client_of_boss: Client, tenant: Tenant, stranger: Tenant, sign_in: SignIn
) -> None:
    both = factories.tenant_admin(tenant, stranger)
    press(client_of_boss, membership(both, tenant), "remove")
    client = sign_in(both)
    assert client.get(pages.page(Tenant, "change", tenant.pk)).status_code == 404
    assert client.get(pages.page(Tenant, "change", stranger.pk)).status_code == 200


def test_two_admins_cannot_remove_each_other_at_the_same_time(tenant: Tenant, boss: User) -> None:
    second = factories.user("second", TENANT_ADMIN, tenants=(tenant,))
    mine, theirs = membership(boss, tenant), membership(second, tenant)
    with tenancy.everyone():
        people.remove(boss, theirs)
        with pytest.raises(people.NotAllowed):
            people.remove(User.objects.get(pk=second.pk), mine)


# --- passwords ------------------------------------------------------------------------------------------------------


def test_a_forgotten_password_is_chosen_anew_by_e_mail(boss: User, db: None) -> None:
    assert "/people/password/" in pages.html(Client(), "/admin/login/")
    client = Client()
    client.post("/people/password/", {"email": boss.email})
    found = re.search(r"https?://[^/]+(/people/password/\S+)", str(mail.outbox[-1].body))
    assert found
    page = client.get(found[1], follow=True)
    done = client.post(page.redirect_chain[-1][0], PASSWORD, follow=True)
    assert "password is changed" in done.content.decode()
    assert client.login(username=boss.username, password=PASSWORD["new_password1"])
    assert "This link is over" in Client().get(found[1], follow=True).content.decode()


def test_the_page_does_not_tell_who_has_an_account(boss: User, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise ConnectionRefusedError

    known = Client().post("/people/password/", {"email": boss.email}, follow=True)
    monkeypatch.setattr("django.core.mail.EmailMultiAlternatives.send", refuse)
    broken = Client().post("/people/password/", {"email": boss.email}, follow=True)
    unknown = Client().post("/people/password/", {"email": "nobody@nowhere.example"}, follow=True)
    texts = {re.sub(r'nonce="[^"]*"', "", one.content.decode()) for one in (known, broken, unknown)}
    assert len(texts) == 1


def test_after_the_session_ended_one_comes_back_to_the_same_page(boss: User, tenant: Tenant) -> None:
    page = pages.page(Contact, "changelist") + "?q=grace"
    client = Client()
    login = client.get(page)["Location"]
    answer = client.post(login, {"username": boss.username, "password": factories.PASSPHRASE})
    assert answer["Location"] == page


def test_what_was_done_with_people_stands_in_the_audit_log(client_of_boss: Client, tenant: Tenant) -> None:
    link = invited(client_of_boss)
    Client().post(link, PASSWORD)
    newcomer = User.objects.get(username="new@acme.example")
    press(client_of_boss, membership(newcomer, tenant), "change_role")
    press(client_of_boss, membership(newcomer, tenant), "remove")
    with tenancy.scope(tenant.pk):
        actions = set(AuditEntry.objects.values_list("action", flat=True))
    assert {"invited", "joined", "logged in", "role changed", "removed"} <= actions
