"""Values encrypted as a gateway does, written independently of store/cipher.py."""

import base64
import hashlib
import os
from functools import cache

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from gateway import Gateway

PASSPHRASE = "a passphrase of the tests"
VALUE = "sk-bf-11111111-2222-4333-8444-555555555555"


@cache
def key_of(passphrase: str) -> AESGCM:
    """The key of a passphrase, as gateways make it."""
    salt = b"bifrost-encryption-v1-salt-2024"
    argon = Argon2id(salt=salt, length=32, iterations=1, lanes=4, memory_cost=65536)
    return AESGCM(argon.derive(passphrase.encode()))


def sealed(text: str, passphrase: str = PASSPHRASE) -> str:
    nonce = os.urandom(12)
    data = nonce + key_of(passphrase).encrypt(nonce, text.encode(), None)
    return base64.b64encode(data).decode()


def opened(text: str) -> str:
    data = base64.b64decode(text, validate=True)
    return key_of(PASSPHRASE).decrypt(data[:12], data[12:], None).decode()


def add_key(gateway: Gateway, key: str, value: str, stored: str) -> None:
    gateway.virtual_key(
        key,
        team_id="t",
        value=stored,
        value_hash=hashlib.sha256(value.encode()).hexdigest(),
        encryption_status="encrypted",
    )
