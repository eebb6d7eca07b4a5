"""The token endpoint of the fake Follow Up Boss. Every second renewal replaces the refresh token."""

from integrations.providers.followupboss.sandbox.door import Door
from integrations.sandbox.http import Answer, Request, route
from integrations.sandbox.store import Document

ACCESS_SECONDS = 3600
IDLE_SECONDS = 90 * 86400
"""A refresh token that was not used for so long is dead."""


class Tokens(Door):
    @route("POST", "/oauth/token")
    def token(self, request: Request) -> Answer:
        form = request.form()
        client = self.store.get("oauth_clients", request.headers.get("authorization", ""))
        if client is None or "client_secret" in form:
            return _refuse(401, "invalid_client", "Client authentication failed.")
        if form.get("grant_type") != "refresh_token":
            return _refuse(400, "unsupported_grant_type", "The grant type is not supported.")
        grant = self.store.get("refresh_tokens", form.get("refresh_token", ""))
        if grant is None or self.clock.timestamp() - grant["used"] > IDLE_SECONDS:
            return _refuse(400, "invalid_grant", "The refresh token is invalid, expired or revoked.")
        return Answer(200, self._issue(grant))

    def _issue(self, grant: Document) -> Document:
        number = self.store.next_number("tokens")
        access = f"fub_access_{grant['userId']}_{number}"
        expires = self.clock.timestamp() + ACCESS_SECONDS
        self.store.put("access_tokens", access, {"userId": grant["userId"], "expires": expires})
        answer = {"access_token": access, "token_type": "Bearer", "expires_in": ACCESS_SECONDS}
        renewed = {**grant, "used": self.clock.timestamp()}
        if number % 2:
            self.store.put("refresh_tokens", grant["token"], renewed)
            return answer
        self.store.delete("refresh_tokens", grant["token"])
        rotated = f"fub_refresh_{grant['userId']}_{number}"
        self.store.put("refresh_tokens", rotated, {**renewed, "token": rotated})
        return {**answer, "refresh_token": rotated}


def _refuse(status: int, error: str, text: str) -> Answer:
    return Answer(status, {"error": error, "error_description": text})
