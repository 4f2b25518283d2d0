"""Answers that many ask for at the same time."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from snapshot.answers import Answer, Body, KeptAnswers

DEADLINE = 10


def answer_of(text: bytes) -> Answer:
    return Answer("digest", Body(lambda: [text], len(text), 0), lambda: [])


def test_an_answer_is_made_once_for_all_who_ask_meanwhile() -> None:
    kept, made = KeptAnswers(), []
    begun, go_on = threading.Event(), threading.Event()

    def make() -> Answer:
        made.append(threading.current_thread())
        begun.set()
        assert go_on.wait(DEADLINE)
        return answer_of(b"whole list")

    with ThreadPoolExecutor(5) as pool:
        first = pool.submit(kept.get_or_make, "whole", make)
        assert begun.wait(DEADLINE)
        others = [pool.submit(kept.get_or_make, "whole", make) for _ in range(4)]
        another = kept.get_or_make("page", lambda: answer_of(b"page"))  # waits for none
        go_on.set()
        answers = {each.result(DEADLINE) for each in (first, *others)}

    assert len(made) == 1
    assert answers == {kept.get("whole")}
    assert another is kept.get("page")


def test_an_answer_that_could_not_be_made_is_made_by_the_next_who_asks() -> None:
    kept = KeptAnswers()

    def fail() -> Answer:
        raise MemoryError

    with pytest.raises(MemoryError):
        kept.get_or_make("whole", fail)

    assert kept.get_or_make("whole", lambda: answer_of(b"whole list"))
