"""The two objects of our own: whether they are there, hidden or absent, and what it takes to have them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from integrations import errors
from integrations.contract.ports import Api
from integrations.providers.salesforce import soql
from integrations.providers.salesforce.blueprint import OBJECTS
from integrations.providers.salesforce.deploying import Deployer
from integrations.providers.salesforce.granting import Granter
from integrations.providers.salesforce.rest import Rest
from integrations.providers.salesforce.schema import data_path, json_object

ABSENT = (
    "Salesforce has no object {label} ({name}). {why}To make it: Setup > Object Manager > Create > Custom Object, label "
    "{label}, name {developer}, with the fields {fields}; give the integration user all rights on it. Without it such "
    "records stay in the dialer; calls are logged all the same."
)
HIDDEN = (
    "The integration user may not see the Salesforce object {label} ({name}). {why}Setup > Permission Sets > Dialer "
    "Integration > Object Settings > {label} > give Read, Create, Edit and Delete, and all its fields."
)
RUNNING = "Salesforce is still making the objects {labels}. Test this connection again in a minute; calls are logged all the same."
REFUSALS = (errors.FixConfig, errors.FixData, errors.Gone, errors.Stale)


@dataclass(slots=True)
class CustomObjects:
    """`deployment` is the id of one that an earlier preparation began; afterwards, of one that still runs."""

    api: Api
    deployment: str = ""
    reason: str = field(default="", init=False)
    _running: bool = field(default=False, init=False)

    def prepare(self, *, check_only: bool) -> list[str]:
        """What is missing in the end, in sentences. Nothing is made when only checking."""
        hidden = self._not_shown()
        if not hidden:
            self.deployment = ""
            return []
        absent = self._absent(hidden)
        if not check_only:
            try:
                self._add(hidden, absent)
            except REFUSALS as error:
                self.reason = (error.detail or error.message).rstrip(".")
            hidden = self._not_shown()
            absent = [name for name in absent if name in hidden and not self._made(name)]
        return self._sentences(hidden, absent)

    def _add(self, hidden: Sequence[str], absent: Sequence[str]) -> None:
        if absent and not self._deployed(absent):
            return
        fields = [(name, part) for name in hidden for part in OBJECTS[name]["fields"]]
        Granter(self.api).grant(fields, hidden)

    def _deployed(self, names: Sequence[str]) -> bool:
        """Whether the objects are made now. A deployment that failed, or is forgotten, is begun anew by the next run."""
        deployer = Deployer(self.api)
        known, self.deployment = self.deployment or deployer.start(names), ""
        found = deployer.look(known)
        if not found.done:
            self.deployment, self._running = known, True
        self.reason = found.problem.rstrip(".")
        return found.done and not found.problem

    def _not_shown(self) -> list[str]:
        seen = Rest(self.api).objects()
        return [name for name in OBJECTS if not seen.get(name, {}).get("createable")]

    def _absent(self, names: Sequence[str]) -> list[str]:
        """Those that the account does not have at all, as far as we may know."""
        developer_names = [name.removesuffix("__c") for name in names]
        query = soql.select(["Id", "DeveloperName"], "CustomObject", [soql.among("DeveloperName", developer_names)])
        try:
            body = json_object(self.api.request("GET", data_path("/tooling/query"), params={"q": query}))
        except REFUSALS as error:
            self.reason = (error.detail or error.message).rstrip(".")
            return list(names)
        there = {f"{row['DeveloperName']}__c" for row in body.get("records") or ()}
        return [name for name in names if name not in there]

    def _made(self, name: str) -> bool:
        return name not in self._absent([name])

    def _sentences(self, hidden: Sequence[str], absent: Sequence[str]) -> list[str]:
        if self._running:
            return [RUNNING.format(labels=" and ".join(OBJECTS[name]["label"] for name in hidden))]
        why = f"It could not be made: {self.reason}. " if self.reason else ""
        return [
            (ABSENT if name in absent else HIDDEN).format(**_words(name, OBJECTS[name]), why=why) for name in hidden
        ]


def _words(name: str, blueprint: Mapping[str, Any]) -> dict[str, str]:
    fields = ", ".join(blueprint["fields"])
    return {"name": name, "developer": name.removesuffix("__c"), "label": blueprint["label"], "fields": fields}
