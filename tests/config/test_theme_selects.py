"""A select box is the theme's own, option by option."""

from html.parser import HTMLParser
from typing import Any

from django.forms.widgets import Select
from django.template.base import Template
from unfold.widgets import UnfoldAdminSelectWidget

CHOICES: list[Any] = [
    ("", "–"), ("<a>", 'Quote " and <tag>'), ("b", "B"), ("Group & more", [("c", "C"), (7, "Seven")]), (None, "Nothing"),
]  # fmt: skip


class Parts(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.parts: list[Any] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.parts.append((tag, sorted(attrs, key=str)))

    def handle_endtag(self, tag: str) -> None:
        self.parts.append((tag,))

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.parts.append(data.strip())


def test_it_shows_what_the_themes_template_shows() -> None:
    for value in ("", "<a>", "c", 7, None, "no such value"):
        ours = UnfoldAdminSelectWidget(attrs={"id": "x", "required": True}, choices=CHOICES)
        theirs = UnfoldAdminSelectWidget(attrs={"id": "x", "required": True}, choices=CHOICES)
        made = Parts(ours.render("field", value)).parts
        assert made == Parts(Select.render(theirs, "field", value)).parts
        assert sum(part[0] == "option" and len(part) == 2 for part in made if isinstance(part, tuple)) == 6


def test_a_thousand_options_need_no_template_each(monkeypatch: Any) -> None:
    rendered: list[Any] = []
    render = Template.render

    def noted(one: Any, context: Any) -> Any:
        rendered.append(one)
        return render(one, context)

    monkeypatch.setattr(Template, "render", noted)
    box = UnfoldAdminSelectWidget(choices=[(str(n), f"Number {n}") for n in range(1000)])
    assert box.render("field", "999").count("<option") == 1000
    assert len(rendered) < 10
