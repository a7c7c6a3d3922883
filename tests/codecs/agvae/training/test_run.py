"""Training lowers the loss, stops and continues exactly, and keeps what it has."""

from __future__ import annotations

import csv
from dataclasses import replace

import pytest
import torch

from bench.codecs.agvae.training import state, trainer
from bench.codecs.agvae.training.losses import Loss
from bench.codecs.agvae.training.photographs import read
from bench.codecs.agvae.training.run import Run, Session, prepare
from bench.codecs.agvae.training.schedule import Budget
from bench.errors import DatasetError, UsageError

pytestmark = pytest.mark.slow


def log(options) -> list[list[str]]:
    """Return the rows of a run's log without its times."""
    with options.log.open(newline="") as file:
        return [[value for i, value in enumerate(row) if i != 1] for row in csv.reader(file)]


def test_loss_falls_on_real_crops(options):
    """Forty steps on photographs bring loss and distortion down."""
    run = Run(options(steps=40), Session())
    assert run.train()

    rows = [dict(zip(log(run.options)[0], row, strict=True)) for row in log(run.options)[1:]]
    first, last = rows[0], rows[-1]
    assert 40 == len(rows) == int(last["step"])
    assert float(last["loss"]) < 0.8 * float(first["loss"])
    for level in range(8):
        assert float(last[f"psnr_db_{level}"]) > float(first[f"psnr_db_{level}"]) + 1
        assert float(last[f"bpp_{level}"]) > 0
    assert 0 < float(last["rate"]) < float(rows[20]["rate"])


@pytest.mark.parametrize("variant", ["gain-asym", "nogain-gauss"])
def test_resumed_equals_uninterrupted(options, variant):
    """Losses, rates and weights are the same, bit for bit, whether a run was paused or not."""
    more = {"variant": variant, "level": None if variant.startswith("gain") else 4}
    whole = Run(options("whole", steps=14, **more), Session())
    assert whole.train()

    sessions = 0
    while not (part := Run(options("parts", steps=14, **more), Session(pause_at_s=0.0))).train():
        sessions += 1
    assert 1 == sessions
    assert 14 == part.step == whole.step
    assert log(whole.options) == log(part.options)
    found, expected = part.trainer.tensors(), whole.trainer.tensors()
    assert all(torch.equal(tensor, found[name]) for name, tensor in expected.items())


def test_interrupted(options):
    """Ctrl-C keeps the very step it came at."""

    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    run = Run(options(steps=50), Session(tell=interrupt))
    with pytest.raises(KeyboardInterrupt):
        run.train()

    assert 10 == Run(options(steps=50), Session()).step


def test_a_lost_session_is_repeated(options):
    """Rows of steps that no state holds are dropped from the log when they are done again."""
    run = Run(options(steps=20), Session(pause_at_s=0.0))
    assert not run.train()
    with run.options.log.open("a") as file:
        file.write("15,1.0" + ",0" * 25 + "\n")

    assert Run(options(steps=20), Session()).train()

    assert [str(step) for step in range(1, 21)] == [row[0] for row in log(run.options)[1:]]


@pytest.mark.parametrize(
    ("more", "named"), [({"seed": 1}, "seed"), ({"variant": "gain-gauss"}, "variant")]
)
def test_a_state_of_another_run_is_refused(options, more, named):
    """Other options under the same name are an error that says which."""
    Run(options(), Session()).save()

    with pytest.raises(DatasetError, match=f"its {named} is"):
        Run(options(**more), Session())
    assert not replace(options(), budget=Budget(99)).fixed().get("budget")


def test_divergence_keeps_the_last_state(options, monkeypatch):
    """When the loss is no number any more, the run stops and its last state stays."""
    run = Run(options(steps=4), Session())
    run.save()
    kept = state.load(run.options.state)[1]

    def broken(_: object, x: torch.Tensor) -> Loss:
        total = (x * torch.nan).mean().requires_grad_()
        return Loss(total, *(torch.zeros(8) for _ in range(3)))

    monkeypatch.setattr(trainer.Trainer, "_loss_of", broken)
    other = Run(options(steps=4), Session())
    for p in other.trainer.net.parameters():
        p.register_hook(lambda g: g)
    monkeypatch.setattr(other.trainer._optimiser, "step", lambda: torch.tensor(torch.nan))
    with pytest.raises(DatasetError, match="diverged"):
        other.train()

    assert kept == state.load(run.options.state)[1]


def test_validation_is_never_trained_on(options, photo_dir):
    """Held-out or given pictures are taken out of the training data."""
    every = read([photo_dir])
    given = replace(options(), validation=(photo_dir / "ihc0.png", photo_dir / "ihc1.png"))

    for one in (options(), given):
        training, validation = prepare(one)
        assert 2 == len(validation.members)
        hashes = {p.rgb_sha256 for p in (*training.members, *validation.members)}
        assert 6 == len(hashes) == len(every.members)
    assert {"ihc0.png", "ihc1.png"} == {p.name for p in validation.members}
    with pytest.raises(DatasetError, match="smaller than a crop of 256"):
        prepare(options(crop=256))


@pytest.mark.parametrize(
    ("more", "match"),
    [
        ({"variant": "gain"}, "Known: gain-asym"),
        ({"preset": "huge"}, "Known: base, small"),
        ({"level": 3}, "does not go with gain-asym"),
        ({"variant": "nogain-asym"}, "--level 0 to 7, found none"),
        ({"variant": "nogain-asym", "level": 8}, "found 8"),
        ({"crop": 100}, "multiple of 64"),
        ({"metric": "ms-ssim"}, "crops of 161"),
        ({"batch": 12}, "multiple of that, found 12"),
        ({"storage_bits": 4}, "8 to 12"),
        ({"rate": 0}, "--rate must lie in"),
        ({"decay": 1.5}, "--decay in"),
    ],
)
def test_options_are_checked(options, more, match):
    """What cannot be trained is refused before anything is read."""
    with pytest.raises(UsageError, match=match):
        options(**more)


def test_variants_begin_alike_and_see_the_same_crops(options):
    """On equal terms: the same weights, the same pictures, whatever the variant draws beside."""
    runs = [
        Run(options(f"v{i}", variant=variant, level=level), Session())
        for i, (variant, level) in enumerate(
            [("gain-asym", None), ("gain-gauss", None), ("nogain-asym", 4)]
        )
    ]
    weights = [run.trainer.average() for run in runs]

    for run in runs[1:]:
        step = torch.tensor(3)
        assert torch.equal(runs[0].trainer._crops(step), run.trainer._crops(step))
    for other in weights[1:]:
        assert all(torch.equal(weights[0][name], tensor) for name, tensor in other.items())


def test_rounded_weights_are_seen_and_moved(options):
    """With rounding, the network sees 8-bit weights while gradients reach the hidden ones."""
    run = Run(options(storage_bits=8), Session())
    run.trainer.set_rate(1.0, rounding=True)
    shown = run.trainer._shown()
    name = "g_s.0.0.weight"
    plain = dict(run.trainer.net.named_parameters())[name]

    assert len(shown[name][0].unique()) <= 255
    assert 0 < (shown[name] - plain).abs().max() < 0.51 * plain.abs().max() / 127
    before = plain.detach().clone()
    run.trainer.step()
    assert not torch.equal(before, plain)
    run.trainer.set_rate(1.0)
    assert torch.equal(plain, run.trainer._shown()[name])


def test_the_loss_is_one_graph(options):
    """Nothing in the loss breaks the compiler's graph, so a GPU runs all of it compiled."""
    plain, traced = (Run(options(name), Session()).trainer for name in ("plain", "traced"))
    torch.compiler.reset()
    traced._loss = torch.compile(traced._loss_of, dynamic=False, fullgraph=True, backend="eager")
    begin = {name: tensor.clone() for name, tensor in plain.tensors().items()}
    for one in (plain, traced):
        one.restore(begin)
        one.set_rate(1.0, rounding=True)
        one.step()

    assert plain.report().loss == pytest.approx(traced.report().loss, rel=1e-3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_fused_steps_train_like_plain_ones(options):
    """On a GPU, compiled and captured steps bring the loss down as eager ones do."""
    losses = []
    for name, fuse in (("fused", True), ("plain", False)):
        run = Run(options(name, steps=60, batch=16), Session(device="cuda", fuse=fuse))
        assert run.train()
        losses.append(float(log(run.options)[-1][2]))

    assert losses[1] == pytest.approx(losses[0], rel=0.15)
