"""The exceptions that become answers, by web/error_responses.py."""


class ApiError(Exception):
    """An answer that is an error; `param` is the name of the wrong parameter."""

    def __init__(self, status: int, code: str, message: str, param: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.param = param


class WouldWait(Exception):
    """The answer cannot be given without waiting for something."""


class Busy(ApiError):
    """Too many large answers are being sent already."""

    def __init__(self) -> None:
        message = "Too many large answers are being sent; ask again, or for a page."
        super().__init__(503, "server_busy", message)


class MissingCredentials(ApiError):
    def __init__(self, message: str) -> None:
        super().__init__(401, "missing_credentials", message)


class InvalidCredentials(ApiError):
    def __init__(self, message: str) -> None:
        super().__init__(401, "invalid_credentials", message)
