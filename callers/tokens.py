"""JSON Web Tokens: verifying them, and making them for `flask token`.

The algorithm is chosen by the key, never by the token.
"""

import hashlib
import logging
import secrets
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import time
from typing import Any

from errors import WouldWait
from settings import SettingError, Settings, strong_secret
from store.files import read_small_file, replace_file

log = logging.getLogger("governance")

ROLES = ("admin", "virtual_key")
REMEMBERED_TOKENS = 4096


class InvalidToken(Exception):
    """A token is refused; the text says why and repeats nothing of it."""


@dataclass(frozen=True)
class Claims:
    """The claims of a verified token: role, subject, expiry (Unix time)."""

    role: str
    subject: str
    expires: float


class Verifier:
    """Verifies tokens; a verified signature is remembered until the token expires."""

    def __init__(self, settings: Settings) -> None:
        self._secret = settings.jwt_secret
        self._secret_file = settings.jwt_secret_file
        self._public_key = _load_public_key(settings.jwt_public_key_file)
        self._remembered: dict[bytes, Claims] = {}
        self._lock = threading.Lock()
        if not self._secret:
            read_secret(self._secret_file)  # a weak one stops the start

    def verify(self, token: str) -> Claims:
        """Return the claims of a genuine token that has not expired.

        Raises InvalidToken.
        """
        digest = _digest(token)
        claims = self._remembered.get(digest)
        if claims is None:
            claims = _claims(self._decode(token))
            self._remember(digest, claims)
        return _unexpired(claims)

    def remembered(self, token: str) -> Claims:
        """Return the claims of a token verified before; otherwise raise WouldWait.

        Verifying reads a file, and may load a library. Raises InvalidToken.
        """
        claims = self._remembered.get(_digest(token))
        if claims is None:
            raise WouldWait
        return _unexpired(claims)

    def _keys(self) -> Iterator[tuple[str, Any]]:
        if secret := self._secret or self._secret_of_file():
            yield "HS256", secret
        if self._public_key:
            yield self._public_key

    def _secret_of_file(self) -> bytes:
        # Read anew for each unknown token: `flask token` may have made it meanwhile.
        try:
            return read_secret(self._secret_file)
        except SettingError as problem:
            log.error("%s", problem)
            return b""

    def _decode(self, token: str) -> dict[str, Any]:
        import jwt  # 50 ms with its cryptography: too long for every start to wait

        problem = "this service has no key to verify it with"
        for algorithm, key in self._keys():
            try:
                options: Any = {"require": ["exp"]}
                return jwt.decode(token, key, algorithms=[algorithm], options=options)
            except jwt.ExpiredSignatureError:
                raise InvalidToken("it has expired") from None
            except jwt.MissingRequiredClaimError:
                raise InvalidToken("it has no exp claim") from None
            except (jwt.InvalidSignatureError, jwt.InvalidAlgorithmError):
                problem = "its signature is not by a key of this service"
            except jwt.PyJWTError:
                problem = "it is malformed, or not valid here or now"
        raise InvalidToken(problem)

    def _remember(self, digest: bytes, claims: Claims) -> None:
        with self._lock:
            if len(self._remembered) >= REMEMBERED_TOKENS:
                self._remembered = {}
            self._remembered[digest] = claims


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()


def _unexpired(claims: Claims) -> Claims:
    if claims.expires <= time():
        raise InvalidToken("it has expired")
    return claims


def read_secret(path: Path) -> bytes:
    """Return the secret in a file, b"" if there is none; SettingError if it is weak."""
    try:
        secret = read_small_file(path).strip()
    except FileNotFoundError:
        return b""
    except OSError as problem:
        raise SettingError(
            f"GOVERNANCE_JWT_SECRET_FILE {path} cannot be read: {problem.strerror}"
        ) from None
    return strong_secret(secret, f"GOVERNANCE_JWT_SECRET_FILE {path}")


def make_secret_file(path: Path) -> bytes:
    """Make a file with a new random secret that only its owner may read."""
    secret = secrets.token_hex(32).encode()
    write_private(path, secret)
    return secret


def write_private(path: Path, text: bytes) -> None:
    """Write a line to a file that only its owner may read (mode 0600)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, text + b"\n")


def make_token(secret: bytes, role: str, subject: str, lifetime: float) -> str:
    """Return a token signed with HS256 that expires `lifetime` seconds from now."""
    import jwt

    now = int(time())
    claims = {"role": role, "sub": subject, "iat": now, "exp": now + int(lifetime)}
    return jwt.encode(claims, secret, algorithm="HS256")


def _claims(decoded: dict[str, Any]) -> Claims:
    role, subject = decoded.get("role"), decoded.get("sub") or ""
    if role not in ROLES:
        raise InvalidToken("its role claim is neither admin nor virtual_key")
    if role == "virtual_key" and not subject:
        raise InvalidToken("it has no sub claim, which names the virtual key")
    try:
        return Claims(role, subject, float(decoded["exp"]))
    except (TypeError, ValueError, OverflowError):
        raise InvalidToken("its exp claim is no time") from None


def _load_public_key(path: Path | None) -> tuple[str, Any] | None:
    if path is None:
        return None
    # Loading the library takes 60 ms, and most services have no public key.
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    name = f"GOVERNANCE_JWT_PUBLIC_KEY_FILE {path}"
    try:
        key = load_pem_public_key(read_small_file(path))
    except OSError as problem:
        raise SettingError(f"{name} cannot be read: {problem.strerror}") from None
    except Exception:
        raise SettingError(f"{name} holds no PEM public key") from None
    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= 2048:
        return "RS256", key
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name == "secp256r1":
        return "ES256", key
    if isinstance(key, ed25519.Ed25519PublicKey):
        return "EdDSA", key
    raise SettingError(f"{name} is neither RSA of 2048 bits or more, P-256 nor Ed25519")
