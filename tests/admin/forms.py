"""What a browser without JavaScript would send of a form on a page, as it stands."""

from html.parser import HTMLParser
from typing import Any


class _Forms(HTMLParser):
    """The fields of each form: (name, value), in order."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[list[tuple[str, str]]] = []
        self._open: list[tuple[str, str]] | None = None
        self._select: str | None = None
        self._chosen: list[str] = []
        self._first: str | None = None
        self._text: tuple[str, list[str]] | None = None

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        told = dict(attrs)
        if tag == "form":
            self._open = []
            self.forms.append(self._open)
        if self._open is None:
            return
        name = told.get("name") or ""
        if tag == "input" and name and "disabled" not in told:
            self._input(name, told)
        elif tag == "select":
            self._select, self._chosen, self._first = name, [], None
        elif tag == "option" and self._select is not None:
            value = told.get("value") or ""
            self._first = value if self._first is None else self._first
            if "selected" in told:
                self._chosen.append(value)
        elif tag == "textarea":
            self._text = (name, [])

    def _input(self, name: str, told: dict[str, Any]) -> None:
        kind = told.get("type") or "text"
        if kind in ("submit", "button", "image", "file") or (kind in ("checkbox", "radio") and "checked" not in told):
            return
        assert self._open is not None
        self._open.append((name, told.get("value") or ("on" if kind == "checkbox" else "")))

    def handle_data(self, data: str) -> None:
        if self._text is not None:
            self._text[1].append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._open = None
        if self._open is None:
            return
        if tag == "select" and self._select:
            chosen = self._chosen or ([self._first] if self._first is not None else [])
            self._open += [(self._select, value) for value in chosen]
        if tag == "select":
            self._select = None
        if tag == "textarea" and self._text is not None:
            self._open.append((self._text[0], "".join(self._text[1]).removeprefix("\n")))
            self._text = None


def sent(html: str, having: str) -> dict[str, list[str]]:
    """Of the form that has a field of that name."""
    parser = _Forms()
    parser.feed(html)
    found = next(form for form in parser.forms if any(name == having for name, _value in form))
    told: dict[str, list[str]] = {}
    for name, value in found:
        told.setdefault(name, []).append(value)
    told.pop("csrfmiddlewaretoken", None)
    return told
