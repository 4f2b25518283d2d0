"""JSON Web Tokens: making them, the secret file, the public key, the commands."""

import os
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import time
from typing import Any

import jwt
import pytest
from click.testing import Result
from credentials import SECRET
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from flask import Flask

from callers import tokens
from callers.tokens import (
    Claims,
    InvalidToken,
    Verifier,
    make_secret_file,
    make_token,
    read_secret,
)
from errors import WouldWait
from settings import SettingError, load_settings

ROOT = Path(__file__).parents[2]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The secret file, which is not there yet."""
    return tmp_path / "jwt-secret"


@pytest.fixture
def verifier(settings: dict[str, str]) -> Verifier:
    return Verifier(load_settings(settings))


@pytest.fixture
def run(make_app: Callable[..., Flask]) -> Callable[..., Result]:
    """run("admin"): the command `flask token admin`, with settings if given."""

    def run(*words: str, **overrides: str) -> Result:
        return make_app(**overrides).test_cli_runner().invoke(args=["token", *words])

    return run


# Making and verifying


@pytest.mark.parametrize(
    ("role", "subject"), [("admin", "admin"), ("virtual_key", "key-ops")]
)
def test_what_is_made_can_be_verified(
    verifier: Verifier, role: str, subject: str
) -> None:
    token = make_token(SECRET.encode(), role, subject, 60)

    claims = verifier.verify(token)

    assert (claims.role, claims.subject) == (role, subject)
    assert 58 < claims.expires - time() <= 60


def test_a_token_is_signed_with_hs256_and_says_when_it_was_made() -> None:
    token = make_token(SECRET.encode(), "admin", "admin", 3600)

    claims = jwt.decode(token, SECRET, algorithms=["HS256"])
    assert list(claims) == ["role", "sub", "iat", "exp"]
    assert claims["exp"] - claims["iat"] == 3600


@pytest.mark.parametrize("token", ["a.b.c", "", "é.é.é", "eyJhbGciOiJIUzI1NiJ9.e30"])
def test_what_is_no_token_is_refused_with_the_reason(
    verifier: Verifier, token: str
) -> None:
    with pytest.raises(InvalidToken) as refused:
        verifier.verify(token)

    assert str(refused.value) == "it is malformed, or not valid here or now"


@pytest.mark.parametrize(
    ("secret", "role", "subject", "lifetime", "reason"),
    [
        (
            "another-secret-of-32-bytes-or-more",
            "admin",
            "admin",
            60,
            "its signature is not by a key of this service",
        ),
        (SECRET, "admin", "admin", -60, "it has expired"),
        (SECRET, "owner", "a", 60, "its role claim is neither admin nor virtual_key"),
        (
            SECRET,
            "virtual_key",
            "",
            60,
            "it has no sub claim, which names the virtual key",
        ),
    ],
    ids=["forged", "expired", "other role", "no subject"],
)
def test_a_token_is_refused_with_the_reason(
    verifier: Verifier,
    secret: str,
    role: str,
    subject: str,
    lifetime: int,
    reason: str,
) -> None:
    token = make_token(secret.encode(), role, subject, lifetime)

    with pytest.raises(InvalidToken) as refused:
        verifier.verify(token)

    assert str(refused.value) == reason


def test_a_token_ends_to_the_second(
    verifier: Verifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = make_token(SECRET.encode(), "admin", "admin", 60)
    expires = verifier.verify(token).expires

    monkeypatch.setattr(tokens, "time", lambda: expires - 0.001)
    before = verifier.verify(token)
    monkeypatch.setattr(tokens, "time", lambda: expires)

    assert before == Claims("admin", "admin", expires)
    with pytest.raises(InvalidToken, match="it has expired"):
        verifier.verify(token)


def remembered(verifier: Verifier, made: list[str]) -> list[str]:
    """The tokens that are verified without a key."""
    found = []
    for token in made:
        with suppress(WouldWait):
            verifier.remembered(token)
            found.append(token)
    return found


def test_what_is_remembered_is_bounded(
    verifier: Verifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "REMEMBERED_TOKENS", 3)
    made = [make_token(SECRET.encode(), "virtual_key", f"k{n}", 60) for n in range(8)]

    subjects = [verifier.verify(token).subject for token in made + made]

    assert subjects == [f"k{number}" for number in range(8)] * 2
    assert 1 <= len(remembered(verifier, made)) <= 3


def test_no_token_itself_is_remembered(verifier: Verifier) -> None:
    token = make_token(SECRET.encode(), "admin", "admin", 60)

    verifier.verify(token)

    assert token not in str(vars(verifier))


# The secret file


def test_there_is_no_secret_where_there_is_no_file(path: Path) -> None:
    secret = read_secret(path)

    assert secret == b""


def test_a_secret_file_is_made_with_64_hexadecimal_digits(path: Path) -> None:
    secret = make_secret_file(path)

    assert (len(secret), int(secret, 16) > 0) == (64, True)
    assert read_secret(path) == secret


def test_no_two_secrets_are_the_same(tmp_path: Path) -> None:
    made = {make_secret_file(tmp_path / name) for name in "abc"}

    assert len(made) == 3


@pytest.mark.parametrize("text", [b"%b", b"%b\n", b"%b\r\n", b"  %b \n\n"])
def test_white_space_around_a_secret_is_not_part_of_it(path: Path, text: bytes) -> None:
    path.write_bytes(text % SECRET.encode())

    secret = read_secret(path)

    assert secret == SECRET.encode()


@pytest.mark.parametrize("secret", ["", "\n", "hunter2", "x" * 31, "x" * 31 + "\n"])
def test_a_weak_secret_in_the_file_stops_the_start_by_name(
    make_app: Callable[..., Flask], path: Path, secret: str
) -> None:
    path.write_text(secret)

    with pytest.raises(SettingError) as refused:
        make_app(GOVERNANCE_JWT_SECRET="")

    assert refused.value.message == (
        f"GOVERNANCE_JWT_SECRET_FILE {path} holds a secret of {len(secret.strip())}"
        " bytes; HS256 needs at least 32 (try: openssl rand -hex 32)"
    )


def test_a_secret_file_that_cannot_be_read_stops_the_start_by_name(
    make_app: Callable[..., Flask], path: Path
) -> None:
    path.mkdir()

    with pytest.raises(SettingError) as refused:
        make_app(GOVERNANCE_JWT_SECRET="")

    expected = f"GOVERNANCE_JWT_SECRET_FILE {path} cannot be read: Is a directory"
    assert refused.value.message == expected


def test_a_secret_of_32_bytes_is_strong_enough(path: Path) -> None:
    path.write_bytes(b"x" * 32)

    assert read_secret(path) == b"x" * 32


# The public key


def pem(key: Any) -> bytes:
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def private_pem() -> bytes:
    return ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


@pytest.mark.parametrize(
    "make",
    [
        lambda: rsa.generate_private_key(65537, 2048),
        lambda: ec.generate_private_key(ec.SECP256R1()),
        ed25519.Ed25519PrivateKey.generate,
    ],
    ids=["RSA", "P-256", "Ed25519"],
)
def test_a_public_key_of_these_kinds_is_taken(
    make_app: Callable[..., Flask], tmp_path: Path, make: Callable[[], Any]
) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(pem(make()))

    app = make_app(GOVERNANCE_JWT_PUBLIC_KEY_FILE=str(path))

    assert app.test_client().get("/healthz").status_code == 200


KIND = "is neither RSA of 2048 bits or more, P-256 nor Ed25519"


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: b"", "holds no PEM public key"),
        (lambda: b"not a key", "holds no PEM public key"),
        (private_pem, "holds no PEM public key"),
        (lambda: pem(rsa.generate_private_key(65537, 1024)), KIND),
        (lambda: pem(dsa.generate_private_key(1024)), KIND),
        (lambda: pem(ec.generate_private_key(ec.SECP384R1())), KIND),
        (lambda: pem(ec.generate_private_key(ec.SECP256K1())), KIND),
        (lambda: pem(ed448.Ed448PrivateKey.generate()), KIND),
    ],
    ids=["empty", "text", "private", "RSA 1024", "DSA", "P-384", "secp256k1", "Ed448"],
)
def test_any_other_public_key_stops_the_start_by_name(
    make_app: Callable[..., Flask],
    tmp_path: Path,
    make: Callable[[], bytes],
    reason: str,
) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(make())

    with pytest.raises(SettingError) as refused:
        make_app(GOVERNANCE_JWT_PUBLIC_KEY_FILE=str(path))

    expected = f"GOVERNANCE_JWT_PUBLIC_KEY_FILE {path} {reason}"
    assert refused.value.message == expected


def test_a_missing_public_key_stops_the_start_by_name(
    make_app: Callable[..., Flask], tmp_path: Path
) -> None:
    path = tmp_path / "key.pem"

    with pytest.raises(SettingError) as refused:
        make_app(GOVERNANCE_JWT_PUBLIC_KEY_FILE=str(path))

    assert refused.value.message == (
        f"GOVERNANCE_JWT_PUBLIC_KEY_FILE {path} cannot be read:"
        " No such file or directory"
    )


# The commands


@pytest.mark.parametrize(
    ("words", "role", "subject"),
    [
        (["admin"], "admin", "admin"),
        (["virtual-key", "key-ops"], "virtual_key", "key-ops"),
    ],
)
def test_a_command_prints_a_token_of_an_hour(
    run: Callable[..., Result],
    verifier: Verifier,
    words: list[str],
    role: str,
    subject: str,
) -> None:
    result = run(*words)

    claims = verifier.verify(result.stdout.removesuffix("\n"))
    assert (claims.role, claims.subject) == (role, subject)
    assert 3598 < claims.expires - time() <= 3600


@pytest.mark.parametrize("words", [["admin"], ["virtual-key", "key-ops"]])
@pytest.mark.parametrize(
    ("word", "seconds"), [("90s", 90), ("30m", 1800), ("2d", 172_800)]
)
def test_expires_sets_how_long_a_token_lives(
    run: Callable[..., Result],
    verifier: Verifier,
    words: list[str],
    word: str,
    seconds: int,
) -> None:
    result = run(*words, "--expires", word)

    claims = verifier.verify(result.stdout.strip())
    assert seconds - 2 < claims.expires - time() <= seconds


@pytest.mark.parametrize("word", ["", "0h", "1", "-1h", "tomorrow"])
def test_a_bad_lifetime_is_refused(run: Callable[..., Result], word: str) -> None:
    result = run("admin", "--expires", word)

    assert result.exit_code == 2
    assert f"{word!r} is no lifetime; try 30m, 12h or 90d" in result.output


def test_the_secret_file_is_made_once(run: Callable[..., Result], path: Path) -> None:
    before = os.umask(0o022)

    first = run("admin", GOVERNANCE_JWT_SECRET="")
    made = path.read_bytes()
    second = run("admin", GOVERNANCE_JWT_SECRET="")
    os.umask(before)

    assert first.stderr == f"made the secret file {path}\n"
    assert (second.stderr, path.read_bytes()) == ("", made)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_token_by_the_made_secret_file_is_taken_by_a_running_service(
    make_app: Callable[..., Flask], run: Callable[..., Result], tmp_path: Path
) -> None:
    client = make_app(GOVERNANCE_JWT_SECRET="").test_client()

    token = run("admin", GOVERNANCE_JWT_SECRET="").stdout.strip()
    response = client.get(
        "/api/governance/teams", headers={"Authorization": f"Bearer {token}"}
    )

    # Past the credentials, there is just no database.
    assert response.status_code == 503


def test_no_secret_file_is_made_where_the_secret_is_set(
    run: Callable[..., Result], path: Path
) -> None:
    result = run("admin")

    assert (result.exit_code, path.exists()) == (0, False)


def test_the_secret_is_not_printed(run: Callable[..., Result], path: Path) -> None:
    results = [run("admin"), run("admin", GOVERNANCE_JWT_SECRET="")]

    output = "".join(result.output for result in results)
    assert [s for s in (SECRET, path.read_text().strip()) if s in output] == []


@pytest.mark.parametrize("command", [["token", "admin"], ["api-key", "list"]])
def test_a_weak_secret_stops_a_command_with_a_sentence(
    settings: dict[str, str], command: list[str]
) -> None:
    weak = {**os.environ, **settings, "GOVERNANCE_JWT_SECRET": "hunter2-hunter2"}

    result = subprocess.run(
        [sys.executable, "-m", "flask", *command],
        cwd=ROOT,
        env=weak,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == (
        "Error: GOVERNANCE_JWT_SECRET holds a secret of 15 bytes; HS256 needs at"
        " least 32 (try: openssl rand -hex 32)\n"
    )
