"""What a choice is called, looked up in what each field keeps of its choices.

Django makes a dictionary of all of them each time a name is asked for, and to do so translates every name: a list of fifty runs
translated eight hundred.
"""

from functools import partialmethod
from typing import Any

from django.apps import apps
from django.db.models import Field, Model
from django.utils.choices import BaseChoiceIterator
from django.utils.encoding import force_str

_THEIRS: Any = vars(Model)["_get_FIELD_display"]
_KEPT = "_dialbridge_choice_names"


def be_quick() -> None:
    """Once, when the process starts. A model's own method for a field stays."""
    for model in apps.get_models():
        for field in model._meta.get_fields():
            name = f"get_{field.name}_display"
            made = model.__dict__.get(name)
            if isinstance(made, partialmethod) and made.func is _THEIRS:
                setattr(model, name, partialmethod(_name, field=field))


def _name(row: Model, field: "Field[Any, Any]") -> Any:
    value = getattr(row, field.attname)
    try:
        return force_str(_names(field).get(value, value), strings_only=True)
    except TypeError:  # a list has no hash: Django makes one
        return _THEIRS(row, field)


def _names(field: Any) -> dict[Any, Any]:
    """Kept as long as the choices are the same; where a function gives them, they are asked for each time."""
    choices = field.choices
    if isinstance(choices, BaseChoiceIterator):
        return dict(field.flatchoices)
    kept = field.__dict__.get(_KEPT)
    if kept is None or kept[0] is not choices:
        kept = field.__dict__[_KEPT] = (choices, dict(field.flatchoices))
    names: dict[Any, Any] = kept[1]
    return names
