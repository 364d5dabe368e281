"""What kinds of tasks there are: the enumeration `Kind`, and their traits."""

import dataclasses
import enum

# Between the names of a text's labels, where they stand in one cell.
LABEL_SEPARATOR = "|"
# How a head weighs layers and tokens: one linear map shared by all layers; the
# same, of a mix of the layers; weighted means of each layer, and a map of them.
LINEAR, SCALAR_MIX, WEIGHTED = "linear", "scalar_mix", "weighted"
POOLERS = (LINEAR, SCALAR_MIX, WEIGHTED)
# How a pooled head comes from tokens to a text.
FLATTEN, MEAN = "flatten", "mean"
TOKEN_POOLINGS = (FLATTEN, MEAN)


@dataclasses.dataclass(frozen=True)
class KindTraits:
    """What is true of all tasks of a kind, as far as others ask for it.

    How a kind is trained, scored, reported and served is said where that is
    done, by one object each: in `bvkeras.training.kinds`,
    `bvkeras.evaluation.kinds`, `bvkeras.pipeline.kinds` and
    `bvkeras.serving.kinds`; how it comes out of a table in
    `bvkeras.data.tables.kinds`.

    Attributes:
        fewest_names: int, or None. How many names of classes or labels a task
            has at least; None is no names at all.
        name_word: str. What such a name is a name of, in messages.
        num_outputs: int, or None. Outputs of a model; None is one for each
            name.
        several_columns: bool. Whether the labels may stand in several columns
            of 0 and 1, one for each name.
        per_token: bool. Whether each token has outputs, and not each text:
            nothing is pooled then.
        has_windows: bool. Whether a text is a context, cut into windows.
        in_windows: bool. Whether a text that is too long is read in windows,
            and not cut.
        has_threshold: bool. Whether a task is of questions that may have no
            answer, from a threshold on that is chosen.
        needs_examples: bool. Whether a cache is scored with the texts it was
            made from.
        has_regression: bool. Whether a regression on the mean of the hidden
            states can do the task, and stands beside each head.
        is_searchable: bool. Whether `bvkeras tune` knows how to score it.
        token_poolings: tuple of str. Those of `TOKEN_POOLINGS` a head can
            have.
        poolers: tuple of str. Those of `POOLERS` a head can have.
        takes_apart: bool. Whether two texts may be encoded each by itself.
        inputs: tuple of tuples of str. What an export may be given, by the
            number of its texts.
        fewest_tokens: tuple of int. Least `max_tokens`, by the number of
            texts, from one: those special to BERT, and one of each text.
        score_file: str. File of a split's scores, with `{split}` in it.
    """

    fewest_names: int | None = None
    name_word: str = "class"
    num_outputs: int | None = None
    several_columns: bool = False
    per_token: bool = False
    has_windows: bool = False
    in_windows: bool = False
    has_threshold: bool = False
    needs_examples: bool = False
    has_regression: bool = True
    is_searchable: bool = True
    token_poolings: tuple[str, ...] = TOKEN_POOLINGS
    poolers: tuple[str, ...] = POOLERS
    takes_apart: bool = True
    inputs: tuple[tuple[str, ...], ...] = (("text",), ("text", "text_b"))
    fewest_tokens: tuple[int, ...] = (3, 4)
    score_file: str = "{split}.json"


class Kind(enum.Enum):
    """What a label of a task is; the value is its name on the command line.

    Attributes:
        CLASSES: one class a text, int64 `(rows,)`.
        LABELS: several labels a text or none, float32 `(rows, labels)`, 1
            for each that it has and 0 for the others.
        SCORE: a number a text, float32 `(rows,)`.
        SPAN: first and last token of an answer, int64 `(rows, 2)`.
        TOKENS: a tag for each word, int64 `(rows, tokens)`, that of a word at
            its first token and -1 at the others.
        traits: KindTraits. Of each of them.

    Example:

    >>> Kind("span").traits.per_token
    True
    """

    traits: KindTraits

    CLASSES = ("classification", KindTraits(fewest_names=2))
    LABELS = (
        "multilabel",
        KindTraits(fewest_names=1, name_word="label", several_columns=True),
    )
    SCORE = ("regression", KindTraits(num_outputs=1))
    SPAN = (
        "span",
        KindTraits(
            # The logits of its start and of its end, of each token.
            num_outputs=2,
            per_token=True,
            has_windows=True,
            has_threshold=True,
            needs_examples=True,
            has_regression=False,
            is_searchable=False,
            takes_apart=False,
            token_poolings=TOKEN_POOLINGS[:1],
            poolers=POOLERS[:2],
            inputs=(("question", "context"),),
            fewest_tokens=(6, 6),
            score_file="{split}/scores.json",
        ),
    )
    TOKENS = (
        "tokens",
        KindTraits(
            fewest_names=2,
            name_word="tag",
            per_token=True,
            in_windows=True,
            needs_examples=True,
            has_regression=False,
            is_searchable=False,
            takes_apart=False,
            token_poolings=TOKEN_POOLINGS[:1],
            poolers=POOLERS[:2],
            inputs=(("text",),),
            fewest_tokens=(3, 4),
        ),
    )

    def __new__(cls, value: str, *traits: KindTraits) -> "Kind":
        kind = object.__new__(cls)
        kind._value_ = value
        (kind.traits,) = traits
        return kind
