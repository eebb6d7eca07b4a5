"""Writes people: each update reads the person first, since the service knows no versions and replaces lists as a whole.

A creation looks the person up by e-mail address and number, also when it was never tried before: `POST /people` makes
duplicates, and with `deduplicate=true` it applies nothing to the one it finds. Who is found is not written to: what stands
there was never read.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from integrations import errors
from integrations.providers.followupboss import listing
from integrations.providers.followupboss.marking import LOOK_BACK
from integrations.providers.followupboss.newcomers import SETTLING_SECONDS, hidden
from integrations.providers.followupboss.people import People
from integrations.providers.followupboss.values import Composer
from integrations.records.remote import RecordWrite, Written


class PeopleWriter:
    def __init__(
        self, people: People, composer: Composer, sees_everybody: Callable[[], bool], url_of: Callable[[str], str]
    ) -> None:
        self._people = people
        self._composer = composer
        self._sees_everybody = sees_everybody
        self._url_of = url_of

    def write(self, write: RecordWrite) -> Written:
        """A person who is gone but whose address or number one other person has comes back with that one's id beside the
        error: they were probably merged.
        """
        return self._update(write) if write.record_id else self._create(write)

    def delete(self, person_id: str) -> Written:
        if not self._people.delete(person_id) and not self._sees_everybody():
            raise hidden(person_id, errors.Gone("", status=404))
        return Written(person_id, id=person_id)

    def _update(self, write: RecordWrite) -> Written:
        try:
            present = self._people.get(write.record_id)
        except errors.Gone as gone:
            if not self._sees_everybody():
                raise hidden(write.record_id, gone) from gone
            return self._moved(write, gone)
        _refuse_stale(write, present)
        return self._apply(write, present)

    def _apply(self, write: RecordWrite, present: Mapping[str, Any]) -> Written:
        person_id = str(present["id"])
        body = self._composer.body(write.values, present, write.seen)
        if body.fields:
            self._people.update(person_id, body.fields, merge_tags=body.merge_tags)
        return self._written(write, person_id)

    def _create(self, write: RecordWrite) -> Written:
        found = self._known(write)
        if found:
            return self._already_there(write, found[0])
        self._refuse_hidden(write)
        person, new = self._people.create(self._composer.body(write.values, None).fields)
        if new:
            return self._written(write, str(person["id"]), created=True)
        try:
            return self._already_there(write, self._people.get(str(person["id"])))
        except errors.Gone as gone:
            raise errors.Retry(
                "Follow Up Boss has this person but does not show them yet. We will try again.", after=SETTLING_SECONDS
            ) from gone

    def _known(self, write: RecordWrite) -> list[dict[str, Any]]:
        emails, phones = _values(write.values, "emails"), _values(write.values, "phones")
        found = self._people.search(emails, phones)
        if found or emails or phones or write.first_attempt_at is None:
            return found
        # Nothing but the name tells our earlier try.
        first, last = (str(write.values.get(name) or "") for name in ("firstName", "lastName"))
        return self._people.named(first, last, listing.stamp(write.first_attempt_at - LOOK_BACK))

    def _refuse_hidden(self, write: RecordWrite) -> None:
        """Somebody whom only colleagues see would be made twice."""
        if self._sees_everybody():
            return
        for key in ("emails", "phones"):
            for value in _values(write.values, key):
                owner = self._people.is_known(**{key.removesuffix("s"): value})
                if owner is not None:
                    raise errors.FixData(
                        f"Follow Up Boss has this person already, assigned to {owner or 'nobody'}, where this connection "
                        "does not see them. Have them shared, or connect with the key of the owner or of an admin.",
                        fields=[key],
                        cause="hidden_duplicate",
                    )

    def _moved(self, write: RecordWrite, gone: errors.Gone) -> Written:
        found = self._people.search(_values(write.values, "emails"), _values(write.values, "phones"))
        if len(found) != 1:
            return Written(write.key, error=gone)
        successor = str(found[0]["id"])
        error = errors.Gone(
            f"Follow Up Boss no longer has this person, but person {successor} has the same address or number: they were "
            "probably merged. We link to that person.",
            detail=gone.detail,
            status=gone.status,
            cause="merged_away",
        )
        return Written(write.key, id=successor, url=self._url_of(successor), error=error)

    def _already_there(self, write: RecordWrite, person: Mapping[str, Any]) -> Written:
        person_id = str(person["id"])
        error = errors.AlreadyThere("Follow Up Boss", person_id)
        return Written(write.key, id=person_id, url=self._url_of(person_id), error=error)

    def _written(self, write: RecordWrite, person_id: str, *, created: bool = False) -> Written:
        return Written(write.key, id=person_id, url=self._url_of(person_id), created=created)


def _refuse_stale(write: RecordWrite, present: Mapping[str, Any]) -> None:
    if write.unmodified_since and listing.parse_stamp(present.get("updated")) > write.unmodified_since:
        raise errors.Stale(
            "Somebody changed this person in Follow Up Boss meanwhile. We read them again and decide anew.",
            detail=f"updated {present.get('updated')}",
        )


def _values(values: Mapping[str, Any], name: str) -> Sequence[str]:
    entries = values.get(name)
    given = entries if isinstance(entries, list | tuple) else ()
    return [str(one["value"]) for one in given if isinstance(one, Mapping) and one.get("value")]
