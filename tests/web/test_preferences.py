"""The Prefer header: RFC 7240's lists, and which preferences are honoured."""

import pytest

from errors import ApiError
from web.control.preferences import Preferred, preferred


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", Preferred()),
        ("code=503", Preferred(503)),
        ("wait=0.25", Preferred(None, 0.25)),
        ("code=503, wait=2", Preferred(503, 2.0)),
        ("code=503,wait=2", Preferred(503, 2.0)),
        ('code="503"', Preferred(503)),
        (r'code="5\03"', Preferred(503)),
        ("CODE = 503", Preferred(503)),
        ("respond-async, code=503; foo; bar=baz, wait=1", Preferred(503, 1.0)),
        ('return=representation; a="b, code=500", code=503', Preferred(503)),
        ('handling="a, code=500"', Preferred()),
        ("code=500, code=503", Preferred(500)),
        ("code=200", Preferred(200)),
        ("@@@, code=503", Preferred(503)),
        ("code=503, @@@", Preferred(503)),
        (",, code=503 ,", Preferred(503)),
        ("wait=0", Preferred(None, 0.0)),
    ],
)
def test_preferences_are_read_from_a_header(header: str, expected: Preferred) -> None:
    assert preferred(header) == expected


@pytest.mark.parametrize(
    ("header", "status", "code"),
    [
        ("code=banana", 400, "invalid_parameter"),
        ("code=", 400, "invalid_parameter"),
        ("code", 400, "invalid_parameter"),
        ("code=50", 400, "invalid_parameter"),
        ("code=201", 404, "not_found"),
        ("code=499", 404, "not_found"),
        ("code=700", 404, "not_found"),
        ("wait=soon", 400, "invalid_parameter"),
        ("wait=-1", 400, "invalid_parameter"),
        ("wait=1e3", 400, "invalid_parameter"),
        ("wait=3601", 400, "invalid_parameter"),
        ("wait", 400, "invalid_parameter"),
    ],
)
def test_what_cannot_be_honoured_is_refused(
    header: str, status: int, code: str
) -> None:
    with pytest.raises(ApiError) as refused:
        preferred(header)

    assert (refused.value.status, refused.value.code) == (status, code)
    assert refused.value.param == "Prefer"


def test_a_very_long_header_is_read_in_no_time() -> None:
    assert preferred("a=" + "x" * 60_000) == Preferred()
    assert preferred("(" * 60_000) == Preferred()
    assert preferred('a="' + "\\" * 60_000) == Preferred()


@pytest.mark.parametrize(
    ("header", "applied"),
    [("code=503", "code=503"), ("wait=0.50, code=404", "code=404, wait=0.5")],
)
def test_what_is_honoured_is_named(header: str, applied: str) -> None:
    assert preferred(header).applied() == applied
