"""Exports against the Keras models they were made of."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

import bvkeras
from bvkeras import fileio, tasks
from bvkeras.data.squad_windows import make_windows
from bvkeras.errors import ArgumentError, DataError
from bvkeras.evaluation.spans.answers import (
    WindowLogits,
    best_texts,
    find_candidates,
)
from bvkeras.layers.hidden_states import HiddenStates
from bvkeras.ops.span_logits import answer_positions
from bvkeras.serving import ServedHead, ServedTask, add_tasks, export
from tests.data.squad_fixtures import make_question, make_span_examples
from tests.serving.conftest import MAX_TOKENS, PLAN, contents, served
from tests.serving.texts import AWKWARD

TEXTS = ["the cat sat on the mat", "", "unaffable DOG é 中文", "a b " * 40]
TEXTS_B = ["dog ran", "the [SEP] cat", "", "c d " * 30]
QUESTIONS = ["who sat", "", "cat ?", "the"]
CONTEXTS = [
    "🐈 the cat\u0301 sat on 中文 mat. " * 8,
    "un able the dog",
    " \u200b ",
    "İ dog ran " * 20,
]
_INPUTS = {
    "text": TEXTS,
    "text_b": TEXTS_B,
    "question": QUESTIONS,
    "context": CONTEXTS,
}
_SCRIPT = """
import json, sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("bvkeras", "keras_hub", "tokenizers"):
            raise ImportError(f"{name} is blocked")
sys.meta_path.insert(0, Blocked())
import tensorflow as tf
import tensorflow_text
import numpy as np
directory, output = sys.argv[1:]
inputs = json.load(sys.stdin)
loaded = tf.saved_model.load(directory)
results = {}
for name, signature in loaded.signatures.items():
    wanted = signature.structured_input_signature[1]
    if name != "tokens":
        given = {key: tf.constant(inputs[key]) for key in wanted}
        for key, value in signature(**given).items():
            results[name + "|" + key] = value.numpy()
assert not [name for name in sys.modules if name.startswith("bvkeras")]
np.savez(output, **{
    key: value.astype("S") if value.dtype == object else value
    for key, value in results.items()
})
"""


@pytest.fixture(scope="module")
def fresh(exported, tmp_path_factory):
    """What a process without bvkeras gets of all signatures."""
    output = tmp_path_factory.mktemp("fresh") / "results.npz"
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, str(exported.second), str(output)],
        input=json.dumps(_INPUTS),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    with np.load(output) as file:
        return dict(file)


@pytest.fixture(scope="module")
def first(exported):
    return tf.saved_model.load(str(exported.first))


@pytest.fixture(scope="module")
def second(exported):
    return tf.saved_model.load(str(exported.second))


def keras_logits(encoder, head, texts, texts_b=None):
    """Another way round: Keras layers, padded to the full length."""
    batch = encoder.preprocess(texts, texts_b, max_tokens=MAX_TOKENS)
    missing = MAX_TOKENS - batch["token_ids"].shape[1]
    batch = {k: np.pad(v, ((0, 0), (0, missing))) for k, v in batch.items()}
    states = HiddenStates(encoder.backbone)(batch)
    mask = batch["padding_mask"].astype(bool)
    return head((states, mask), training=False).numpy()


def softmax(logits):
    exponents = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponents / exponents.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize(
    ("name", "second_texts"), [("sst2", None), ("mnli", 1)]
)
def test_classes_equal_the_keras_model(
    name, second_texts, fresh, encoder, heads
):
    texts_b = TEXTS_B if second_texts else None
    expected = softmax(keras_logits(encoder, heads[name], TEXTS, texts_b))
    found = fresh[f"{name}|probabilities"]
    assert np.ptp(found[:, 0]) > 0.01
    np.testing.assert_allclose(found, expected, atol=1e-5)
    index = expected.argmax(axis=-1)
    np.testing.assert_array_equal(fresh[f"{name}|label_index"], index)
    names = [tasks.get(name).label_names[i].encode() for i in index]
    assert fresh[f"{name}|label"].tolist() == names
    np.testing.assert_allclose(
        fresh[f"{name}|score"], expected.max(axis=-1), atol=1e-5
    )


def test_scores_equal_the_keras_model(fresh, encoder, heads):
    expected = keras_logits(encoder, heads["stsb"], TEXTS, TEXTS_B)[:, 0]
    np.testing.assert_allclose(fresh["stsb|score"], expected, atol=1e-5)


def test_answers_equal_those_of_the_evaluation(fresh, encoder, heads):
    examples = make_span_examples(
        *(
            make_question(context, question=question, name=f"q{i}")
            for i, (question, context) in enumerate(
                zip(QUESTIONS, CONTEXTS, strict=True)
            )
        ),
        windows=PLAN,
    )
    windows = make_windows(
        examples.questions, encoder.tokenizer, MAX_TOKENS, PLAN
    )
    assert len(windows) > len(examples)
    batch = windows.batch(np.arange(len(windows)))
    states = HiddenStates(encoder.backbone)(batch)
    mask = answer_positions(tf.constant(batch["segment_ids"]))
    logits = heads["squad_v2"]((states, mask), training=False).numpy()
    candidates = find_candidates(
        examples, WindowLogits(windows.ids, logits, windows.offsets)
    )
    texts = best_texts(examples, candidates)
    assert texts[0]
    found = [text.decode() for text in fresh["squad_v2|answer"]]
    assert found == texts
    places = np.stack([fresh["squad_v2|start"], fresh["squad_v2|end"]], axis=1)
    np.testing.assert_array_equal(places, candidates.characters[:, 0])
    np.testing.assert_allclose(
        fresh["squad_v2|no_answer_probability"],
        candidates.na_probs,
        atol=1e-5,
    )


def test_signature_of_all_gives_what_each_gives(fresh, heads):
    for name in heads:
        keys = [k for k in fresh if k.startswith(f"{name}|")]
        assert keys
        for key in keys:
            output = key.partition("|")[2]
            for signature in ("all", "serving_default"):
                found = fresh[f"{signature}|{name}/{output}"]
                if found.dtype.kind == "f":
                    np.testing.assert_allclose(found, fresh[key], atol=1e-6)
                else:
                    np.testing.assert_array_equal(found, fresh[key])


def test_hidden_states_equal_the_layer(fresh, encoder):
    batch = encoder.preprocess(TEXTS, max_tokens=MAX_TOKENS)
    for name, array in batch.items():
        np.testing.assert_array_equal(fresh[f"hidden_states|{name}"], array)
    states = HiddenStates(encoder.backbone)(batch).numpy()
    mask = batch["padding_mask"].astype(bool)
    found = fresh["hidden_states|hidden_states"]
    assert found.shape == states.shape
    np.testing.assert_allclose(found[mask], states[mask], atol=1e-5)
    assert fresh["hidden_states|row"].tolist() == [0, 1, 2, 3]


def test_token_ids_give_what_their_texts_give(second, fresh, encoder):
    batch = encoder.preprocess(TEXTS, max_tokens=MAX_TOKENS)
    found = second.signatures["tokens"](
        **{name: tf.constant(array) for name, array in batch.items()}
    )
    np.testing.assert_allclose(
        found["sst2/probabilities"], fresh["sst2|probabilities"], atol=1e-6
    )
    shape = batch["token_ids"].shape
    assert found["squad_v2/start_logits"].shape == shape
    assert found["squad_v2/end_logits"].shape == shape


def test_earlier_version_and_its_heads_stay_as_they_are(
    exported, first, second
):
    assert contents(exported.first) == exported.before
    given = tf.constant(list(AWKWARD))
    earlier = first.signatures["sst2"](text=given)
    later = second.signatures["sst2"](text=given)
    assert set(earlier) == set(later)
    for name, value in earlier.items():
        np.testing.assert_array_equal(later[name], value)


def test_rows_do_not_depend_on_each_other(first):
    signature = first.signatures["serving_default"]
    together = signature(text=tf.constant(TEXTS))["probabilities"]
    for row, text in enumerate(TEXTS):
        alone = signature(text=tf.constant([text]))["probabilities"]
        np.testing.assert_allclose(alone[0], together[row], atol=1e-6)


def test_different_numbers_of_texts_are_refused(second):
    with pytest.raises(tf.errors.InvalidArgumentError, match="as many of both"):
        second.signatures["stsb"](
            text=tf.constant(["a", "b"]), text_b=tf.constant(["c"])
        )


def test_session_runs_it_as_a_server_does(exported, fresh):
    tags = [tf.saved_model.SERVING]
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        meta_graph = tf.compat.v1.saved_model.load(
            session, tags, str(exported.second)
        )
        signature = meta_graph.signature_def["squad_v2"]
        outputs = session.run(
            {key: info.name for key, info in signature.outputs.items()},
            {
                signature.inputs[key].name: _INPUTS[key]
                for key in ("question", "context")
            },
        )
    for key in ("answer", "start", "end"):
        assert outputs[key].tolist() == fresh[f"squad_v2|{key}"].tolist()


def test_description_is_plain_json(exported, encoder, heads):
    path = exported.second / "assets.extra" / "bvkeras.json"
    description = json.loads(path.read_text("utf-8"))
    assert description["encoder"]["digest"] == encoder.digest()
    assert description["tokenizer"]["digest"] == encoder.tokenizer.digest
    assert description["tasks"].keys() == heads.keys()
    about = description["tasks"]["sst2"]
    assert about["label_names"] == ["negative", "positive"]
    parameters = heads["sst2"].count_params()
    assert about["trained_parameters"] == parameters
    total = encoder.backbone.count_params() + parameters
    assert about["total_parameters"] == total
    assert {"bvkeras", "tensorflow"} <= description["versions"].keys()


def test_export_that_fails_leaves_nothing(
    encoder, heads, tmp_path, monkeypatch
):
    def fail(name, path):
        if name == "rename":
            raise OSError("the disk is gone")

    monkeypatch.setattr(fileio, "before_operation", fail)
    with pytest.raises(OSError, match="gone"):
        export(encoder, [served("sst2", encoder, heads)], tmp_path / "e")
    assert [p.name for p in (tmp_path / "e").iterdir()] == [".lock"]


def test_what_a_killed_export_left_is_removed(exported, tmp_path, encoder):
    directory = tmp_path / "copy"
    shutil.copytree(exported.first, directory / "7")
    (directory / ".tmp.killed.8").mkdir()
    (directory / "notes").mkdir()
    task = ServedTask.from_description(
        "again",
        json.loads((exported.first / "assets.extra/bvkeras.json").read_text())[
            "tasks"
        ]["sst2"],
        None,
    )
    path = add_tasks([task], directory, encoder_digest=encoder.digest())
    assert path == directory / "8"
    assert sorted(p.name for p in directory.iterdir()) == [
        *(".lock", "7", "8", "notes"),
    ]


def test_bfloat16_is_close_and_half_the_size(
    encoder, heads, exported, first, tmp_path
):
    task = served("sst2", encoder, heads)
    path = export(encoder, [task], tmp_path / "half", dtype="bfloat16")
    loaded = tf.saved_model.load(str(path))
    found, expected = (
        model.signatures["sst2"](text=tf.constant(TEXTS))["probabilities"]
        for model in (loaded, first)
    )
    assert 0 < np.abs(found - expected).max() < 0.05
    reader = tf.train.load_checkpoint(str(path / "variables" / "variables"))
    key = "encoder/0/.ATTRIBUTES/VARIABLE_VALUE"
    assert reader.get_variable_to_dtype_map()[key] == tf.bfloat16
    added = add_tasks(
        [served("stsb", encoder, heads)],
        path.parent,
        encoder_digest=encoder.digest(),
    )
    again = tf.saved_model.load(str(added)).signatures["sst2"]
    np.testing.assert_array_equal(
        again(text=tf.constant(TEXTS))["probabilities"], found
    )


def test_wrong_arguments_are_named(encoder, heads, exported, tmp_path):
    task = served("sst2", encoder, heads)
    with pytest.raises(ArgumentError, match="dtype: received 'int4'"):
        export(encoder, [task], tmp_path, dtype="int4")
    with pytest.raises(ArgumentError, match="tasks: received"):
        export(encoder, [task, task], tmp_path)
    with pytest.raises(ArgumentError, match="tasks: received"):
        export(encoder, [], tmp_path)
    with pytest.raises(ArgumentError, match="name: received 'all'"):
        ServedTask("all", task.head, task.layers, 32, 1, ("a", "b"))
    with pytest.raises(ArgumentError, match=r"name: received '\.\./x'"):
        ServedTask("../x", task.head, task.layers, 32, 1, ("a", "b"))
    longer = ServedTask("x", task.head, task.layers, 64, 1, ("a", "b"))
    with pytest.raises(ArgumentError, match="max_tokens: x has 64, its head"):
        export(encoder, [longer], tmp_path)
    fewer = ServedTask("x", task.head, (0, 1), 32, 1, ("a", "b"))
    with pytest.raises(ArgumentError, match="num_layers: the head of x"):
        export(encoder, [fewer], tmp_path)
    with pytest.raises(ArgumentError, match="expected one of Pooling"):
        ServedHead.of(encoder.backbone)
    with pytest.raises(ArgumentError, match="of the encoder 000000000000"):
        add_tasks([task], exported.directory, encoder_digest="0" * 64)
    with pytest.raises(DataError, match="no export"):
        add_tasks([task], tmp_path, encoder_digest=encoder.digest())
    with pytest.raises(ArgumentError, match="is one version"):
        export(encoder, [task], exported.first)


def test_tasks_are_not_added_to_what_leads_elsewhere(
    exported, encoder, heads, tmp_path
):
    task = served("sst2", encoder, heads)
    digest = encoder.digest()
    copy = shutil.copytree(exported.first, tmp_path / "copy" / "1")
    description = copy / "assets.extra" / "bvkeras.json"
    for content in ("[]", '{"format": 1}', '{"format": 9}'):
        description.write_text(content, encoding="utf-8")
        with pytest.raises(DataError, match=r"bvkeras\.json"):
            add_tasks([task], copy.parent, encoder_digest=digest)
    # Refused before a backbone of that size is made.
    record = json.loads(exported.before["assets.extra/bvkeras.json"])
    record["encoder"]["config"]["num_layers"] = 10**6
    description.write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(DataError, match="num_layers 1000000, expected at most"):
        add_tasks([task], copy.parent, encoder_digest=digest)
    description.unlink()
    description.symlink_to(exported.first / "assets.extra" / "bvkeras.json")
    with pytest.raises(DataError, match="is a link"):
        add_tasks([task], copy.parent, encoder_digest=digest)


def test_description_cannot_name_other_code(exported, tmp_path):
    for head in ({"type": "os.system"}, {"type": None}, {}):
        with pytest.raises(DataError):
            ServedHead(head, [])


def test_public_names():
    assert bvkeras.serving.export is export
    for name in bvkeras.serving.__all__:
        assert callable(getattr(bvkeras.serving, name))
