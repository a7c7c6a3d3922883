"""Whose run it was: a seal on a run's record that only the user who made the run can set.

A record names folders of its maker's machine. Pictures of such a folder are shown to the maker, and
to nobody to whom a stranger sent a record with the same path in it. So a run seals the folders and
the hashes of their pictures with a key that never leaves the user's cache, and with them what named
codecs and metrics of files, which a page shows in commands. Results may be published with their
seal: it fits nothing but those very pictures in those very folders, and those very words.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Mapping
from typing import Any

from bench.files import user_cache


def seal(record: Mapping[str, Any]) -> str:
    """Return the seal of a run's datasets; empty where no key can be kept."""
    key = _key(make=True)
    return _seal(record, key) if key else ""


def is_own(record: Mapping[str, Any]) -> bool:
    """Whether this user made the run: its seal fits its datasets and this user's key."""
    key, found = _key(), record.get("seal")
    return (
        bool(key)
        and isinstance(found, str)
        and hmac.compare_digest(found.encode("utf-8", "replace"), _seal(record, key).encode())
    )


def _seal(record: Mapping[str, Any], key: bytes) -> str:
    datasets = record.get("datasets") or {}
    places = {name: [about.get("folder"), about.get("images")] for name, about in datasets.items()}
    words = [record.get(key) or {} for key in ("codec_words", "metric_words")]
    sealed = [places, *words] if any(words) else places
    return hmac.new(key, json.dumps(sealed, sort_keys=True).encode(), hashlib.sha256).hexdigest()


def _key(*, make: bool = False) -> bytes:
    """Return this user's key, made on the first run; empty where there is none."""
    path = user_cache() / "seal.key"
    with contextlib.suppress(OSError):
        if make and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            new = path.with_name(f"{path.name}.{os.getpid()}")
            new.touch(mode=0o600)
            new.write_bytes(secrets.token_bytes(32))
            with contextlib.suppress(FileExistsError):  # of two first runs, one makes the key
                os.link(new, path)
            new.unlink()
        key = path.read_bytes()
        return key if len(key) == 32 else b""
    return b""
