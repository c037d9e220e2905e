"""The native library, where it is built."""

import pytest

from refact_edge.runtime.backends.native.library import Native, opened
from refact_edge.runtime.errors import OptionError


@pytest.fixture(scope="session")
def library() -> Native:
    try:
        return opened()
    except OptionError as error:
        pytest.skip(str(error))
