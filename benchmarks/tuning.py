"""How long do a hundred trials take?

Three questions, each a verb, each adding its lines to a CSV file:

`compare`: the same heads, on the cache of 2,500 sentences, by (a) KerasTuner's
RandomSearch with `HeadHyperModel`, (b) Optuna with the same fits, (c) ours.
Pairs are made trial by trial: Optuna and ours get the settings that
RandomSearch drew, and every score is compared.

`reviews`: all of the training split's cache; units in {8, 16, 32, 64} or the
whole space of 8 to 256, float32 or bfloat16; wall time, GFLOP/s of the product
of hidden states with kernels (forward, and backward for the kernels; padding
not counted), and peak memory.

`choose`: does a search find a head at least as good as the default settings?
And does one with a final round? All are trained on the search's own training
rows and scored on a part of the training split that none has seen.

    python benchmarks/tuning.py compare --cache runs/reviews/cache/epoch_1/train
    python benchmarks/tuning.py reviews --cache runs/reviews/cache/epoch_1/train
    python benchmarks/tuning.py choose --task stsb --cache CACHE

`compare` needs `optuna`; without it, (b) is left out.
"""

import argparse
import csv
import dataclasses
import math
import pathlib
import resource
import shutil
import tempfile
import time

import keras_tuner
import numpy as np

from bvkeras import tasks
from bvkeras.cache.part import CachePart
from bvkeras.cache.reader import HiddenStateCache
from bvkeras.tuning.final_round import (
    choose_finalists,
    known_settings,
    run_final_round,
)
from bvkeras.tuning.head_hypermodel import HeadHyperModel
from bvkeras.tuning.held_out import held_out_score, held_out_split
from bvkeras.tuning.spaces import Choice, HeadSpace, Range
from bvkeras.tuning.stacked_heads import StackedHeads
from bvkeras.tuning.stacked_tuner import StackedTuner
from bvkeras.tuning.wave import split_in_waves

_RESULTS = pathlib.Path(__file__).parent / "results" / "tuning.csv"
_COLUMNS = (
    "question",
    "system",
    "task",
    "dtype",
    "units",
    "dropout",
    "examples",
    "trials",
    "epochs",
    "batch_size",
    "seconds",
    "seconds_a_trial",
    "gflop_per_second",
    "peak_memory_gb",
    "score_best",
    "score_difference_median",
    "score_difference_most",
)
_ROWS_SEED, _SEEDS = 7, 3
# About 16 units, as our default settings have.
_SIXTEEN = Choice((8, 16, 24))
_FEW, _ALL = Choice((8, 16, 32, 64)), Choice((8, 16, 32, 64, 128, 256))


class _Part(CachePart):
    """Some rows of a cache in the place of a whole one."""

    def __init__(self, directory, loaded, rows):
        super().__init__(loaded, rows)
        self.directory = directory

    def load_if_it_fits(self, memory_share):
        """Itself: the cache is in memory."""
        return self


def main() -> None:
    """Answers the question asked for and prints the new lines."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("question", choices=("compare", "reviews", "choose"))
    parser.add_argument("--cache", type=pathlib.Path, required=True)
    parser.add_argument("--task", default="reviews")
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--examples", type=int, default=2500)
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--whole-space", action="store_true")
    parser.add_argument("--finalists", type=int, default=5)
    parser.add_argument("--finalist-seeds", type=int, default=4)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"))
    parser.add_argument("--results", type=pathlib.Path, default=_RESULTS)
    options = parser.parse_args()
    lines = {
        "compare": _compare,
        "reviews": _reviews,
        "choose": _choose,
    }[options.question](options)
    for line in lines:
        print(line)
    _append(options.results, lines)


def _compare(options) -> list[dict]:
    cache = HiddenStateCache(options.cache)
    random = np.random.default_rng(_ROWS_SEED)
    rows = random.permutation(len(cache))[: options.examples]
    model = HeadHyperModel(
        tasks.get(options.task),
        _Part(cache.directory, cache.load(), np.sort(rows)),
        _space(options, _SIXTEEN),
        dtype=options.dtype,
    )
    # Reading the cache is the same for all and not counted.
    model.parts(None)
    stock, stock_seconds = _stock(model, options.trials)
    ours, our_seconds = _ours(model, [trial for trial, _ in stock])
    systems = {"KerasTuner RandomSearch": (stock_seconds, None)}
    optuna = _optuna(model, [trial for trial, _ in stock])
    if optuna is not None:
        systems["Optuna"] = (optuna[1], _differences(stock, optuna[0]))
    systems["bvkeras"] = (our_seconds, _differences(stock, ours))
    best = max(score for _, score in stock)
    return [
        _line(
            options,
            model,
            name,
            _SIXTEEN,
            seconds,
            score_best=best,
            score_difference_median=(
                None if differences is None else np.median(differences)
            ),
            score_difference_most=(
                None if differences is None else differences.max()
            ),
        )
        for name, (seconds, differences) in systems.items()
    ]


def _stock(model, trials):
    """Settings and scores of RandomSearch, and its seconds."""
    directory = tempfile.mkdtemp()
    began = time.perf_counter()
    tuner = keras_tuner.RandomSearch(
        model,
        objective=model.objective,
        max_trials=trials,
        seed=1,
        directory=directory,
    )
    tuner.search(verbose=0)
    seconds = time.perf_counter() - began
    found = [(t.hyperparameters, t.score) for t in _in_order(tuner)]
    shutil.rmtree(directory)
    return found, seconds


def _ours(model, trials):
    """The same by `StackedTuner`, whose oracle draws the same settings."""
    directory = tempfile.mkdtemp()
    began = time.perf_counter()
    tuner = StackedTuner(model, _oracle(model, len(trials)), directory)
    tuner.search()
    seconds = time.perf_counter() - began
    found = [(t.hyperparameters, t.score) for t in _in_order(tuner)]
    shutil.rmtree(directory)
    for (own, _), given in zip(found, trials, strict=True):
        assert own.values == given.values
    return found, seconds


def _optuna(model, trials):
    """The same by Optuna: one fit after another with the settings given."""
    try:
        import optuna
    except ImportError:
        return None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize")
    searched = ("units", "learning_rate", "projection_rate", "seed")
    for hp in trials:
        study.enqueue_trial({name: hp.values[name] for name in searched})

    def objective(trial):
        hp = keras_tuner.HyperParameters()
        space = model.space
        rates = space.learning_rate, space.projection_rate
        hp.values = {
            "units": trial.suggest_categorical("units", space.units.values),
            "learning_rate": trial.suggest_float(
                "learning_rate", rates[0].low, rates[0].high, log=True
            ),
            "projection_rate": trial.suggest_float(
                "projection_rate", rates[1].low, rates[1].high, log=True
            ),
            "seed": trial.suggest_int("seed", space.seed.low, space.seed.high),
        }
        return model.fit(hp, model.build(hp))[model.objective.name]

    began = time.perf_counter()
    study.optimize(objective, n_trials=len(trials))
    seconds = time.perf_counter() - began
    scores = [trial.value for trial in study.trials]
    return list(zip(trials, scores, strict=True)), seconds


def _reviews(options) -> list[dict]:
    units = _ALL if options.whole_space else _FEW
    model = HeadHyperModel(
        tasks.get(options.task),
        HiddenStateCache(options.cache),
        _space(options, units),
        dtype=options.dtype,
    )
    directory = tempfile.mkdtemp()
    began = time.perf_counter()
    tuner = StackedTuner(model, _oracle(model, options.trials), directory)
    tuner.search()
    seconds = time.perf_counter() - began
    trials = _in_order(tuner)
    shutil.rmtree(directory)
    train, held_out = model.parts(None)
    width = sum(t.hyperparameters.values["units"] for t in trials)
    products = 2 * train.num_tokens * options.epochs + held_out.num_tokens
    flop = 2 * products * train.num_layers * train.hidden_dim * width
    return [
        _line(
            options,
            model,
            "bvkeras",
            units,
            seconds,
            gflop_per_second=flop / seconds / 1e9,
            score_best=max(t.score for t in trials),
        )
    ]


def _choose(options) -> list[dict]:
    task = tasks.get(options.task)
    cache = HiddenStateCache(options.cache)
    loaded = cache.load()
    rows, unseen = held_out_split(len(cache), 0.25)
    model = HeadHyperModel(
        task, _Part(cache.directory, loaded, rows), _wide_space(task)
    )
    directory = tempfile.mkdtemp()
    tuner = StackedTuner(model, _oracle(model, options.trials), directory)
    tuner.search()
    ranked = [
        (trial.trial_id, model.settings(trial.hyperparameters))
        for trial in tuner.oracle.get_best_trials(options.trials)
    ]
    known = known_settings(task.small_settings.head, task.paper_settings.head)
    finalists = run_final_round(
        model,
        choose_finalists(known, ranked, options.finalists),
        options.finalist_seeds,
        pathlib.Path(directory, "finalists"),
    )
    for one in finalists:
        print(one.name, round(one.mean, 4), [round(s, 4) for s in one.scores])
    shutil.rmtree(directory)
    rivals = {
        "best of the search": ranked[0][1],
        "best of the search with a final round": finalists[0].settings,
        "default settings": known[0][1],
        "the paper's settings": known[1][1],
    }
    # Over seeds: one alone says little.
    heads = [
        dataclasses.replace(settings, seed=seed)
        for settings in rivals.values()
        for seed in range(_SEEDS)
    ]
    parts = CachePart(loaded, rows), CachePart(loaded, unseen)
    scores = np.zeros(len(heads))
    for places in split_in_waves(heads):
        scores[places] = _scores_on(
            task, *parts, [heads[place] for place in places], model
        )
    lines = []
    for (name, settings), own in zip(
        rivals.items(), scores.reshape(-1, _SEEDS), strict=True
    ):
        print(name, settings, own.round(4))
        lines.append(
            _line(
                options,
                model,
                name,
                model.space.units,
                None,
                score_best=np.mean(own),
            )
        )
    return lines


def _scores_on(task, train, unseen, settings, model):
    """Scores on unseen rows of heads trained on all the others, `(heads,)`."""
    steps = math.ceil(len(train) / settings[0].batch_size)
    heads = StackedHeads(
        task,
        train,
        settings,
        [steps * own.epochs for own in settings],
        model.batches(train, settings[0].batch_size, 0).element_spec,
        model.scale,
    )
    scores = np.zeros(len(settings))
    for epoch in range(max(own.epochs for own in settings)):
        for batch in model.batches(train, settings[0].batch_size, epoch):
            heads.train(*batch)
        outputs, labels = [], []
        for inputs, batch_labels in model.scored_batches(unseen):
            outputs.append(heads.outputs(inputs))
            labels.append(batch_labels.numpy())
        outputs = model.scale.restored(np.concatenate(outputs, 1))
        labels = np.concatenate(labels)
        for head, own in enumerate(settings):
            if own.epochs == epoch + 1:
                scores[head] = held_out_score(task, outputs[head], labels)
                heads.stop(head)
    return scores


def _wide_space(task):
    own = task.small_settings
    return HeadSpace(
        units=_FEW,
        learning_rate=Range(1e-4, 1e-2, log=True),
        batch_size=own.head.batch_size,
        epochs=own.head.epochs,
        token_pooling=own.head.token_pooling,
    )


def _space(options, units):
    return HeadSpace(
        units=units,
        learning_rate=Range(1e-4, 1e-2, log=True),
        projection_rate=Range(0.01, 1.0, log=True),
        dropout=options.dropout,
        weight_decay=0.01,
        batch_size=16,
        epochs=options.epochs,
    )


def _oracle(model, trials):
    return keras_tuner.oracles.RandomSearchOracle(
        model.objective, max_trials=trials, seed=1
    )


def _in_order(tuner):
    trials = tuner.oracle.trials
    return [trials[name] for name in sorted(trials)]


def _differences(stock, others):
    return np.abs([a - b for (_, a), (_, b) in zip(stock, others, strict=True)])


def _line(options, model, system, units, seconds, **others):
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    line = {
        "question": options.question,
        "system": system,
        "task": options.task,
        "dtype": options.dtype or model.cache.dtype,
        "units": " ".join(str(value) for value in units.values),
        "dropout": options.dropout,
        "examples": len(model.cache),
        "trials": options.trials,
        "epochs": model.space.epochs,
        "batch_size": model.space.batch_size,
        "seconds": seconds,
        "seconds_a_trial": seconds and seconds / options.trials,
        "peak_memory_gb": peak,
        **others,
    }
    return {
        name: "" if line.get(name) is None else _rounded(line[name])
        for name in _COLUMNS
    }


def _rounded(value):
    return float(f"{value:.6g}") if isinstance(value, float) else value


def _append(path, lines):
    new = not path.exists()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, _COLUMNS, lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerows(lines)


if __name__ == "__main__":
    main()
