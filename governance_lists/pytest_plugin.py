"""The fixtures `governance` and `governance_server` for pytest.

Nothing else is imported until a test asks for one of them.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from governance_lists.client import GovernanceLists


@pytest.fixture(scope="session")
def governance_server() -> "Iterator[GovernanceLists]":
    """A service for all tests of this process; with pytest-xdist, one for each worker.

    Its data and faults stay from test to test, unless a test asks for `governance`.
    """
    from governance_lists.client import GovernanceLists

    with GovernanceLists() as server:
        yield server


@pytest.fixture
def governance(governance_server: "GovernanceLists") -> "GovernanceLists":
    """The service, empty, with no faults and no requests recorded."""
    governance_server.reset()
    return governance_server
