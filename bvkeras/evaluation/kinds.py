"""How each kind of task is scored: `kind_of` finds the object."""

from bvkeras.evaluation.scored_kind import ScoredKind
from bvkeras.evaluation.spans.scored_spans import ScoredSpans
from bvkeras.evaluation.text_kinds import (
    ScoredClasses,
    ScoredLabels,
    ScoredScores,
)
from bvkeras.evaluation.tokens.scored_tokens import ScoredTokens
from bvkeras.tasks.kind import Kind

_KINDS: dict[Kind, ScoredKind] = {
    Kind.CLASSES: ScoredClasses(),
    Kind.LABELS: ScoredLabels(),
    Kind.SCORE: ScoredScores(),
    Kind.SPAN: ScoredSpans(),
    Kind.TOKENS: ScoredTokens(),
}


def kind_of(kind: Kind) -> ScoredKind:
    """How tasks of a kind are scored."""
    return _KINDS[kind]
