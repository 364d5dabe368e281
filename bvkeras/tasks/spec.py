"""What a task is: its columns, labels, metrics and settings."""

import dataclasses

from bvkeras.errors import ArgumentError
from bvkeras.tasks.kind import LABEL_SEPARATOR, WEIGHTED, Kind, KindTraits
from bvkeras.tasks.pairs import APART, JOINT, check_pairs
from bvkeras.tasks.settings import WEIGHTED_HEAD, TaskSettings
from bvkeras.tasks.table_files import TableFiles
from bvkeras.tasks.tag_scheme import TagScheme
from bvkeras.tasks.window_plan import WindowPlan

_BASE_HIDDEN_DIM = 768
# The encoder of a table where none is named: small, and made for sentences.
TABLE_BACKBONE = "all_minilm_l6_v2_en"


@dataclasses.dataclass(frozen=True)
class TaskSpec:
    """One task: classes, labels or scores of texts, or spans of them.

    Args:
        name: str. The name on the command line, such as `"rte"`.
        title: str. The name in tables, such as `"RTE"`.
        text_columns: tuple of one or two str. Text columns of the official
            files, in the order the encoder reads them.
        label_column: str. Label column of the official files. Of several
            labels a text it may be a tuple of str: columns of 0 and 1, one
            for each label.
        label_names: tuple of str, or None. Names of the classes; a label is
            an index into it. Of several labels a text, of the labels. None
            for regression and for spans.
        metrics: tuple of str. Metrics of the benchmark, the main one first:
            `"accuracy"`, `"f1"`, `"matthews"`, `"pearson"`, `"spearman"`;
            of spans `"exact"`, `"f1"`; of several labels `"micro_f1"`,
            `"macro_f1"`, `"subset_accuracy"`; of tagged words
            `"entity_f1"`, `"entity_precision"`, `"entity_recall"`,
            `"word_accuracy"`.
        paper_settings: `TaskSettings`. For encoders like BERT-base.
        small_settings: `TaskSettings`. For encoders with fewer features.
        label_range: pair of float, or None. Lowest and highest score of a
            regression task. Defaults to `None`.
        evaluation_splits: tuple of str. The splits a model is scored on.
            Defaults to `("validation",)`.
        windows: `WindowPlan`, or None. How contexts are cut, where a span of
            a context is to be found. Defaults to `None`: no such task.
        threshold_split: str, or None. The part of the training file on which
            a span task's threshold of no answer is chosen; it is not trained
            on. Defaults to `None`.
        source: str. Which reader of `bvkeras.data.sources` brings the
            examples: `"glue"`, `"reviews"`, `"squad"` or `"table"`. Defaults
            to `"glue"`.
        backbone: str. The encoder where none is named, as
            `bvkeras.load_backbone` takes it. Defaults to BERT-base.
        table: `TableFiles`, or None. The files of a task of one's own.
            Defaults to `None`.
        kind: `Kind`. What a label is. Defaults to `Kind.CLASSES`: one class a
            text.
        tag_scheme: `TagScheme`, or None. Of tagged words: how the tags of the
            files mark entities; `label_names` are those of
            `TagScheme.label_names`. Defaults to `None`: no such task.
        pairs: str. How the encoder reads two texts: `"joint"`, in one row, or
            `"apart"`, each by itself, so that a text is encoded once however
            many pairs it is in. Defaults to `"joint"`.

    Raises:
        ArgumentError: there is no text column or no metric, or a class has no
            name of its own; or a label's name cannot stand among others; or
            names, windows or columns of labels do not fit the kind; or there
            are no pairs to read apart.

    Example:

    >>> spec = bvkeras.tasks.get("rte")
    >>> spec.label_names[0]
    'entailment'

    Reference:
        Wang et al. 2018, "GLUE: A Multi-Task Benchmark and Analysis Platform
        for Natural Language Understanding".
    """

    name: str
    title: str
    text_columns: tuple[str, ...]
    label_column: str | tuple[str, ...]
    label_names: tuple[str, ...] | None
    metrics: tuple[str, ...]
    paper_settings: TaskSettings
    small_settings: TaskSettings
    label_range: tuple[float, float] | None = None
    evaluation_splits: tuple[str, ...] = ("validation",)
    windows: WindowPlan | None = None
    threshold_split: str | None = None
    source: str = "glue"
    backbone: str = "bert_base_en_uncased"
    table: TableFiles | None = None
    kind: Kind = Kind.CLASSES
    tag_scheme: TagScheme | None = None
    pairs: str = JOINT

    def __post_init__(self):
        if len(self.text_columns) not in (1, 2):
            raise ArgumentError(
                f"text_columns: expected one or two, got "
                f"{list(self.text_columns)}"
            )
        if not self.metrics:
            raise ArgumentError("metrics: expected at least one, got none")
        self._check_names()
        if self.traits.has_windows != (self.windows is not None):
            wanted = "a WindowPlan" if self.traits.has_windows else "None"
            raise ArgumentError(
                f"windows: expected {wanted} of kind {self.kind.value}, got "
                f"{self.windows}"
            )
        if (self.kind is Kind.TOKENS) != (self.tag_scheme is not None):
            wanted = "a TagScheme" if self.kind is Kind.TOKENS else "None"
            raise ArgumentError(
                f"tag_scheme: expected {wanted} of kind {self.kind.value}, got "
                f"{self.tag_scheme}"
            )
        check_pairs(self.pairs)
        if self.is_apart and (
            len(self.text_columns) != 2 or not self.traits.takes_apart
        ):
            raise ArgumentError(
                f"pairs: expected {JOINT} of {self.name}, which has no pairs "
                f"of texts to compare, got {self.pairs}"
            )
        several = not isinstance(self.label_column, str)
        if several and not self.traits.several_columns:
            raise ArgumentError(
                f"label_column: expected one column of kind "
                f"{self.kind.value}, got {list(self.label_column)}"
            )

    def _check_names(self) -> None:
        names, fewest = self.label_names, self.traits.fewest_names
        if fewest is None:
            if names is not None:
                raise ArgumentError(
                    f"label_names: expected None of kind {self.kind.value}, "
                    f"got {list(names)}"
                )
            return
        if not names or len(names) < fewest:
            raise ArgumentError(
                f"label_names: expected a name of each {self.traits.name_word} "
                f"of kind {self.kind.value}, at least {fewest}, got "
                f"{names if names is None else list(names)}"
            )
        for name in names if self.several_labels else ():
            # Joined, and of no label empty, they stand in one cell.
            if not name or name != name.strip() or LABEL_SEPARATOR in name:
                raise ArgumentError(
                    f"label_names: received {name!r}, expected a name without "
                    f"{LABEL_SEPARATOR!r}, which stands between labels, and "
                    "without blanks around it"
                )
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ArgumentError(f"label_names: {twice!r} comes twice")

    @property
    def label_columns(self) -> tuple[str, ...]:
        """The label column, or those of 0 and 1."""
        if isinstance(self.label_column, str):
            return (self.label_column,)
        return self.label_column

    @property
    def traits(self) -> KindTraits:
        """What is true of all tasks of its kind."""
        return self.kind.traits

    @property
    def is_apart(self) -> bool:
        """Whether the two texts of a pair are encoded each by itself."""
        return self.pairs == APART

    @property
    def poolers(self) -> tuple[str, ...]:
        """How its heads can weigh layers and tokens."""
        return (WEIGHTED,) if self.is_apart else self.traits.poolers

    @property
    def is_regression(self) -> bool:
        """Whether a label is a score and not a class."""
        return self.kind is Kind.SCORE

    @property
    def several_labels(self) -> bool:
        """Whether a text has any number of the labels, or none."""
        return self.kind is Kind.LABELS

    @property
    def num_labels(self) -> int:
        """Outputs of a model: classes or labels, 1 for regression, 2 for spans.

        The two of a span are the logits of its start and of its end, of each
        token.
        """
        if self.traits.num_outputs is None:
            return len(self.label_names or ())
        return self.traits.num_outputs

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits with labels: train, threshold, evaluation."""
        threshold = (self.threshold_split,) if self.threshold_split else ()
        return ("train", *threshold, *self.evaluation_splits)

    def settings_for(self, hidden_dim: int) -> TaskSettings:
        """Settings that fit an encoder.

        Args:
            hidden_dim: int. Features of the encoder's hidden states.

        Returns:
            The small encoder's settings below 768 features (BERT-base), the
            paper's otherwise; of pairs apart with a head of weighted means.
        """
        settings = self.paper_settings
        if hidden_dim < _BASE_HIDDEN_DIM:
            settings = self.small_settings
        if self.is_apart:
            return settings.replaced(**WEIGHTED_HEAD)
        return settings
