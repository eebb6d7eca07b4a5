"""How somebody gets in: the log-in page of a running server, by mouse and keyboard."""

from playwright.sync_api import Page


def log_in(page: Page, address: str, username: str, passphrase: str) -> None:
    """Ends on the first page of the server at `address`."""
    page.goto(f"{address}/")
    page.get_by_label("Username").fill(username)
    page.get_by_label("Password").fill(passphrase)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{address}/admin/")
