"""The nine tasks of GLUE.

Columns are those of the official files and class names those of
`tensorflow_datasets`, in its order. Settings for BERT-base are those of the
paper ("A High Performance Compression Approach for Transformer-Based NLP
Tasks", 2022) as its authors published them with their code. It has none for
WNLI, which gets RTE's with 128 tokens and an untuned head.

Reference:
    Wang et al. 2018, "GLUE: A Multi-Task Benchmark and Analysis Platform for
    Natural Language Understanding".
"""

from bvkeras.tasks.kind import Kind
from bvkeras.tasks.settings import paper_settings, small_settings
from bvkeras.tasks.spec import TaskSpec

_SENTENCE_PAIR = ("sentence1", "sentence2")

COLA = TaskSpec(
    name="cola",
    title="CoLA",
    text_columns=("sentence",),
    label_column="label",
    label_names=("unacceptable", "acceptable"),
    metrics=("matthews",),
    paper_settings=paper_settings(2e-5, 16, head_learning_rate=2.26e-5),
    small_settings=small_settings(16, max_tokens=48),
)

SST2 = TaskSpec(
    name="sst2",
    title="SST-2",
    text_columns=("sentence",),
    label_column="label",
    label_names=("negative", "positive"),
    metrics=("accuracy",),
    paper_settings=paper_settings(
        2e-5, 32, head_learning_rate=9.74e-4, units=32
    ),
    small_settings=small_settings(32, learning_rate=2e-4, max_tokens=64),
)

MRPC = TaskSpec(
    name="mrpc",
    title="MRPC",
    text_columns=("#1 String", "#2 String"),
    label_column="Quality",
    label_names=("not_equivalent", "equivalent"),
    metrics=("accuracy", "f1"),
    paper_settings=paper_settings(
        2e-5, 32, head_learning_rate=7.59e-4, units=16
    ),
    small_settings=small_settings(32),
)

STSB = TaskSpec(
    name="stsb",
    title="STS-B",
    text_columns=_SENTENCE_PAIR,
    label_column="score",
    label_names=None,
    metrics=("pearson", "spearman"),
    paper_settings=paper_settings(2e-5, 16, head_learning_rate=2.78e-5),
    small_settings=small_settings(16, learning_rate=2e-4, max_tokens=64),
    label_range=(0.0, 5.0),
    kind=Kind.SCORE,
)

QQP = TaskSpec(
    name="qqp",
    title="QQP",
    text_columns=("question1", "question2"),
    label_column="is_duplicate",
    label_names=("not_duplicate", "duplicate"),
    metrics=("accuracy", "f1"),
    paper_settings=paper_settings(1e-5, 32, head_learning_rate=1e-5),
    small_settings=small_settings(32),
)

MNLI = TaskSpec(
    name="mnli",
    title="MNLI",
    text_columns=_SENTENCE_PAIR,
    label_column="gold_label",
    label_names=("entailment", "neutral", "contradiction"),
    metrics=("accuracy",),
    paper_settings=paper_settings(1e-5, 32, head_learning_rate=1e-5),
    small_settings=small_settings(32),
    evaluation_splits=("validation_matched", "validation_mismatched"),
)

QNLI = TaskSpec(
    name="qnli",
    title="QNLI",
    text_columns=("question", "sentence"),
    label_column="label",
    label_names=("entailment", "not_entailment"),
    metrics=("accuracy",),
    paper_settings=paper_settings(
        1e-5, 32, head_learning_rate=8.65e-4, units=32
    ),
    small_settings=small_settings(32),
)

RTE = TaskSpec(
    name="rte",
    title="RTE",
    text_columns=_SENTENCE_PAIR,
    label_column="label",
    label_names=("entailment", "not_entailment"),
    metrics=("accuracy",),
    paper_settings=paper_settings(
        2e-5, 16, head_learning_rate=3.59e-4, units=8, max_tokens=250
    ),
    # More passes than one learn its pairs by heart, and rows that are like one
    # another are many, and not always answered alike; docs/reproduce.md.
    small_settings=small_settings(16, max_tokens=250, epochs=2.0).replaced(
        head_epochs=1, head_projection_rate=0.3
    ),
)

WNLI = TaskSpec(
    name="wnli",
    title="WNLI",
    text_columns=_SENTENCE_PAIR,
    label_column="label",
    label_names=("not_entailment", "entailment"),
    metrics=("accuracy",),
    paper_settings=paper_settings(2e-5, 16, head_learning_rate=2e-5),
    small_settings=small_settings(16),
)

GLUE = (COLA, SST2, MRPC, STSB, QQP, MNLI, QNLI, RTE, WNLI)
