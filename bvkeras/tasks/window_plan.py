"""How contexts that are longer than the sequence are cut into windows."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class WindowPlan:
    """Overlapping windows over a context, each with the whole question.

    A window is `[CLS] question [SEP] part of the context [SEP]`; the next one
    begins `stride` tokens of the context further on.

    Args:
        stride: int. Tokens from the beginning of a window's part of the
            context to that of the next. Defaults to `128`.
        question_tokens: int. Longer questions are cut. Defaults to `64`.

    Reference:
        Devlin et al. 2019, "BERT"; their code's `doc_stride` and
        `max_query_length`.
    """

    stride: int = 128
    question_tokens: int = 64
