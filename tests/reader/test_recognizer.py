"""The network in ONNX form: what it takes, and what is refused."""

import json
import re

import numpy as np
import pytest

from mnist_classification.errors import ModelError
from mnist_classification.reader.recognizer import (
    DEFAULT_THRESHOLD,
    Recognizer,
    load_recognizer,
    open_session,
)
from mnist_classification.shipped import SHIPPED_READER


@pytest.fixture(scope="module")
def recognizer():
    return load_recognizer(SHIPPED_READER)


def test_every_step_has_probabilities_of_eleven_classes(recognizer):
    view = recognizer.read(np.zeros((32, 64), np.float32))
    assert view.shape == (32, 11)
    np.testing.assert_allclose(view.sum(axis=1), 1, rtol=1e-5)


def test_empty_paper_reads_as_nothing_new(recognizer):
    assert (recognizer.read(np.zeros((32, 200), np.float32)).argmax(axis=1) == 10).all()


def test_what_else_is_in_the_batch_makes_no_difference(recognizer):
    rng = np.random.default_rng(0)
    strips = rng.normal(size=(5, 1, 32, 96)).astype(np.float32)
    (together,) = recognizer.session.run(None, {"strips": strips})
    for strip, found in zip(strips, together, strict=True):
        np.testing.assert_allclose(recognizer.read(strip[0]), np.exp(found), atol=1e-5)


def test_calibration_rises_and_is_the_logistic_of_the_logit():
    recognizer = Recognizer(open_session((SHIPPED_READER / "model.onnx").read_bytes()), 2.0, -1.0)
    found = [recognizer.calibrate(p) for p in (0, 0.3, 0.5, 0.9, 1)]
    assert found == sorted(found)
    assert found[2] == pytest.approx(1 / (1 + np.e))


def test_the_shipped_model_is_small_and_one_file():
    for name in ("model.onnx", "words.onnx"):
        assert (SHIPPED_READER / name).stat().st_size < 2_000_000


def test_a_folder_may_hold_a_second_network_and_a_file_is_one(tmp_path):
    assert load_recognizer(SHIPPED_READER).second is not None
    alone = load_recognizer(SHIPPED_READER / "model.onnx")
    assert alone.second is None
    config = json.loads((SHIPPED_READER / "config.json").read_text())
    assert alone.threshold == config["first"]["threshold"]
    assert load_recognizer(SHIPPED_READER / "words.onnx").threshold == DEFAULT_THRESHOLD
    (tmp_path / "model.onnx").write_bytes((SHIPPED_READER / "model.onnx").read_bytes())
    assert load_recognizer(tmp_path).second is None
    (tmp_path / "words.onnx").write_bytes(b"not ONNX")
    with pytest.raises(ModelError, match=r"words\.onnx: got no model in ONNX form.*try"):
        load_recognizer(tmp_path)


def test_what_was_found_for_two_networks_is_not_said_of_another_first_one(tmp_path):
    for path in SHIPPED_READER.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    assert load_recognizer(tmp_path).threshold != DEFAULT_THRESHOLD
    (tmp_path / "model.onnx").write_bytes((SHIPPED_READER / "words.onnx").read_bytes())
    assert load_recognizer(tmp_path).threshold == DEFAULT_THRESHOLD


def test_wrong_models_are_refused_in_words(tmp_path):
    with pytest.raises(ModelError, match=r"can't be read.*try"):
        load_recognizer(tmp_path)
    (tmp_path / "model.onnx").write_bytes(b"not ONNX")
    with pytest.raises(ModelError, match=r"no model in ONNX form.*try"):
        load_recognizer(tmp_path)
    (tmp_path / "model.onnx").write_bytes((SHIPPED_READER / "model.onnx").read_bytes())
    huge, deep = '{"slope": 1' + 400 * "0" + "}", 100_000 * "["
    for config in ("{", '{"slope": 0}', '{"threshold": "high"}', "[]", '{"first": 3}', huge, deep):
        (tmp_path / "config.json").write_text(config)
        with pytest.raises(ModelError, match=r"config\.json.*try"):
            load_recognizer(tmp_path)


def test_a_name_that_no_model_can_have():
    with pytest.raises(ModelError, match="File name too long"):
        load_recognizer(300 * "x")


def test_a_model_of_other_numbers_than_float32_is_refused():
    onnx = pytest.importorskip("onnx")
    model = onnx.load(SHIPPED_READER / "model.onnx")
    for node in model.graph.node:
        node.input[:] = ["as_float32" if name == "strips" else name for name in node.input]
    cast = onnx.helper.make_node("Cast", ["strips"], ["as_float32"], to=onnx.TensorProto.FLOAT)
    model.graph.node.insert(0, cast)
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
    with pytest.raises(ModelError, match=r"from tensor\(float16\).*expected tensor\(float\)"):
        open_session(model.SerializeToString())


def test_without_a_config_the_defaults_hold(tmp_path):
    (tmp_path / "model.onnx").write_bytes((SHIPPED_READER / "model.onnx").read_bytes())
    found = load_recognizer(tmp_path)
    assert (found.slope, found.offset) == (1.0, 0.0)
    (tmp_path / "config.json").write_text(json.dumps({"threshold": 0.5}))
    assert load_recognizer(tmp_path).threshold == 0.5
    (tmp_path / "config.json").write_text(json.dumps({"threshold": 0.5, "sha256": "another's"}))
    assert load_recognizer(tmp_path).threshold == DEFAULT_THRESHOLD


def test_a_classifier_of_single_images_is_refused_in_one_line():
    onnx = pytest.importorskip("onnx")
    floats = onnx.TensorProto.FLOAT
    weight = onnx.helper.make_tensor("weight", floats, [784, 10], np.zeros(7840, np.float32))
    shape = onnx.helper.make_tensor("shape", onnx.TensorProto.INT64, [2], [-1, 784])
    nodes = [
        onnx.helper.make_node("Reshape", ["images", "shape"], ["flat"]),
        onnx.helper.make_node("MatMul", ["flat", "weight"], ["logits"]),
    ]
    graph = onnx.helper.make_graph(
        nodes,
        "classifier",
        [onnx.helper.make_tensor_value_info("images", floats, [1, 28, 28])],
        [onnx.helper.make_tensor_value_info("logits", floats, [1, 10])],
        [weight, shape],
    )
    opset = [onnx.helper.make_opsetid("", 18)]
    classifier = onnx.helper.make_model(graph, opset_imports=opset, ir_version=9)
    with pytest.raises(ModelError) as refused:
        open_session(classifier.SerializeToString())
    assert re.search(r"got a model from \[1, 28, 28\].*expected.*lines.*try", str(refused.value))
    assert "\n" not in str(refused.value)
