"""What a client of an export is told and gives, for one task."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from bvkeras.errors import ArgumentError, DataError
from bvkeras.models.multi_task import MultiTaskModel
from bvkeras.serving.description import NAME, RESERVED
from bvkeras.serving.served_head import ServedHead
from bvkeras.tasks.kind import Kind
from bvkeras.tasks.pairs import APART, JOINT, check_pairs
from bvkeras.tasks.spec import TaskSpec
from bvkeras.tasks.window_plan import WindowPlan


@dataclasses.dataclass(frozen=True)
class ServedTask:
    """A head and what belongs to it besides the encoder.

    Attributes:
        name: str. Name of the task's signature.
        head: ServedHead.
        layers: tuple of int. Hidden states the head is for, from 0, the
            embedding output.
        max_tokens: int. Longer texts are cut; contexts are cut into windows.
        num_texts: int. 1, or 2 for pairs; of spans 2.
        label_names: tuple of str, or None. Names of the classes or labels;
            None for regression and spans.
        windows: WindowPlan, or None. How contexts are cut, where spans of
            them are found. Defaults to `None`.
        kind: Kind. What an answer is. Defaults to `Kind.CLASSES`.
        pairs: str. How the encoder reads two texts, `"joint"` or `"apart"`.
            Defaults to `"joint"`.

    Raises:
        ArgumentError: a name cannot be one, a number is out of range, or head
            or windows are not those of the kind, or the head not of such
            pairs.
    """

    name: str
    head: ServedHead
    layers: tuple[int, ...]
    max_tokens: int
    num_texts: int
    label_names: tuple[str, ...] | None = None
    windows: WindowPlan | None = None
    kind: Kind = Kind.CLASSES
    pairs: str = JOINT

    def __post_init__(self):
        if not NAME.fullmatch(self.name) or self.name in RESERVED:
            raise ArgumentError(
                f"name: received {self.name!r}, expected letters, digits and "
                f"_, at most 64, and none of {', '.join(RESERVED)}"
            )
        if self.num_texts not in (1, 2):
            raise ArgumentError(
                f"num_texts: received {self.num_texts!r}, expected 1 or 2"
            )
        traits = self.kind.traits
        check_pairs(self.pairs)
        if self.is_apart and (self.num_texts != 2 or not traits.takes_apart):
            raise ArgumentError(
                f"pairs: {self.name} has no two texts to read apart"
            )
        if self.is_apart != self.head.is_apart:
            raise ArgumentError(
                f"head: {self.name} reads pairs {self.pairs}, expected a head "
                "that does, too"
            )
        lowest = traits.fewest_tokens[self.num_texts - 1]
        if self.max_tokens < lowest:
            raise ArgumentError(
                f"max_tokens: received {self.max_tokens}, expected at least "
                f"{lowest}"
            )
        if traits.per_token != self.head.per_token:
            part = "token" if traits.per_token else "text"
            raise ArgumentError(
                f"head: {self.name} is of kind {self.kind.value}, expected one "
                f"with outputs of each {part}"
            )
        if traits.has_windows != (self.windows is not None):
            raise ArgumentError(
                f"windows: {self.name} is of kind {self.kind.value}, got "
                f"{self.windows}"
            )

    @classmethod
    def of(
        cls,
        task: TaskSpec,
        head: ServedHead,
        *,
        max_tokens: int,
        layers: tuple[int, ...],
        windows: WindowPlan | None = None,
    ) -> "ServedTask":
        """A task of `bvkeras.tasks`, or one described in the same way.

        Args:
            task: TaskSpec.
            head: ServedHead.
            max_tokens: int. What the head was trained with.
            layers: tuple of int. Hidden states the head was trained on.
            windows: WindowPlan. Of spans; defaults to the task's own.
        """
        return cls(
            name=task.name,
            head=head,
            layers=tuple(layers),
            max_tokens=max_tokens,
            num_texts=len(task.text_columns),
            label_names=task.label_names,
            windows=(
                (windows or task.windows) if task.traits.has_windows else None
            ),
            kind=task.kind,
            pairs=task.pairs,
        )

    @property
    def is_apart(self) -> bool:
        """Whether the encoder reads the two texts of a pair by themselves."""
        return self.pairs == APART

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the signature's inputs."""
        return next(
            names
            for names in self.kind.traits.inputs
            if len(names) == self.num_texts
        )

    @property
    def encoding(self) -> tuple:
        """Equal for tasks that one pass through the encoder serves."""
        return (
            *(self.input_names, self.max_tokens, self.windows),
            *(self.kind.traits.in_windows, self.pairs),
        )

    def describe(self, encoder_parameters: int) -> dict[str, Any]:
        """The task as plain JSON, as `from_description` takes it.

        Args:
            encoder_parameters: int. Parameters of the encoder.
        """
        total = encoder_parameters + self.head.num_parameters
        trained = self.head.num_parameters
        if self.head.is_encoders_own:
            trained = total - self.head.num_frozen_parameters
        return {
            "kind": self.kind.value,
            "inputs": list(self.input_names),
            "label_names": self.label_names and list(self.label_names),
            "pairs": self.pairs,
            "max_tokens": self.max_tokens,
            "layers": list(self.layers),
            "windows": self.windows and dataclasses.asdict(self.windows),
            "head": self.head.config,
            "trained_parameters": trained,
            "total_parameters": total,
        }

    @classmethod
    def from_description(
        cls, name: str, description: dict[str, Any], weights: list
    ) -> "ServedTask":
        """The task that `describe` described.

        Raises:
            DataError: `description` is none.
        """
        try:
            windows = description["windows"]
            label_names = description["label_names"]
            return cls(
                name=name,
                head=ServedHead(description["head"], weights),
                layers=tuple(description["layers"]),
                max_tokens=description["max_tokens"],
                num_texts=len(description["inputs"]),
                label_names=label_names and tuple(label_names),
                windows=windows and WindowPlan(**windows),
                kind=Kind(description["kind"]),
                pairs=description["pairs"],
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(
                f"{name}: its description cannot be read: {error}"
            ) from None


def tasks_of_model(
    model: MultiTaskModel, specs: Mapping[str, TaskSpec], max_tokens: int
) -> list[ServedTask]:
    """The heads of a model as tasks to export, named as in the model.

    Args:
        model: MultiTaskModel.
        specs: dict of each head's name to its TaskSpec.
        max_tokens: int. Longer texts are cut.

    Raises:
        ArgumentError: a head has no TaskSpec, or one of another kind.
    """
    missing = [name for name in model.heads if name not in specs]
    if missing:
        raise ArgumentError(f"specs: expected one for {', '.join(missing)}")
    return [
        ServedTask.of(
            dataclasses.replace(specs[name], name=name),
            ServedHead.of(head),
            max_tokens=max_tokens,
            layers=tuple(model.hidden_states.layer_indices),
        )
        for name, head in model.heads.items()
    ]
