"""Which user of the account an agent is, and whether we may write in that user's name."""

from collections.abc import Callable

from integrations import errors
from integrations.providers.followupboss.directory import Directory
from integrations.records.activities import CallActivity, FollowUp, Meeting


class Agents:
    def __init__(self, directory: Directory, sees_everybody: Callable[[], bool]) -> None:
        self._directory = directory
        self._sees_everybody = sees_everybody

    def user_of(self, one: CallActivity | Meeting | FollowUp) -> int | None:
        """Who somebody said the agent is, else the active user with the agent's address; None where we may not say so."""
        if not one.agent_id and not one.agent_email:
            return None
        try:
            if not self._sees_everybody():
                return None
            return self._directory.active_id(one.agent_id) or (
                self._directory.user_id(one.agent_email) if one.agent_email else None
            )
        except errors.FixConfig:
            return None
