"""The nets that features come from: what they know, what they keep, and what they must not depend on."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from advnets.config import DataConfig
from advnets.data import load
from advnets.data.dataset import Scaling, Split
from advnets.errors import InputError
from advnets.evaluation import features
from advnets.evaluation.features import feature_net

GREY = Scaling("unit", np.float64(0), np.float64(1))


@pytest.fixture(scope="module")
def digits():
    return load(DataConfig("digits"))


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def trained(digits, cache):
    """The classifier of digits, trained in full."""
    return feature_net(digits, cache=cache)


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(features, "_STEPS", 20)


def with_labels(data, change):
    parts = {part: getattr(data, part) for part in ("train", "validation", "test")}
    return dataclasses.replace(data, **{name: Split(part.x, change(part.labels)) for name, part in parts.items()})


def unlabelled(data):
    return with_labels(data, lambda labels: None)


def stacked(data, n=1500):
    """Three digits each as the channels of an image, as in stacked MNIST."""

    def stack(part):
        rows = np.random.default_rng(0).integers(len(part.x), size=(n, 3))
        return Split(part.x[rows, 0], part.labels[rows] @ np.array([100, 10, 1]))

    parts = {name: stack(getattr(data, name)) for name in ("train", "validation", "test")}
    return dataclasses.replace(data, name="stacked_mnist", fingerprint="stacked", **parts)


def images(shape, n=30, classes=3):
    """Noise with a brighter third of the columns, which tells the class."""
    random = np.random.default_rng(0)
    labels = np.arange(n) % classes
    x = random.random((n, *shape), dtype=np.float32) / 2
    for label in range(classes):
        third = slice(label * shape[2] // classes, (label + 1) * shape[2] // classes)
        x[labels == label, :, :, third] += 0.5
    split = Split(x, labels.astype(np.int64))
    data = load(DataConfig("digits"))
    return dataclasses.replace(data, name="made", train=split, test=split, fingerprint=f"{shape}", class_names=())


def test_digits_are_classified(digits, trained):
    right = trained.classify(digits.test.x) == digits.test.labels
    assert right.mean() > 0.95
    assert trained.describe() == {
        "kind": "classifier",
        "accuracy": pytest.approx(right.mean()),
        "n_test": 300,
        "dimension": 64,
        "seed": 2014,
        "version": features.VERSION,
    }
    json.dumps(trained.describe())


def test_features_are_what_the_classes_are_read_from(digits, trained):
    x = digits.test.x
    found = trained.extract(x)
    assert found.shape == (300, 64) and found.dtype == np.float64
    assert (found >= 0).all() and (found.std(0) > 0).sum() > 32, "rectified, and most of them alive"
    logits = trained.net.logits(torch.from_numpy(found).float())
    np.testing.assert_array_equal(logits.argmax(1).numpy(), trained.classify(x))


def test_features_of_one_class_are_closer_than_those_of_two(digits, trained):
    random = feature_net(unlabelled(digits))
    x, labels = digits.test.x, digits.test.labels
    for net in (trained, random):
        found = net.extract(x)
        means = np.stack([found[labels == label].mean(0) for label in range(10)])
        nearest = ((found[:, None] - means) ** 2).sum(2).argmin(1)
        assert (nearest == labels).mean() > 0.7, net.kind


@pytest.mark.parametrize("kind", ["classifier", "random"])
def test_dropout_is_off_even_if_the_net_was_left_in_training_mode(digits, trained, kind):
    net = trained if kind == "classifier" else feature_net(unlabelled(digits))
    x = digits.test.x[:50]
    before = net.extract(x)
    net.net.train()
    np.testing.assert_array_equal(net.extract(x), before)
    if kind == "classifier":
        labels = net.classify(x)
        net.net.train()
        np.testing.assert_array_equal(net.classify(x), labels)
    net.net.train()
    once, again = (net.net(torch.from_numpy(x), torch.Generator().manual_seed(seed)) for seed in (0, 1))
    assert not torch.equal(once, again), "the net has dropout, so that training mode would show"


def test_features_do_not_depend_on_what_else_is_extracted(digits, trained, monkeypatch):
    x = digits.test.x
    whole, labels = trained.extract(x), trained.classify(x)
    np.testing.assert_allclose(trained.extract(x[::-1])[::-1], whole, rtol=1e-4, atol=1e-4)
    monkeypatch.setattr(features, "_CHUNK", 7)
    np.testing.assert_allclose(trained.extract(x), whole, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(trained.classify(x), labels)
    np.testing.assert_allclose(trained.extract(x[5:6]), whole[5:6], rtol=1e-4, atol=1e-4)


def test_number_format_and_layout_of_examples_do_not_matter(digits, trained):
    x = digits.test.x[:20]
    locked = x.copy()
    locked.setflags(write=False)
    for same in (x.astype(np.float64), np.asfortranarray(x), locked):
        np.testing.assert_array_equal(trained.extract(same), trained.extract(x))


def test_training_is_reported_and_kept(digits, cache, trained, short):
    seen = []
    kept = feature_net(digits, cache=cache, report=lambda *now: seen.append(now))
    assert not seen, "nothing is trained"
    assert kept.describe() == trained.describe()
    np.testing.assert_array_equal(kept.extract(digits.test.x), trained.extract(digits.test.x))
    (folder,) = cache.iterdir()
    assert sorted(file.name for file in folder.iterdir()) == ["facts.json", "net.safetensors"]


def test_training_reports_every_step(digits, short, tmp_path):
    seen = []
    feature_net(digits, cache=tmp_path, report=lambda *now: seen.append(now))
    assert seen == [(step, 20) for step in range(1, 21)]


def cut(file):
    file.write_bytes(file.read_bytes()[:-100])


def flip(file):
    content = bytearray(file.read_bytes())
    content[-5] ^= 1
    file.write_bytes(content)


def garbage(file):
    file.write_text("{")


def forget(file):
    content = json.loads(file.read_text())
    del content["accuracy"]
    file.write_text(json.dumps(content))


def remove(file):
    file.unlink()


DAMAGES = [
    ("net.safetensors", cut),
    ("net.safetensors", flip),
    ("net.safetensors", remove),
    ("facts.json", garbage),
    ("facts.json", forget),
    ("facts.json", remove),
]


@pytest.mark.parametrize(("name", "damage"), DAMAGES, ids=lambda value: getattr(value, "__name__", value))
def test_what_is_damaged_in_the_cache_is_trained_again(digits, short, tmp_path, name, damage):
    first = feature_net(digits, cache=tmp_path)
    (folder,) = tmp_path.iterdir()
    damage(folder / name)
    seen = []
    again = feature_net(digits, cache=tmp_path, report=lambda *now: seen.append(now))
    assert len(seen) == 20, "trained again"
    np.testing.assert_array_equal(again.extract(digits.test.x), first.extract(digits.test.x))
    feature_net(digits, cache=tmp_path, report=lambda *now: seen.append(now))
    assert len(seen) == 20, "and repaired"
    assert [entry.name for entry in tmp_path.iterdir()] == [folder.name], "nothing is left aside"


def test_a_net_of_another_shape_in_the_cache_is_trained_again(digits, short, tmp_path):
    feature_net(digits, cache=tmp_path)
    fewer = with_labels(digits, lambda labels: labels % 5)  # with the same fingerprint
    assert feature_net(fewer, cache=tmp_path).net.logits.out_features == 5


@pytest.mark.parametrize("change", ["fingerprint", "version"])
def test_other_data_or_code_have_a_net_of_their_own(digits, short, tmp_path, monkeypatch, change):
    feature_net(digits, cache=tmp_path)
    if change == "version":
        monkeypatch.setattr(features, "VERSION", features.VERSION + 1)
    else:
        digits = dataclasses.replace(digits, fingerprint="0" * 64)
    feature_net(digits, cache=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_cache_that_cannot_be_written_keeps_nothing(digits, short, tmp_path):
    (tmp_path / "file").write_text("no folder")
    net = feature_net(digits, cache=tmp_path / "file" / "features")
    assert net.kind == "classifier"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_default_cache_is_the_user_s(digits, short, tmp_path, monkeypatch):
    monkeypatch.setattr("advnets.data.places.cache", lambda: tmp_path)
    feature_net(digits)
    assert [entry.name for entry in tmp_path.iterdir()] == ["features"]


def test_training_depends_on_nothing_global_and_leaves_it_alone(digits, short, tmp_path):
    threads = torch.get_num_threads()
    nets = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        torch.set_num_threads(seed)
        state = torch.get_rng_state()
        nets.append(feature_net(digits, cache=tmp_path / str(seed)))
        feature_net(digits, cache=tmp_path / str(seed))
        feature_net(unlabelled(digits))
        assert torch.equal(torch.get_rng_state(), state)
        assert torch.get_num_threads() == seed
    torch.set_num_threads(threads)
    assert all(torch.equal(a, b) for a, b in zip(*(net.net.state_dict().values() for net in nets), strict=True))


def test_training_works_where_gradients_are_off(digits, short, tmp_path):
    with torch.no_grad():
        off = feature_net(digits, cache=tmp_path / "off")
    on = feature_net(digits, cache=tmp_path / "on")
    np.testing.assert_array_equal(off.extract(digits.test.x), on.extract(digits.test.x))


SHAPES = [(1, 8, 8), (3, 8, 8), (1, 28, 28), (3, 32, 32), (1, 48, 48), (3, 64, 64), (1, 9, 17), (2, 64, 8)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_images_of_many_sizes_are_learnt(shape, tmp_path, monkeypatch):
    monkeypatch.setattr(features, "_STEPS", 20)
    monkeypatch.setattr(features, "_BATCH", 15)
    data = images(shape)
    net = feature_net(data, cache=tmp_path)
    assert net.accuracy > 0.9
    assert net.extract(data.test.x).shape == (30, 64)


def test_channels_of_stacked_digits_are_read_apart(digits, tmp_path, monkeypatch):
    monkeypatch.setattr(features, "_STEPS", 250)
    data = stacked(digits)
    net = feature_net(data, cache=tmp_path)
    assert net.net.logits.out_features == 10
    assert net.describe()["dimension"] == net.dimension == 192
    assert net.accuracy == pytest.approx((net.classify(data.test.x) == data.test.labels).mean())
    assert net.accuracy > 0.8

    x = data.test.x[:100]
    labels, found = net.classify(x), net.extract(x)
    assert labels.shape == (100,) and found.shape == (100, 192)
    turned = x[:, [2, 0, 1]]
    a, b, c = labels // 100, labels // 10 % 10, labels % 10
    np.testing.assert_array_equal(net.classify(turned), 100 * c + 10 * a + b)
    blocks = found.reshape(100, 3, 64)[:, [2, 0, 1]].reshape(100, 192)
    np.testing.assert_allclose(net.extract(turned), blocks, rtol=1e-4, atol=1e-4)

    kept = feature_net(data, cache=tmp_path)
    np.testing.assert_array_equal(kept.extract(x), found)


def test_images_without_labels_get_random_features(digits, tmp_path):
    data = unlabelled(digits)
    net, again = (feature_net(data, cache=tmp_path) for _ in range(2))
    assert net.describe() | {"kind": "random", "accuracy": None, "n_test": 0} == net.describe()
    found = net.extract(data.test.x)
    assert found.shape == (300, 64) and np.linalg.matrix_rank(found) > 32
    np.testing.assert_array_equal(found, again.extract(data.test.x))
    assert not list(tmp_path.iterdir()), "nothing to keep"
    with pytest.raises(InputError, match="no classes"):
        net.classify(data.test.x)


@pytest.mark.parametrize("name", ["gaussian", "ring", "grid", "swiss_roll"])
def test_vectors_get_random_rectifiers(name, tmp_path):
    data = load(DataConfig(name))
    net = feature_net(data, cache=tmp_path)
    assert net.kind == "random" and not list(tmp_path.iterdir())
    x = data.test.x[:200]
    found = net.extract(x)
    assert found.shape == (200, 64)
    # A twin by hand, on standardised columns.
    weight, bias = (p.detach().double().numpy() for p in net.net.features.parameters())
    first = data.train.x[:10_000].astype(np.float64)
    standard = (x - first.mean(0)) / first.std(0)
    np.testing.assert_allclose(found, np.maximum(standard @ weight.T + bias, 0), atol=1e-5)
    assert len(np.unique(found > 0, axis=0)) > 10, "the rectifiers bend at many places"


def test_unit_of_a_column_does_not_matter(tmp_path):
    data = load(DataConfig("ring"))
    scale, shift = np.array([1000.0, 0.01], np.float32), np.array([5.0, -3.0], np.float32)
    other = dataclasses.replace(data, train=Split(data.train.x * scale + shift))
    x = data.test.x[:100]
    np.testing.assert_allclose(
        feature_net(other).extract(x * scale + shift), feature_net(data).extract(x), rtol=1e-2, atol=1e-2
    )


def test_examples_without_label_are_left_out(digits, short, tmp_path):
    every_third = with_labels(digits, lambda labels: np.where(np.arange(len(labels)) % 3 == 0, labels, -1))
    alone = dataclasses.replace(
        digits,
        train=Split(digits.train.x[::3].copy(), digits.train.labels[::3]),
        test=Split(digits.test.x[::3].copy(), digits.test.labels[::3]),
    )
    mixed, pure = feature_net(every_third, cache=tmp_path / "mixed"), feature_net(alone, cache=tmp_path / "pure")
    assert mixed.describe() == pure.describe() and mixed.n_test == 100
    np.testing.assert_array_equal(mixed.extract(digits.test.x), pure.extract(digits.test.x))


@pytest.mark.parametrize("change", [lambda labels: np.zeros_like(labels), lambda labels: np.full_like(labels, -1)])
def test_fewer_than_two_classes_give_random_features(digits, tmp_path, change):
    assert feature_net(with_labels(digits, change), cache=tmp_path).kind == "random"


def test_constant_images_have_finite_features(digits, short, tmp_path):
    black = Split(np.zeros_like(digits.train.x), digits.train.labels)
    data = dataclasses.replace(digits, train=black, fingerprint="black")
    assert np.isfinite(feature_net(data, cache=tmp_path).extract(digits.test.x)).all()
    assert np.isfinite(feature_net(unlabelled(data)).extract(digits.test.x)).all()


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (np.zeros((3, 1, 8, 9)), "(3, 1, 8, 9)"),
        (np.zeros((3, 64)), "(1, 8, 8)"),
        (np.zeros((0, 1, 8, 8)), "one or more"),
        (np.full((3, 1, 8, 8), np.nan), "not finite"),
    ],
)
@pytest.mark.parametrize("method", ["extract", "classify"])
def test_refusals(trained, x, words, method):
    with pytest.raises(InputError) as caught:
        getattr(trained, method)(x)
    assert words in str(caught.value) and "\n" not in str(caught.value)
