"""What is sent to a client."""

from collections.abc import Iterable
from typing import NamedTuple

Headers = list[tuple[str, str]]


class Reply(NamedTuple):
    """An answer on its way: a list of one body, or its pieces; `size` in bytes.

    Who sends pieces closes them. The size is None where there is no body, or it is not
    made.
    """

    status: str
    headers: Headers
    body: Iterable[bytes]
    size: int | None
