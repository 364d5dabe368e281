"""Which steps a run has, and in what order."""

from bvkeras.evaluation.kinds import kind_of
from bvkeras.pipeline.run_state import RunState
from bvkeras.pipeline.step import Step
from bvkeras.pipeline.steps.control_row import ControlRow
from bvkeras.pipeline.steps.encoder_row import EncoderRow
from bvkeras.pipeline.steps.ensemble_row import EnsembleRow
from bvkeras.pipeline.steps.fine_tuning import FineTuning
from bvkeras.pipeline.steps.head_row import HeadRow
from bvkeras.pipeline.steps.hidden_state_caches import HiddenStateCaches
from bvkeras.pipeline.steps.regression_row import RegressionRow
from bvkeras.pipeline.steps.report import Report


def plan(state: RunState, frozen: bool, control: bool) -> list[Step]:
    """The steps of a run in order, the report last.

    Args:
        state: RunState.
        frozen: bool. Whether there are a head and a regression on the encoder
            as it came, too.
        control: bool. Whether the encoder is trained one epoch further.

    Returns:
        list of Step. None is performed yet.
    """
    task = state.task
    rows = [HeadRow, *([RegressionRow] if task.traits.has_regression else [])]
    steps: list[Step] = [FineTuning(state)]
    for epochs in state.settings.finetune.epochs:
        steps += [
            EncoderRow(state, epochs),
            HiddenStateCaches(state, epochs),
            *(row(state, epochs) for row in rows),
            *(
                EnsembleRow(state, epochs, rule)
                for rule in kind_of(task.kind).ensemble_rules(task)
            ),
        ]
    if frozen:
        steps += [HiddenStateCaches(state), *(row(state) for row in rows)]
    if control:
        steps.append(ControlRow(state))
    return [*steps, Report(state)]
