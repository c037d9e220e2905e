"""What errors carry besides their message."""

import pickle

import pytest

from refact_edge.runtime.engine.sampling import Sampling
from refact_edge.runtime.errors import ContextError, OptionError, RefactEdgeError
from refact_edge.runtime.serve.service.settings import Settings


def test_an_error_lists_its_problems_and_keeps_them_in_another_process() -> None:
    with pytest.raises(OptionError) as caught:
        Sampling(temperature=-1, top_p=0)
    problems = ("temperature -1; expected 0 to 100", "top_p 0; expected over 0 and at most 1")
    assert caught.value.problems == problems
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.problems) == ("; ".join(problems), problems)


def test_settings_list_theirs() -> None:
    with pytest.raises(OptionError) as caught:
        Settings(slots=0, queue=-1)
    assert [problem.partition(";")[0] for problem in caught.value.problems] == [
        "slots 0",
        "queue -1",
    ]


def test_an_error_of_one_thing_has_no_list() -> None:
    assert RefactEdgeError("one").problems == ()
    assert pickle.loads(pickle.dumps(ContextError(3, 2))).problems == ()
