"""Every kind of work has a name for people, and says in words what it means that it fails."""

import pytest

from sync import handlers, job_words
from sync.causes.words import KINDS

OURS = [kind for kind in handlers.kinds() if kind not in ("test", "slow")]


@pytest.mark.parametrize("kind", OURS)
def test_every_kind_of_work_has_a_name_and_a_sentence_for_its_failure(kind: str) -> None:
    assert kind in job_words.KINDS
    assert "%(crm)s" in str(KINDS[kind])


def test_a_word_without_a_name_is_still_readable() -> None:
    assert job_words.kind_name("some_new_kind") == "Some new kind"
    assert job_words.cause_name("bulk_job_state") == "Bulk job state"
