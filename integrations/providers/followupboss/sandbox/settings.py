"""What belongs to the account of the fake Follow Up Boss: who you are, users, stages, custom fields."""

import re

from integrations.providers.followupboss.sandbox.door import QUOTAS, WINDOW, Door, refuse
from integrations.providers.followupboss.sandbox.lists import BadRequestError, page
from integrations.providers.followupboss.sandbox.seed import ACCOUNT
from integrations.providers.followupboss.sandbox.shapes import body_of
from integrations.sandbox.http import Answer, Request, route

FIELD_TYPES = ("text", "date", "number", "dropdown")


class AccountSettings(Door):
    @route("GET", "/v1/identity")
    def identity(self, _request: Request) -> Answer:
        user = {key: self.me[key] for key in ("id", "name", "email")}
        return Answer(200, {"account": ACCOUNT, "user": user})

    @route("GET", "/v1/users")
    def list_users(self, request: Request) -> Answer:
        email = request.arg("email").lower()
        hidden = "" if request.arg("includeDeleted") == "true" else "Deleted"
        found = [
            user
            for user in self.store.all("users")
            if user["status"] != hidden and (not email or user["email"].lower() == email)
        ]
        return page(request, "users", found, self.clock.timestamp())

    @route("GET", "/v1/users/{user_id}")
    def read_user(self, _request: Request, user_id: str) -> Answer:
        user = self.store.get("users", user_id)
        return Answer(200, user) if user else refuse(404, "User not found.")

    @route("GET", "/v1/stages")
    def list_stages(self, request: Request) -> Answer:
        return page(request, "stages", self.store.all("stages"), self.clock.timestamp())

    @route("GET", "/v1/smartLists")
    def list_smart_lists(self, request: Request) -> Answer:
        """Only those of the older kind, unless asked."""
        everything = "true" in {request.arg("all"), request.arg("fub2")}
        found = [
            {key: one[key] for key in ("id", "name")}
            for one in self.store.all("smartlists")
            if everything or not one["fub2"]
        ]
        return page(request, "smartLists", found, self.clock.timestamp())

    @route("GET", "/v1/rateLimit/limits")
    def rate_limits(self, _request: Request) -> Answer:
        limits = [{"context": context, "limit": limit, "window": WINDOW} for context, (limit, _) in QUOTAS.items()]
        return self.refuse_unregistered() or Answer(
            200, {"limits": limits, "allAccounts": {"limit": 750, "window": WINDOW}}
        )

    @route("GET", "/v1/customFields")
    def list_custom_fields(self, request: Request) -> Answer:
        return page(request, "customFields", self.store.all("customfields"), self.clock.timestamp())

    @route("POST", "/v1/customFields")
    def create_custom_field(self, request: Request) -> Answer:
        if not self.is_admin:
            return refuse(403, "Only admins may create custom fields.")
        try:
            body = body_of(request)
            label = str(body.get("label") or "").strip()
            if not label or body.get("type") not in FIELD_TYPES:
                raise BadRequestError(f"label and type are required; type is one of {', '.join(FIELD_TYPES)}.")
            if body["type"] == "dropdown" and not body.get("choices"):
                raise BadRequestError("choices are required for a dropdown.")
        except BadRequestError as problem:
            return refuse(400, str(problem))
        return Answer(201, self.add_custom_field(label, str(body["type"]), list(body.get("choices") or [])))

    def add_custom_field(self, label: str, kind: str, choices: list[str]) -> dict[str, object]:
        """A second field with the same label gets a name of its own: twins are possible."""
        number = self.store.next_number("customfields")
        plain = "custom" + "".join(word[:1].upper() + word[1:] for word in re.findall(r"[A-Za-z0-9]+", label))
        taken = {field["name"] for field in self.store.all("customfields")}
        name = plain if plain not in taken else f"{plain}{number}"
        field = {"id": number, "name": name, "label": label, "type": kind, "choices": choices, "readOnly": False}
        self.store.put("customfields", str(number), field)
        self.tell("customFieldsCreated", [number])
        return field
