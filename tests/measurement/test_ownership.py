"""A run's record is told from one that only names the same folders."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from bench.measurement.ownership import is_own, seal

RECORD: dict[str, Any] = {
    "datasets": {"folder:mine": {"folder": "/home/me/mine", "images": {"a.png": "0" * 64}}}
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of this user."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_own_run(cache: Path):
    """A sealed record is its maker's, on every later day; the key is for its owner alone."""
    record = RECORD | {"seal": seal(RECORD)}

    assert is_own(record)
    assert seal(RECORD) == record["seal"]
    assert [0o600] == [p.stat().st_mode & 0o777 for p in (cache / "agvae-bench").iterdir()]


def test_other_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """The same record on another machine is not its user's, whether or not that one has a key."""
    record = RECORD | {"seal": seal(RECORD)}
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))

    assert not is_own(record)
    seal(RECORD)
    assert not is_own(record)


@pytest.mark.parametrize("found", [None, "", "0" * 64, 7, ["x"], "\ud800"])
def test_no_seal(found: object):
    """A record without a seal, or with another, is nobody's."""
    seal(RECORD)

    assert not is_own(RECORD | {"seal": found})


@pytest.mark.parametrize(
    "change",
    [{"folder": "/home/me/private"}, {"images": {"b.png": "0" * 64}}, {"images": {}}],
)
def test_changed_record(change: dict[str, object]):
    """A seal fits one folder and its very pictures."""
    record = copy.deepcopy(RECORD) | {"seal": seal(RECORD)}
    record["datasets"]["folder:mine"] |= change

    assert not is_own(record)


def test_changed_words():
    """What named code of files is sealed as well, so that nobody puts other words on a page."""
    words = {"codec_words": {"mine": "mine.py:Mine"}, "metric_words": {}}
    record = RECORD | words | {"seal": seal(RECORD | words)}

    assert is_own(record)
    assert not is_own(record | {"codec_words": {"mine": "theirs.py:Mine"}})
    assert not is_own(record | {"metric_words": {"psnr": "cmd:psnr=curl"}})
    assert not is_own({key: value for key, value in record.items() if key != "codec_words"})


def test_no_place_for_a_key(cache: Path):
    """Where nothing can be written, a run has no seal; that is no failure."""
    cache.write_text("a file in the way")

    assert "" == seal(RECORD)
    assert not is_own(RECORD | {"seal": ""})
