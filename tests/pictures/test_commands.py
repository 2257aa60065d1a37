"""The `mnist visualize` commands, on real data; their HTML page is in test_page.py."""

import json
import shutil

import pytest
from conftest import ROOT, assert_one_line_error, run_command
from PIL import Image
from study.conftest import result_with

from mnist_classification.data import load_mnist
from mnist_classification.pictures.page import PAGE_MARK, TEMPLATE
from mnist_classification.pictures.plots import plot_curves
from mnist_classification.study.results import save_result

from .conftest import TSNE_FILES, assert_picture


@pytest.mark.parametrize("name", ["confusion", "mistakes", "filters"])
def test_pictures_of_a_model(visualize, run, tmp_path, name):
    result = visualize(name, run, "--output", tmp_path / "new" / "folder")
    path = tmp_path / "new" / "folder" / f"{name}.png"
    assert (result.returncode, result.stdout) == (0, f"{path}\n")
    assert_picture(path)


def test_shipped_model_needs_no_training(visualize, tmp_path):
    result = visualize("tsne", "--num-samples", 100, "--perplexity", 10, "--output", tmp_path)
    assert result.returncode == 0
    for name in TSNE_FILES:
        assert str(tmp_path / name) in result.stdout.splitlines()
        assert_picture(tmp_path / name)


def test_augmentations(visualize, tmp_path):
    assert visualize("augmentations", "--output", tmp_path).returncode == 0
    assert_picture(tmp_path / "augmentations.png")


@pytest.fixture(scope="module")
def results(small_dir, run, tmp_path_factory):
    """A folder of results as experiments write them: rows of two seeds."""
    folder = tmp_path_factory.mktemp("results") / "mine"
    history = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    data = load_mnist(small_dir)
    facts = {"data": data.fingerprint, "history": history}
    for row in ("vanilla", "sgd", "half-epoch", "two-epochs"):
        for seed in (0, 1):
            result = result_with(row, seed, 3 + seed, data.test.labels, **facts)
            save_result(folder / f"{row}-seed{seed}.json", result)
    return folder


@pytest.mark.parametrize("name", ["ladder", "frontier", "curves"])
def test_pictures_of_results(visualize, results, run, tmp_path, name):
    sources = [results, run] if name == "curves" else [results]
    result = visualize(name, *sources, "--output", tmp_path)
    assert (result.returncode, result.stdout) == (0, f"{tmp_path / name}.png\n"), result.stderr
    assert_picture(tmp_path / f"{name}.png")


# What a user can get wrong


def test_missing_model_is_one_line(visualize, tmp_path):
    result = visualize("confusion", tmp_path / "none", "--output", tmp_path)
    assert_one_line_error(result, "no model here", "mnist train")


def test_foreign_model_is_one_line(visualize, tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    (tmp_path / "model.safetensors").write_bytes(b"")
    result = visualize("tsne", "--model", tmp_path, "--output", tmp_path)
    assert_one_line_error(result, "not a model of ours")


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["tsne", "--num-samples", 50], ["50 samples", "perplexity 30", "at least 91"]),
        (["tsne", "--num-samples", 501], ["501 samples", "at most 500"]),
        (["tsne", "--perplexity", 1], ["perplexity 1", "2 or more"]),
        (["tsne", "--perplexity", "inf"], ["perplexity inf", "2 or more"]),
        (["tsne", "--perplexity", "nan"], ["perplexity nan", "2 or more"]),
        (["tsne", "--seed", -1], ["got seed -1", "2^32 - 1"]),
        (["filters", "--image", 500], ["image 500", "0 to 499"]),
        (["filters", "--image", -1], ["image -1", "0 to 499"]),
        (["mistakes", "--count", 0], ["count 0", "1 or more"]),
    ],
)
def test_numbers_out_of_range_are_one_line(visualize, run, tmp_path, arguments, parts):
    result = visualize(*arguments, "--model", run, "--output", tmp_path)
    assert_one_line_error(result, *parts)
    assert list(tmp_path.iterdir()) == []


def test_a_seed_that_torch_cannot_take_is_one_line(visualize, tmp_path):
    result = visualize("augmentations", "--seed", 2**64, "--output", tmp_path)
    assert_one_line_error(result, "got seed", "2^63 - 1")


def test_recipe_without_augmentation_is_one_line(visualize, tmp_path):
    result = visualize("augmentations", "decay", "--output", tmp_path)
    assert_one_line_error(result, "does not augment", "decay+shift-pixels=2")


@pytest.mark.parametrize("command", ["curves", "ladder", "frontier"])
def test_folder_without_results_is_one_line(visualize, tmp_path, command):
    assert_one_line_error(visualize(command, tmp_path, "--output", tmp_path), str(tmp_path))


def test_damaged_metrics_are_one_line(visualize, tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"epoch": 1, "train_lo')
    result = visualize("curves", tmp_path, "--output", tmp_path)
    assert_one_line_error(result, "metrics.jsonl", "damaged")


@pytest.mark.parametrize(
    "arguments",
    [["tsne", "--num-samples", 100], ["confusion"], ["mistakes"], ["filters"], ["augmentations"]],
)
def test_unwritable_folder_is_one_line(visualize, tmp_path, arguments):
    (tmp_path / "file").write_text("")
    result = visualize(*arguments, "--output", tmp_path / "file" / "plots")
    assert_one_line_error(result, "can't make folder", "--output")


def test_what_most_seeds_misread_is_drawn(tmp_path):
    row = ROOT / "results/runs/eight-epochs+precision=bfloat16"
    drawn = run_command("visualize", "mistakes", row, "--count", 3, "--output", tmp_path)
    assert drawn.returncode == 0, drawn.stderr
    assert_picture(tmp_path / "shared-mistakes.png")
    folds = ROOT / "results/runs/half-epoch+holdout=10000+fold=1+precision=bfloat16"
    refused = run_command("visualize", "mistakes", folds, "--output", tmp_path)
    assert_one_line_error(refused, "judged on a hold-out", "expected a row of the test set")


def test_rows_of_one_name_in_two_folders_are_two_curves(visualize, results, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        "mnist_classification.pictures.plots.plot_curves",
        lambda runs: drawn.append(runs) or plot_curves(runs),
    )
    other = tmp_path / "other"
    shutil.copytree(results, other)
    for seed in (0, 1):
        (other / f"sgd-seed{seed}.json").unlink()
    visualize("curves", results, other, other, "--output", tmp_path)
    (runs,) = drawn
    assert [*map(len, runs.values())] == 7 * [2]
    assert {"sgd", f"vanilla, {results}", f"vanilla, {other}"} <= set(runs)
    assert_picture(tmp_path / "curves.png")


def test_runs_of_several_seeds_are_one_curve(visualize, run, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        "mnist_classification.pictures.plots.plot_curves",
        lambda runs: drawn.append(runs) or plot_curves(runs),
    )
    runs = [tmp_path / f"mine-seed{seed}" for seed in (0, 1)]
    for copy in runs:
        copy.mkdir()
        shutil.copy(run / "metrics.jsonl", copy)
    visualize("curves", *runs, "--output", tmp_path)
    assert {name: len(histories) for name, histories in drawn[0].items()} == {"mine": 2}


def test_an_interactive_page_replaces_its_like_alone(visualize, tmp_path):
    notes = tmp_path / "notes.html"
    notes.write_text("mine")
    for path in (notes, tmp_path):
        result = visualize("tsne", "--interactive", path, "--output", tmp_path / "plots")
        assert_one_line_error(result, f"{path}: is there, and no page of this version")
    assert notes.read_text() == "mine"
    assert PAGE_MARK in TEMPLATE.read_bytes()
    assert not (tmp_path / "plots").exists()


def test_a_plot_replaces_its_like_alone(visualize, run, tmp_path):
    photo = tmp_path / "confusion.png"
    Image.new("L", (9, 9)).save(photo)
    before = photo.read_bytes()
    result = visualize("confusion", run, "--output", tmp_path)
    assert_one_line_error(result, f"{photo}: is there, and no plot of ours", "--output")
    assert photo.read_bytes() == before
    photo.unlink()
    for _ in range(2):
        assert visualize("confusion", run, "--output", tmp_path).returncode == 0


@pytest.mark.parametrize("name", ["confusion", "mistakes", "filters", "curves"])
def test_dollar_signs_in_names_are_no_formula(visualize, run, tmp_path, name):
    copy = shutil.copytree(run, tmp_path / r"$\frac$")
    assert visualize(name, copy, "--output", tmp_path).returncode == 0
    assert_picture(tmp_path / f"{name}.png")
