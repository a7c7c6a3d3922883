"""bench.dataset.fetch against a server of our own: what arrives is verified, what fails is said."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Any

import pytest

from bench import registry
from bench.codec import Codec
from bench.dataset import download
from bench.dataset.fetch import Incomplete, fetch, fetch_any
from bench.errors import DatasetError, OutputError, UsageError
from bench.metrics import Weights
from bench.metrics.lpips import LpipsAlex

Site = Any  # the class stands in conftest.py, which tests cannot import


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def test_fetch_downloads_verifies_and_rests(site: Site, home: Path) -> None:
    """Three files arrive whole in the user cache; a second call asks for nothing."""
    site.publish(files=site.pictures)
    site.files = dict(site.pictures)
    told: list[str] = []

    first = fetch("three", progress=told.append)
    second = fetch("three")

    assert list(site.pictures) == first.downloaded
    assert list(site.pictures) == second.present
    assert [] == second.downloaded
    assert list(site.pictures) == site.asked
    assert site.pictures == {name: (home / "three" / name).read_bytes() for name in site.pictures}
    assert list(site.pictures) == names_in(home / "three")
    assert "three: 3 of 3 images, 0 new" == str(second)
    assert any("c.png" in words and "MB" in words for words in told)


def test_fetch_takes_what_is_asked_for(site: Site, home: Path) -> None:
    """Naming images downloads these alone; an unknown one is a usage error with a suggestion."""
    site.publish(files=site.pictures)
    site.files = dict(site.pictures)

    assert ["b.png"] == fetch("three", images=["b"]).downloaded
    assert ["b.png"] == site.asked
    assert ["b.png"] == names_in(home / "three")
    with pytest.raises(UsageError, match=r"dataset three has no image 'bb'.*Did you mean b"):
        fetch("three", images=["bb"])


def test_fetch_goes_to_the_data_dir(site: Site, home: Path, tmp_path: Path) -> None:
    """With --data-dir the files lie there, and files in any place are not fetched again."""
    site.publish(files=site.pictures)
    site.files = dict(site.pictures)
    (home / "three").mkdir(parents=True)
    (home / "three" / "a.png").write_bytes(site.pictures["a.png"])
    (tmp_path / "mine" / "trio").mkdir(parents=True)
    (tmp_path / "mine" / "trio" / "b.png").write_bytes(site.pictures["b.png"])

    report = fetch("three", tmp_path / "mine")

    assert ["a.png", "b.png"] == report.present
    assert ["c.png"] == report.downloaded == names_in(tmp_path / "mine" / "three")


def test_fetch_goes_on_after_a_failure(site: Site, home: Path) -> None:
    """What is not there costs itself only, and the next call fetches that alone."""
    site.publish(files=site.pictures)
    site.files = {name: data for name, data in site.pictures.items() if name != "b.png"}

    with pytest.raises(
        Incomplete, match=r"2 of 3 images available.*404.*put the files of"
    ) as caught:
        fetch("three")
    site.files["b.png"] = site.pictures["b.png"]
    site.asked.clear()

    assert str(home / "three") in str(caught.value)
    assert "\n" not in str(caught.value)
    assert ["b.png"] == fetch("three").downloaded == site.asked


def test_fetch_refuses_a_wrong_file(site: Site, home: Path) -> None:
    """A download with another hash is deleted; wanted and found are told."""
    site.publish(files=site.pictures)
    site.files = {**site.pictures, "b.png": site.png(99)}
    wanted, found = (
        hashlib.sha256(data).hexdigest() for data in (site.pictures["b.png"], site.png(99))
    )

    with pytest.raises(Incomplete, match=f"b.png: wanted sha256 {wanted}.*found {found}.*deleted"):
        fetch("three")

    assert ["a.png", "c.png"] == names_in(home / "three")


def test_fetch_refuses_a_login_page(site: Site, home: Path) -> None:
    """A network that answers every address with a page gives no image."""
    site.publish(files=site.pictures)
    site.files = dict.fromkeys(site.pictures, b"<html>Please log in</html>")

    with pytest.raises(
        Incomplete, match=r"0 of 3.*which does not decode; the download was deleted"
    ):
        fetch("three")

    assert [] == names_in(home / "three")


def test_fetch_accepts_other_files_of_the_same_pixels(site: Site, home: Path) -> None:
    """A recompressed PNG is the same image, and the report says that it is another file."""
    site.publish(files=site.pictures)
    site.files = {**site.pictures, "b.png": site.png(20, level=0)}

    report = fetch("three")

    assert ["b.png"] == report.recoded
    assert "other files, the same pixels: b.png" in str(report)
    assert site.png(20, level=0) == (home / "three" / "b.png").read_bytes()


def test_fetch_notices_a_cut_transfer(site: Site, home: Path) -> None:
    """A transfer that ends early leaves nothing behind."""
    site.publish(files=site.pictures)
    site.files = dict(site.pictures)
    site.cut = {"b.png"}

    with pytest.raises(Incomplete, match=r"2 of 3 images available.*b.png broke off"):
        fetch("three")

    assert ["a.png", "c.png"] == names_in(home / "three")


def test_fetch_notices_a_cut_transfer_of_unknown_hash(site: Site, home: Path) -> None:
    """Without a hash, too, half a file is no file."""
    site.publish(unknown=("a.png",))
    site.files = {"a.png": site.pictures["a.png"]}
    site.cut = {"a.png"}

    with pytest.raises(Incomplete, match="broke off"):
        fetch("three")

    assert [] == names_in(home / "three")


def test_fetch_with_the_server_down(site: Site, home: Path) -> None:
    """A host that refuses is asked once, not once a file."""
    site.url = "http://127.0.0.1:9"
    site.publish(files=site.pictures)  # the discard port: nobody listens

    with pytest.raises(
        Incomplete, match=r"0 of 3.*127.0.0.1:9 cannot be reached.*refused"
    ) as caught:
        fetch("three")

    assert 1 == str(caught.value).count("cannot be reached")
    assert not (home / "three").exists()


def test_fetch_does_not_wait_for_a_silent_host(
    site: Site, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look-up or connection that hangs, as behind some firewalls, ends after the timeout."""
    site.url = "http://192.0.2.1"
    site.publish(files=site.pictures)
    monkeypatch.setattr(download, "CONNECT_TIMEOUT_S", 0.2)
    asked: list[str] = []

    def hang(url: str, **_: object) -> None:
        asked.append(url)
        time.sleep(3)

    monkeypatch.setattr("requests.head", hang)
    start = time.monotonic()

    with pytest.raises(Incomplete, match=r"192.0.2.1 cannot be reached \(no answer within 0.2 s\)"):
        fetch("three")

    assert time.monotonic() - start < 2
    assert ["http://192.0.2.1/a.png"] == asked


def test_fetch_reports_unknown_hashes(site: Site, home: Path) -> None:
    """Files without a published hash are taken as found, and what was found is reported."""
    site.publish(files={"a.png": site.pictures["a.png"]}, unknown=("b.png",))
    site.files = dict(site.pictures)

    report = fetch("three")

    assert [site.entry("b.png", site.pictures["b.png"])] == [str(found) for found in report.found]
    assert "1 files have no known hash and were not checked" in str(report)
    assert ["b.png"] == [found.name for found in fetch("three").found]


def test_fetch_replaces_a_wrong_file_of_the_cache(site: Site, home: Path) -> None:
    """A file that went bad in our own cache is fetched again."""
    site.publish(files=site.pictures)
    site.files = dict(site.pictures)
    fetch("three")
    (home / "three" / "b.png").write_bytes(site.pictures["b.png"][:45])

    assert ["b.png"] == fetch("three").downloaded
    assert site.pictures["b.png"] == (home / "three" / "b.png").read_bytes()


def test_fetch_leaves_a_wrong_file_of_the_user(site: Site, home: Path, tmp_path: Path) -> None:
    """A wrong file in the user's folder is named and left as it is."""
    site.publish(files=site.pictures)
    (tmp_path / "mine" / "three").mkdir(parents=True)
    (tmp_path / "mine" / "three" / "b.png").write_bytes(site.png(99))

    with pytest.raises(DatasetError, match=r"mine/three/b.png is not the image.*Move it away"):
        fetch("three", tmp_path / "mine")

    assert site.png(99) == (tmp_path / "mine" / "three" / "b.png").read_bytes()
    assert [] == site.asked


def test_fetch_into_an_impossible_place(site: Site, home: Path, tmp_path: Path) -> None:
    """A folder that cannot be written is named."""
    site.publish(files=site.pictures)
    site.files = dict(site.pictures)
    (tmp_path / "file").touch()

    with pytest.raises(OutputError, match=r"cannot write .*file/three.*Not a directory"):
        fetch("three", tmp_path / "file")


def test_fetch_any_knows_the_sample() -> None:
    """The embedded sample needs no download and is verified in place."""
    report = fetch_any("sample")

    assert "sample: 4 of 4 images, 0 new" == str(report)
    assert [] == report.recoded


def test_fetch_any_asks_a_codec(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A codec is fetched by its own means; most have nothing to download."""
    weights = tmp_path / "weights"

    class Learned(Codec):
        name = "learned"

        @classmethod
        def fetch(cls, tell: Any) -> list[Path]:
            tell("learned: downloading")
            return [weights]

    found = registry.Found("learned", "here", Learned)
    plain = registry.discover()["jpeg"]
    monkeypatch.setattr(registry, "discover", lambda: {"learned": found, "jpeg": plain})
    told: list[str] = []

    assert f"learned: {weights}" == fetch_any("learned", progress=told.append)
    assert ["learned: downloading"] == told
    assert "jpeg: nothing to download" == fetch_any("jpeg")


def test_fetch_any_fetches_weights_of_a_metric(
    site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A metric says what it lacks; the file is verified, and put where it will be looked for."""
    site.files["net.pth"] = b"weights"
    path = tmp_path / "hub" / "net.pth"
    start = hashlib.sha256(b"weights").hexdigest()[:8]
    wanted = Weights(f"{site.url}/net.pth", path, start)
    monkeypatch.setattr(LpipsAlex, "wanted", lambda: None if path.exists() else wanted)
    told: list[str] = []

    assert f"lpips-alex: {path}" == fetch_any("lpips-alex", progress=told.append)
    assert b"weights" == path.read_bytes()
    assert "net.pth: 0.0 of 0.0 MB" == told[-1]
    assert "lpips_alex: nothing to download" == fetch_any("lpips_alex")


def test_fetch_any_suggests_a_name() -> None:
    """What nothing is called gets the near name of all that can be fetched."""
    with pytest.raises(UsageError, match=r"called 'lpips-ale'\. Did you mean lpips-alex\?.*kodak"):
        fetch_any("lpips-ale")


def test_fetch_suggests_a_name() -> None:
    """A mistyped dataset is a usage error that names the near one."""
    with pytest.raises(UsageError, match=r"unknown dataset 'kodac'. Did you mean kodak?"):
        fetch("kodac")


def test_a_folder_is_no_name(tmp_path: Path) -> None:
    """A folder that was named as a dataset is a usage error that says how to name it."""
    (tmp_path / "photos").mkdir()
    with pytest.raises(UsageError, match=r"is a folder, .* Write folder:.*photos\."):
        fetch(str(tmp_path / "photos"))


def test_fetch_finds_kodak(kodak_dir: Path) -> None:
    """The 24 Kodak images available are right, byte for byte, and nothing is downloaded."""
    report = fetch("kodak", kodak_dir.parent)

    assert 24 == len(report.present)
    assert ([], [], []) == (report.downloaded, report.recoded, report.found)


def test_a_kill_leaves_no_half_file(
    site: Site, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever stops a download, the file's own name is never seen with a part of it."""
    site.publish(files=site.pictures)
    site.files = dict(site.pictures)

    class Stop(BaseException):
        pass

    def stopped(*_: object, **__: object) -> None:
        assert [] == [n for n in names_in(home / "three") if not n.startswith(".")]
        raise Stop

    monkeypatch.setattr("bench.dataset.fetch.match", stopped)
    with pytest.raises(Stop):
        fetch("three")

    assert [] == names_in(home / "three")
