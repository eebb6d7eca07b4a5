"""The organisation's log-in host, which here has the same address as its data: consent, tokens, and who the user is."""

from integrations.providers.salesforce.sandbox.base import Counter
from integrations.sandbox.http import Answer, Request, route


class SignIn(Counter):
    @route("GET", "/services/oauth2/authorize")
    def authorize(self, request: Request) -> Answer:
        return self.tokens.ask_for_consent(request)

    @route("POST", "/services/oauth2/token")
    def token(self, request: Request) -> Answer:
        return self.tokens.grant(request)

    @route("POST", "/services/oauth2/revoke")
    def revoke(self, request: Request) -> Answer:
        return self.tokens.revoke(request)

    @route("POST", "/services/oauth2/introspect")
    def introspect(self, request: Request) -> Answer:
        return self.tokens.introspect(request)

    @route("GET", "/services/oauth2/userinfo")
    def user_info(self, request: Request) -> Answer:
        return self.tokens.user_info(request)

    @route("GET", "/id/{org_id}/{user_id}")
    def identity(self, request: Request, org_id: str, user_id: str) -> Answer:
        return self.tokens.user_info(request)
