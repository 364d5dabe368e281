"""SQuAD 2.0: the span of a paragraph that answers a question, or none.

Settings for BERT-base are those of the paper ("A High Performance Compression
Approach for Transformer-Based NLP Tasks", 2022) as its authors published them
with their code.

Reference:
    Rajpurkar, Jia and Liang 2018, "Know What You Don't Know: Unanswerable
    Questions for SQuAD".
"""

from bvkeras.tasks.kind import Kind
from bvkeras.tasks.settings import paper_settings, small_settings
from bvkeras.tasks.spec import TaskSpec
from bvkeras.tasks.window_plan import WindowPlan

SQUAD_V2 = TaskSpec(
    name="squad_v2",
    title="SQuAD 2.0",
    text_columns=("question", "context"),
    label_column="answers",
    label_names=None,
    metrics=("exact", "f1"),
    paper_settings=paper_settings(
        2e-5, 16, head_learning_rate=2e-5, max_tokens=384
    ),
    # Every token has the same projection, of a few hundred numbers: it may
    # move as fast as the pooling. docs/squad.md says how these were chosen.
    small_settings=small_settings(
        16, learning_rate=2e-4, max_tokens=384
    ).replaced(
        dropout=0.1,
        units=64,
        head_learning_rate=3e-3,
        token_pooling="flatten",
        head_epochs=3,
    ),
    windows=WindowPlan(),
    threshold_split="held_out",
    source="squad",
    kind=Kind.SPAN,
)
