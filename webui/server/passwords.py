"""Passwords as they are kept: never themselves, only argon2id hashes of them."""

from __future__ import annotations

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

MARK = "$argon2id$"
_HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
"""OWASP's recommendation for argon2id, 2023: 19 MiB, two passes."""
NOBODYS = "$argon2id$v=19$m=19456,t=2,p=1$snRRUzQCZLkSs6Uit3wu/A$ZyP/hra/l1I+PeA4TL4c5y30A5u/GtP1RXluoo2ABdY"
"""What is looked at for an unknown name, so that it takes as long as a known one."""


def hashed(password: str) -> str:
    """What is kept of a password."""
    return _HASHER.hash(password)


def fits(kept: str, password: str) -> bool:
    """Whether this is the password of which `kept` was made. Takes some 30 ms, on purpose."""
    try:
        return _HASHER.verify(kept, password)
    except (VerificationError, InvalidHashError):
        return False
