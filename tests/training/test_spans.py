"""Encoders and heads that find spans: they learn, and go on when stopped."""

import keras
import numpy as np
import pytest

from bvkeras.cache.writer import write_cache
from bvkeras.data.token_batches import tokenize_examples
from bvkeras.data.tokenized_examples import TokenizedExamples
from bvkeras.encoders.loading import load_backbone
from bvkeras.errors import ArgumentError, RunError
from bvkeras.models.pooling_span_model import PoolingSpanModel
from bvkeras.ops.span_logits import MASKED_LOGIT
from bvkeras.training import head as head_module
from bvkeras.training.finetune import Snapshot, finetune, predict_scores
from bvkeras.training.head import TrainedHead, build_head, train_head
from tests.data.squad_fixtures import SQUAD, make_question, make_span_examples
from tests.tiny_runs import fail_at_call

FINETUNE = {
    "learning_rate": 5e-3,
    "batch_size": 8,
    "max_tokens": 16,
    "epochs": (0.5, 1.0),
    "dropout": 0.2,
    "seed": 3,
}
HEAD = {
    "units": 6,
    "learning_rate": 2e-2,
    "epochs": 3,
    "batch_size": 8,
    "dropout": 0.2,
    "seed": 3,
}


def examples_with_numbers(count=48):
    """The answer is the one digit of the context; every third has none."""
    random = np.random.default_rng(0)
    questions = []
    for row in range(count):
        words = random.choice(list("abcdefgh"), 6)
        if row % 3:
            words[random.integers(6)] = answer = str(random.integers(1, 10))
        context = " ".join(words)
        answers = (answer,) if row % 3 else ()
        questions.append(make_question(context, *answers, name=f"q{row}"))
    return make_span_examples(*questions, split="train")


EXAMPLES = examples_with_numbers()


def run(tiny_bert, directory, **changes):
    return finetune(
        load_backbone(tiny_bert),
        SQUAD,
        EXAMPLES,
        directory,
        **{**FINETUNE, **changes},
    )


@pytest.fixture(scope="module")
def finetuned(tiny_bert, tmp_path_factory):
    directory = tmp_path_factory.mktemp("finetuned")
    run(tiny_bert, directory)
    return directory


@pytest.fixture(scope="module")
def cache(tiny_bert, tmp_path_factory):
    return write_cache(
        load_backbone(tiny_bert, dropout=0.0),
        SQUAD,
        EXAMPLES,
        tmp_path_factory.mktemp("cache"),
        max_tokens=16,
    )


@pytest.fixture(scope="module")
def trained(cache, tmp_path_factory):
    directory = tmp_path_factory.mktemp("head")
    train_head(SQUAD, cache, directory, **HEAD)
    return directory


def assert_same_weights(one, other):
    for first, second in zip(one.weights, other.weights, strict=True):
        np.testing.assert_array_equal(first, second, err_msg=first.path)


def test_encoder_learns_to_find_the_answer(tiny_bert, tmp_path):
    (snapshot,) = finetune(
        load_backbone(tiny_bert, dropout=0.0),
        SQUAD,
        EXAMPLES,
        tmp_path,
        **{
            **FINETUNE,
            "epochs": (30,),
            "learning_rate": 1e-2,
            "dropout": 0.0,
        },
    )
    losses = [record["loss"] for record in snapshot.history]
    assert np.mean(losses[-5:]) < 0.3 * np.mean(losses[:5])
    encoder, model = snapshot.load_model()
    tokens = tokenize_examples(EXAMPLES, encoder, 16)
    logits = predict_scores(model, tokens)
    assert logits.shape == (48, tokens.lengths.max(), 2)
    assert (logits.argmax(1) == tokens.labels).mean() > 0.9
    # Neither in the question nor after the context.
    for row, length in enumerate(tokens.lengths):
        first = tokens.contexts[row]
        assert (logits[row, 1:first] == MASKED_LOGIT).all()
        assert (logits[row, length - 1 :] == MASKED_LOGIT).all()
        assert (logits[row, first : length - 1] > MASKED_LOGIT).all()


def test_snapshot_has_a_logit_for_start_and_end(finetuned):
    snapshot = Snapshot.open(finetuned / "epoch_1")
    assert snapshot.parameters == 2 * (16 + 1)


def test_interrupted_fine_tuning_comes_to_the_same_weights(
    tiny_bert, finetuned, tmp_path
):
    with pytest.MonkeyPatch.context() as patch:
        fail_at_call(patch, TokenizedExamples, "batch", 4, KeyboardInterrupt)
        with pytest.raises(KeyboardInterrupt):
            run(tiny_bert, tmp_path, save_every_seconds=0)
    keras.utils.set_random_seed(9)
    run(tiny_bert, tmp_path, save_every_seconds=0)
    for name in ("epoch_0.5", "epoch_1"):
        _, expected = Snapshot.open(finetuned / name).load_model()
        _, found = Snapshot.open(tmp_path / name).load_model()
        assert_same_weights(found, expected)


def test_other_windows_are_refused(tiny_bert, finetuned, monkeypatch):
    monkeypatch.setattr(
        type(EXAMPLES), "window_identity", {"windows": {"stride": 9}}
    )
    with pytest.raises(RunError, match=r"made with windows\.stride = 128"):
        run(tiny_bert, finetuned)


def test_head_starts_at_equal_logits(cache):
    model = build_head(SQUAD, cache, units=6)
    assert isinstance(model, PoolingSpanModel)
    assert model.count_params() == 6 * (16 + 1) + 2 * (3 * 6 + 1)
    logits = model.predict(cache.as_dataset(48), verbose=0)
    assert set(np.unique(logits)) == {np.float32(MASKED_LOGIT), 0}


def test_mean_over_tokens_is_refused(cache, tmp_path):
    with pytest.raises(ArgumentError, match="token_pooling: expected flatten"):
        train_head(SQUAD, cache, tmp_path, **HEAD, token_pooling="mean")


def test_head_learns_to_find_the_answer(cache, tmp_path):
    head = train_head(
        SQUAD, cache, tmp_path, **{**HEAD, "epochs": 50, "dropout": 0.0}
    )
    logits = head.load_model().predict(cache.as_dataset(48), verbose=0)
    assert (logits.argmax(1) == cache.labels()).mean() > 0.9


@pytest.mark.parametrize(
    "step",
    [
        pytest.param(1, marks=pytest.mark.full),
        8,
        pytest.param(14, marks=pytest.mark.full),
    ],
)
def test_interrupted_head_comes_to_the_same_weights(
    cache, trained, tmp_path, step
):
    with pytest.MonkeyPatch.context() as patch:
        fail_at_call(
            patch,
            head_module._Recorder,
            "on_train_batch_end",
            step,
            KeyboardInterrupt,
        )
        with pytest.raises(KeyboardInterrupt):
            train_head(SQUAD, cache, tmp_path, **HEAD)
    keras.utils.set_random_seed(step)
    train_head(SQUAD, cache, tmp_path, **HEAD)
    assert_same_weights(
        TrainedHead.open(tmp_path).load_model(),
        TrainedHead.open(trained).load_model(),
    )
