"""Encryption of single values as gateways do it: AES-256-GCM by a passphrase.

cryptography is only loaded here, and only where there is a passphrase.
"""

import binascii
import os
import secrets
from functools import lru_cache
from typing import Any

NONCE_BYTES = 12
_SALT = b"bifrost-encryption-v1-salt-2024"  # the same in every gateway


def open_value(passphrase: str, sealed: str) -> str | None:
    """Return what was encrypted with a passphrase; None if it was not with this one."""
    from cryptography.exceptions import InvalidTag

    try:
        data = binascii.a2b_base64(sealed, strict_mode=True)
        nonce, encrypted = data[:NONCE_BYTES], data[NONCE_BYTES:]
        plain: bytes = _cipher(passphrase).decrypt(nonce, encrypted, None)
        return plain.decode()
    except (ValueError, InvalidTag):  # of bad base64, UTF-8 and lengths, too
        return None


def seal_value(passphrase: str, text: str) -> str:
    """Return a text encrypted as a gateway with this passphrase stores it."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    data = nonce + _cipher(passphrase).encrypt(nonce, text.encode(), None)
    return binascii.b2a_base64(data, newline=False).decode()


@lru_cache(1)  # deriving the key takes 0.1 s, as it should
def _cipher(passphrase: str) -> Any:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

    derive = Argon2id(
        salt=_SALT, length=32, iterations=1, lanes=4, memory_cost=64 * 2**10
    )
    return AESGCM(derive.derive(os.fsencode(passphrase)))
