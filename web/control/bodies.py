"""Reading what is sent to the control routes."""

from collections.abc import Callable
from io import BytesIO
from typing import Any

from errors import ApiError
from web.control.guard import CONTROL_PREFIX, guard
from web.short_cut import Environ

MOST_BYTES = 2**28

Callback = Callable[[Any, Environ], None]


class ControlBodies:
    """Called by granian with each request, in front of what answers it.

    granian lets go of a body when this call returns, before a thread that waits could
    read it. Bodies are read here only of those who may send them: others wait for it.
    """

    def __init__(self, token: str, answer: Callback) -> None:
        self._token = token
        self._answer = answer

    def __call__(self, protocol: Any, request: Environ) -> None:
        if request["PATH_INFO"].startswith(CONTROL_PREFIX) and self._may(request):
            body = request["wsgi.input"].read(MOST_BYTES + 1)
            request["wsgi.input"] = BytesIO(body)
        self._answer(protocol, request)

    def _may(self, request: Environ) -> bool:
        try:
            guard(request, self._token)
        except ApiError:
            return False
        return int(request.get("CONTENT_LENGTH") or 0) <= MOST_BYTES
