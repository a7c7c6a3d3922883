"""LPIPS: the package's own values from weights found on this machine, and nothing downloaded."""

from __future__ import annotations

import hashlib
import http.server
import socket
import subprocess
import sys
import threading
import time
import warnings
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image as PILImage

from bench import metrics
from bench.dataset.fetch import fetch_weights
from bench.errors import DatasetError, MetricError
from bench.metrics import Undefined, _lpips_network
from bench.metrics import lpips as lpips_net

ALEX = "alexnet-owt-7be5be79.pth"


def jpeg(pixels, quality):
    """Return ``pixels`` after JPEG."""
    buffer = BytesIO()
    PILImage.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return np.array(PILImage.open(buffer))


def tensor(pixels):
    """Return pixels as the package's own im2tensor does."""
    scaled = pixels[:, :, :, None].transpose(3, 2, 0, 1) / (255.0 / 2.0) - 1.0
    return torch.tensor(scaled, dtype=torch.float32)


def theirs(net, path):
    """Return lpips.LPIPS with the backbone of ``path``, put in module by module."""
    import lpips
    import torchvision

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = lpips.LPIPS(net=net, pnet_rand=True, verbose=False)
        build = {"alex": torchvision.models.alexnet, "squeeze": torchvision.models.squeezenet1_1}
        backbone = build[net](weights=None)
    backbone.load_state_dict(torch.load(path), strict=False)
    for part in model.net.children():
        for index in dict(part.named_children()):
            part._modules[index] = backbone.features[int(index)]
    return model.eval()


@pytest.fixture(scope="session")
def squeeze(weights_dir):
    """The metric lpips_squeeze, where its backbone is available."""
    if lpips_net.backbone_path("squeeze") is None:
        pytest.skip(f"needs lpips/squeezenet1_1_features_torchvision.pth in {weights_dir}")
    return metrics.create("lpips_squeeze")


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """A machine without weights: (BENCH_WEIGHTS/lpips, torch hub's cache), both empty."""
    monkeypatch.setenv("BENCH_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    folders = tmp_path / "weights" / "lpips", tmp_path / "torch" / "hub" / "checkpoints"
    folders[0].mkdir(parents=True)
    return folders


def expect_sha256(monkeypatch, net, name, data):
    """Let ``data`` pass for the genuine file ``name`` of ``net``."""
    start = hashlib.sha256(data).hexdigest()[:8]
    monkeypatch.setitem(lpips_net._FILES, net, {name: start})


@pytest.fixture
def random_alex(nowhere, monkeypatch):
    """A stand-in for AlexNet's weights, random, under torchvision's names."""
    import torchvision

    with torch.random.fork_rng():
        torch.manual_seed(0)
        features = torchvision.models.alexnet(weights=None).features.state_dict()
    buffer = BytesIO()
    torch.save({f"features.{key}": value for key, value in features.items()}, buffer)
    expect_sha256(monkeypatch, "alex", ALEX, buffer.getvalue())
    path = nowhere[0] / ALEX
    path.write_bytes(buffer.getvalue())
    return path


def test_equals_the_package(squeeze, photo, kodim):
    """lpips_squeeze equals lpips.LPIPS(net="squeeze") to 1e-6 on real images."""
    judge = theirs("squeeze", lpips_net.backbone_path("squeeze"))
    for reference in (photo, kodim(5), np.ascontiguousarray(kodim(20)[:161, :163])):
        for quality in (3, 60):
            decoded = jpeg(reference, quality)
            with torch.no_grad():
                value = judge(tensor(reference), tensor(decoded)).item()

            assert value == pytest.approx(squeeze(reference, decoded), rel=0, abs=1e-6)


def test_alex_equals_the_package(random_alex, photo):
    """lpips_alex equals lpips.LPIPS(net="alex") with the same backbone to 1e-6."""
    metric = metrics.create("lpips_alex")
    decoded = jpeg(photo, 20)
    with torch.no_grad():
        value = theirs("alex", random_alex)(tensor(photo), tensor(decoded)).item()

    assert value > 1e-3
    assert value == pytest.approx(metric(photo, decoded), rel=0, abs=1e-6)


def test_the_packages_are_not_imported(squeeze, photo, monkeypatch):
    """lpips imports torchvision, and that PyTorch's compiler: 1.5 s for each process."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "lpips"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torchvision", None)
    lpips_net._model.cache_clear()

    assert 0 < squeeze(photo[:64, :64], jpeg(photo[:64, :64], 20)) < 1
    assert "lpips" not in sys.modules


def test_heads_that_are_missing_are_named(monkeypatch):
    """A package that lost its files is an error of the metric, in one line."""
    monkeypatch.setattr(_lpips_network, "find_spec", lambda _: None)
    with pytest.raises(MetricError, match=r"needs weights/v0.1/alex.pth of the package lpips"):
        _lpips_network._heads_file("alex")


def test_documented_value(squeeze):
    """The example in torchmetrics' documentation gives its 0.1008."""
    model = lpips_net._model("squeeze", lpips_net.backbone_path("squeeze"))
    with torch.random.fork_rng():
        torch.manual_seed(123)
        first, second = (torch.rand(10, 3, 100, 100) * 2 - 1 for _ in range(2))
    with torch.no_grad():
        values = [
            lpips_net.distance(model, map(lpips_net._unit, model.features(a[None])), b[None])
            for a, b in zip(first, second, strict=True)
        ]

    assert pytest.approx(0.1008, abs=5e-5) == np.mean(values)


def test_identical_images(squeeze, photo):
    """Equal images are at distance 0, exactly."""
    assert squeeze(photo, photo.copy()) == 0


def test_worse_is_larger(squeeze, photo):
    """The distance grows as JPEG quality falls, and the metric says lower is better."""
    state = squeeze.prepare(photo)
    values = [squeeze.score(state, jpeg(photo, quality)) for quality in (90, 50, 20, 5)]

    assert sorted(values) == values
    assert not squeeze.higher_is_better


def test_large_images_take_the_frugal_path(squeeze, photo, monkeypatch):
    """Recomputing the reference's features, as for very large images, changes no bit."""
    decoded = jpeg(photo, 30)
    usual = squeeze(photo, decoded)
    monkeypatch.setattr(lpips_net, "_KEEP_PIXELS", 0)

    assert usual == squeeze(photo, decoded)


def test_smallest_squeeze(squeeze, photo):
    """17 pixels a side is the least that SqueezeNet takes; under it the metric is undefined."""
    least = np.ascontiguousarray(photo[:17, :17])

    assert squeeze(least, ~least) > 0
    for shape in ((16, 16), (16, 400), (400, 16), (1, 1)):
        with pytest.raises(Undefined, match=f"17 pixels a side, found {shape[1]}x{shape[0]}"):
            squeeze.prepare(np.resize(photo, (*shape, 3)))


@pytest.mark.usefixtures("random_alex")
def test_smallest_alex(photo):
    """31 pixels a side is the least that AlexNet takes; under it the metric is undefined."""
    metric = metrics.create("lpips_alex")
    least = np.ascontiguousarray(photo[:31, :31])

    assert metric(least, ~least) > 0
    with pytest.raises(Undefined, match="31 pixels a side"):
        metric.prepare(np.ascontiguousarray(photo[:30, :31]))


@pytest.mark.parametrize(("net", "side"), [("alex", 30), ("squeeze", 16)])
def test_limits_are_not_too_strict(net, side):
    """One pixel less than the stated limit does crash the package."""
    import lpips

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = lpips.LPIPS(net=net, pnet_rand=True, verbose=False)

    assert side + 1 == metrics.discover()[f"lpips_{net}"].cls.smallest_px
    with pytest.raises(RuntimeError, match="too small"):
        model(torch.zeros(1, 3, side, 99), torch.zeros(1, 3, side, 99))


def test_other_shape_is_refused(squeeze, photo):
    """A decoded image of another shape is an error, not a broadcast."""
    with pytest.raises(MetricError, match="different shapes"):
        squeeze(photo, photo[:-1])


def test_leaves_torch_alone(random_alex, photo):
    """Loading a net neither draws from torch's generator nor changes its threads."""
    state, threads = torch.random.get_rng_state(), torch.get_num_threads()
    metric = metrics.create("lpips_alex")
    metric(photo, ~photo)

    assert random_alex.is_file()
    assert torch.equal(state, torch.random.get_rng_state())
    assert threads == torch.get_num_threads()


def test_two_spellings_are_one_metric(squeeze):
    """A hyphen means an underscore, so that a plan scores the metric once."""
    assert squeeze.name == metrics.create("lpips-squeeze").name


@pytest.mark.usefixtures("random_alex")
def test_alex_is_preferred():
    """Where AlexNet is available, lpips means lpips_alex."""
    assert metrics.create("lpips").column == "lpips_alex"


def test_squeeze_otherwise(nowhere, monkeypatch):
    """Without AlexNet, lpips means lpips_squeeze; torch hub's cache is searched too."""
    name = "squeezenet1_1-b8a52dc0.pth"
    expect_sha256(monkeypatch, "squeeze", name, b"weights")
    nowhere[1].mkdir(parents=True)
    (nowhere[1] / name).write_bytes(b"weights")

    assert metrics.create("lpips").name == "lpips_squeeze"
    assert nowhere[1] / name == lpips_net.backbone_path("squeeze")


def test_nothing_at_hand(nowhere):
    """Without weights the error says what is missing, where it was sought, and the remedy."""
    with pytest.raises(MetricError) as caught:
        metrics.create("lpips")
    text = str(caught.value)

    assert ALEX in text
    assert "squeezenet1_1_features_torchvision.pth" in text
    assert str(nowhere[0]) in text
    assert str(nowhere[1]) in text
    assert "bench fetch lpips-alex" in text
    assert "\n" not in text


def test_named_net_not_at_hand(nowhere):
    """A net that was asked for by name is never replaced by another."""
    assert not list(nowhere[0].iterdir())
    with pytest.raises(MetricError, match=ALEX):
        metrics.create("lpips_alex")


def test_damaged_weights(nowhere):
    """A truncated file is not used, and the error names it."""
    (nowhere[0] / ALEX).write_bytes(b"half a downlo")

    assert lpips_net.backbone_path("alex") is None
    with pytest.raises(MetricError, match=r"damaged: .*alexnet"):
        metrics.create("lpips")


def test_create_needs_no_torch(squeeze):
    """`bench list` and `bench tables` may ask for the metric without importing torch."""
    code = (
        "import sys; from bench.metrics import create; create('lpips_squeeze');"
        "sys.exit('torch' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.fixture
def server(monkeypatch):
    """A web server on this machine: set ``data``, get ``url``."""
    monkeypatch.delenv("BENCH_OFFLINE", raising=False)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(len(self.server.data)))
            self.end_headers()
            self.wfile.write(self.server.data)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.data = b""
        running.url = f"http://127.0.0.1:{running.server_port}/{ALEX}"
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def test_fetch(nowhere, monkeypatch, server):
    """AlexNet is downloaded to torch hub's cache once and verified; its progress is told."""
    server.data = bytes(3 << 20)
    monkeypatch.setattr(lpips_net, "ALEX_URL", server.url)
    expect_sha256(monkeypatch, "alex", ALEX, server.data)
    told = []
    path = fetch_weights(lpips_net.LpipsAlex, told.append)

    assert nowhere[1] / ALEX == path
    assert server.data == path.read_bytes()
    assert f"{ALEX}: 3.1 of 3.1 MB" == told[-1]
    assert [ALEX] == [entry.name for entry in nowhere[1].iterdir()]
    assert lpips_net.LpipsAlex.wanted() is None
    assert fetch_weights(lpips_net.LpipsAlex, told.append) is None


def test_fetch_of_the_wrong_file(nowhere, monkeypatch, server):
    """A download with the wrong sha256 is thrown away."""
    server.data = b"<html>please log in</html>"
    monkeypatch.setattr(lpips_net, "ALEX_URL", server.url)
    with pytest.raises(DatasetError, match=r"wrong sha256: wanted 7be5be79\.\.\., found"):
        fetch_weights(lpips_net.LpipsAlex, str)

    assert not list(nowhere[1].glob("*"))


def test_fetch_without_network(nowhere, monkeypatch):
    """Without network the error comes at once, with the folder to put the file in by hand."""
    monkeypatch.delenv("BENCH_OFFLINE", raising=False)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/{ALEX}"
    monkeypatch.setattr(lpips_net, "ALEX_URL", url)
    started = time.monotonic()
    with pytest.raises(DatasetError, match="could not be downloaded") as caught:
        fetch_weights(lpips_net.LpipsAlex, str)

    assert time.monotonic() - started < 5
    assert str(nowhere[1]) in str(caught.value)
    assert not list(nowhere[1].glob("*"))


def test_offline_nothing_is_asked(nowhere, monkeypatch, server):
    """BENCH_OFFLINE keeps every download away from the network."""
    monkeypatch.setenv("BENCH_OFFLINE", "1")
    monkeypatch.setattr(lpips_net, "ALEX_URL", server.url)
    with pytest.raises(DatasetError, match="BENCH_OFFLINE is set"):
        fetch_weights(lpips_net.LpipsAlex, str)
