import gzip
import importlib
import mmap

import numpy as np
import pytest
import torch
from conftest import ROOT, write_idx

from mnist_classification.data import SHA256, load_mnist, set_aside
from mnist_classification.errors import DataError

IMAGES = np.arange(20 * 784, dtype=np.uint32).astype(np.uint8).reshape(20, 28, 28)
LABELS = np.arange(20, dtype=np.uint8) % 10


@pytest.fixture
def folder(tmp_path):
    write_idx(tmp_path, "train", IMAGES, LABELS)
    write_idx(tmp_path, "t10k", IMAGES[:5], LABELS[:5])
    return tmp_path


def test_embedded_mnist_is_the_original(mnist):
    assert mnist.train.images.shape == (60000, 28, 28)
    assert mnist.test.images.shape == (10000, 28, 28)
    assert mnist.train.images.dtype == mnist.train.labels.dtype == np.uint8
    assert mnist.sha256 == SHA256
    assert mnist.train.labels[:8].tolist() == [5, 0, 4, 1, 9, 2, 1, 3]
    assert np.bincount(mnist.test.labels).tolist() == [
        *[980, 1135, 1032, 1010, 982],
        *[892, 958, 1028, 974, 1009],
    ]


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("layout", [".", "raw", "MNIST/raw", "FashionMNIST/raw"])
def test_reads_every_layout(tmp_path, compress, layout):
    write_idx(tmp_path / layout, "train", IMAGES, LABELS, compress)
    write_idx(tmp_path / layout, "t10k", IMAGES[:5], LABELS[:5], compress)
    data = load_mnist(tmp_path)
    np.testing.assert_array_equal(data.train.images, IMAGES)
    np.testing.assert_array_equal(data.test.labels, LABELS[:5])


def test_reads_names_with_a_dot(folder):
    for path in list(folder.iterdir()):
        path.rename(path.with_name(path.name.replace("-idx", ".idx")))
    assert len(load_mnist(folder).train) == 20


def test_environment_names_the_folder_and_an_argument_comes_first(folder, monkeypatch):
    monkeypatch.setenv("MNIST_DATA_DIR", str(folder))
    assert len(load_mnist().train) == 20
    monkeypatch.setenv("MNIST_DATA_DIR", "/nowhere")
    assert len(load_mnist(folder).train) == 20


def test_fingerprints_tell_data_sets_apart(folder, mnist):
    assert load_mnist(folder).fingerprint == load_mnist(folder).fingerprint != mnist.fingerprint


@pytest.mark.parametrize(("fold", "first"), [(None, 50_000), (5, 50_000), (0, 0), (2, 20_000)])
def test_holdout_is_a_block_of_the_training_set(mnist, fold, first):
    data = set_aside(mnist, 10_000, fold)
    assert (len(data.train), len(data.holdout), data.fold) == (50_000, 10_000, first // 10_000)
    np.testing.assert_array_equal(data.holdout.images, mnist.train.images[first : first + 10_000])
    rest = np.delete(np.arange(60_000), np.s_[first : first + 10_000])
    np.testing.assert_array_equal(data.train.labels, mnist.train.labels[rest])
    assert (data.test, data.sha256) == (mnist.test, mnist.sha256)


def test_a_holdout_has_as_many_images_of_both_groups_of_writers(mnist):
    """Students' images are thinner than employees': see `set_aside`."""
    held = set_aside(mnist, 10_000).holdout.images
    students, employees = held[::2].mean(), held[1::2].mean()
    assert students == pytest.approx(mnist.train.images[::2].mean(), abs=1.5)
    assert employees == pytest.approx(mnist.train.images[1::2].mean(), abs=1.5)
    assert employees - students > 2


def test_blocks_share_no_image_and_what_is_left_over_is_learned_from(folder):
    data = load_mnist(folder)
    blocks = [load_mnist(folder, holdout=6, fold=fold) for fold in range(3)]
    held = np.concatenate([block.holdout.images for block in blocks])
    np.testing.assert_array_equal(held, data.train.images[:18])
    for block in blocks:
        np.testing.assert_array_equal(block.train.images[-2:], data.train.images[-2:])
    assert load_mnist(folder, holdout=6).fold == 2


def test_no_holdout_is_the_data_as_it_is(folder):
    data = load_mnist(folder)
    assert set_aside(data, 0) is data
    assert (data.holdout, data.fold) == (None, None)


@pytest.mark.parametrize("holdout", [-1, 20, 1000])
def test_refuses_a_holdout_that_does_not_fit(folder, holdout):
    with pytest.raises(DataError, match=f"hold-out of {holdout} .*expected 0 to 19"):
        load_mnist(folder, holdout=holdout)


@pytest.mark.parametrize(
    ("holdout", "fold", "expected"),
    [(6, 3, "0 to 2"), (6, -1, "0 to 2"), (19, 1, "0 to 0"), (0, 0, "a hold-out beside it")],
)
def test_refuses_a_block_that_is_not_there(folder, holdout, fold, expected):
    with pytest.raises(DataError, match=f"got fold {fold}; expected {expected}"):
        load_mnist(folder, holdout=holdout, fold=fold)


def damage(folder, name, change):
    path = folder / name
    path.write_bytes(change(path.read_bytes()))


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("train-images-idx3-ubyte", lambda b: b[:5000], "5000 bytes; expected 15696.*truncated"),
        ("train-images-idx3-ubyte", lambda b: b + b"x", "15697 bytes; expected 15696"),
        ("train-images-idx3-ubyte", lambda b: b[:9], "9 bytes; expected"),
        ("train-images-idx3-ubyte", lambda b: b[:0], r"starts with bytes \(none\)"),
        ("train-images-idx3-ubyte", lambda b: b"\x93NUMPY" + b, "starts with bytes 934e554d"),
        ("train-images-idx3-ubyte", lambda b: gzip.compress(b)[:-20], "can't be read"),
        ("train-images-idx3-ubyte", lambda b: b"\x1f\x8b" + b, "can't be read"),
        ("train-labels-idx1-ubyte", lambda b: b[:-1] + b"\x0a", "label 10 at index 19"),
        (
            "t10k-labels-idx1-ubyte",
            lambda b: b[:7] + b"\x04" + b[8:-1],
            "4 labels for the 5 images",
        ),
    ],
)
def test_names_what_is_wrong_with_a_file(folder, name, change, message):
    damage(folder, name, change)
    with pytest.raises(DataError, match=message) as error:
        load_mnist(folder)
    assert name in str(error.value)
    assert "\n" not in str(error.value)


def test_names_swapped_files(folder):
    images, labels = folder / "train-images-idx3-ubyte", folder / "train-labels-idx1-ubyte"
    content = images.read_bytes()
    images.write_bytes(labels.read_bytes())
    labels.write_bytes(content)
    with pytest.raises(DataError, match="holds labels; expected images; are two files swapped"):
        load_mnist(folder)


def test_names_images_of_another_size(tmp_path):
    write_idx(tmp_path, "train", np.zeros((3, 32, 30), np.uint8), LABELS[:3])
    write_idx(tmp_path, "t10k", IMAGES[:5], LABELS[:5])
    with pytest.raises(DataError, match="images of 32×30 pixels; expected 28×28"):
        load_mnist(tmp_path)


def test_names_missing_files_and_folders(folder, tmp_path):
    (folder / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match="no t10k-labels-idx1-ubyte or"):
        load_mnist(folder)
    with pytest.raises(DataError, match="nowhere; expected a folder"):
        load_mnist(tmp_path / "nowhere")
    with pytest.raises(DataError, match="expected a folder"):  # as one that may not be looked into
        load_mnist(tmp_path / ("long" * 100))


def test_asks_which_of_two_data_sets_is_meant(tmp_path):
    for name in ("MNIST", "FashionMNIST"):
        write_idx(tmp_path / name / "raw", "train", IMAGES, LABELS)
        write_idx(tmp_path / name / "raw", "t10k", IMAGES, LABELS)
    with pytest.raises(DataError, match="several data sets"):
        load_mnist(tmp_path)


def test_even_training_images_are_the_students_and_every_block_has_both_groups(mnist):
    """What `set_aside` is built on: the students' strokes are thinner, in both sets."""

    def grey(images):
        return images.mean(dtype=np.float64)

    students, employees = grey(mnist.train.images[0::2]), grey(mnist.train.images[1::2])
    assert (round(students, 1), round(employees, 1)) == (31.3, 35.4)
    halves = grey(mnist.test.images[:5000]), grey(mnist.test.images[5000:])
    assert [round(half, 1) for half in halves] == [31.1, 36.4]
    for fold in range(6):
        held = set_aside(mnist, 10_000, fold).holdout.images
        assert grey(held[0::2]) + 2 < grey(held[1::2])


def test_data_sets_can_be_compared(mnist):
    assert mnist.train != mnist.test
    assert mnist == mnist


def base_of(array: np.ndarray) -> object:
    while isinstance(array, np.ndarray) and array.base is not None:
        array = array.base
    return array


def test_uncompressed_files_are_mapped_and_stay_so(folder, mnist):
    data = load_mnist(folder)
    held_out = load_mnist(folder, holdout=5)  # the last block, as by default
    first = load_mnist(folder, holdout=5, fold=0)
    tensor = torch.as_tensor(data.train.images)
    assert tensor.data_ptr() == data.train.images.ctypes.data  # PyTorch makes no copy either
    for part in (data.train, held_out.train, held_out.holdout, first.train, first.holdout):
        assert isinstance(base_of(part.images), mmap.mmap)
    assert not isinstance(base_of(mnist.train.images), mmap.mmap)
    data.train.images[0, 0, 0] ^= 255
    assert load_mnist(folder).sha256 == data.sha256  # the file is never written to


def test_every_fold_has_the_images_of_its_block(folder):
    whole = load_mnist(folder).train.images
    for fold in range(4):
        data = load_mnist(folder, holdout=5, fold=fold)
        held = slice(5 * fold, 5 * fold + 5)
        np.testing.assert_array_equal(data.holdout.images, whole[held])
        np.testing.assert_array_equal(data.train.images, np.delete(whole, held, axis=0))


def test_deformed_digits_are_the_seeds_and_go_on_where_they_were(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    make_deformed = importlib.import_module("make_deformed")
    monkeypatch.setattr(make_deformed, "AT_ONCE", 64)
    make_deformed.make(150, 3, tmp_path / "whole")
    data = load_mnist(tmp_path / "whole")
    original = load_mnist().train
    np.testing.assert_array_equal(data.train.labels, original.labels[:150])
    changed = np.abs(data.train.images.astype(int) - original.images[:150]).mean(axis=(1, 2))
    assert (changed > 1).mean() > 0.95  # of 255: nearly every image is another one
    assert changed.mean() < 60  # and still much like it

    def stop(*_):
        raise KeyboardInterrupt

    deform = make_deformed.deform
    turns = iter([deform, deform, stop])
    monkeypatch.setattr(make_deformed, "deform", lambda *of: next(turns)(*of))
    with pytest.raises(KeyboardInterrupt):
        make_deformed.make(150, 3, tmp_path / "again")
    assert not (tmp_path / "again" / "train-images-idx3-ubyte").exists()
    made = []
    monkeypatch.setattr(make_deformed, "deform", lambda *of: made.append(of[1]) or deform(*of))
    make_deformed.make(150, 3, tmp_path / "again")
    assert made == [2]
    assert load_mnist(tmp_path / "again").sha256 == data.sha256
    make_deformed.make(150, 4, tmp_path / "other")
    assert load_mnist(tmp_path / "other").sha256 != data.sha256
