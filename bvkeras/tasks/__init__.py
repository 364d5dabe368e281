"""The tasks: `get` one by name, `names` lists them, `spec_of` takes both."""

from bvkeras.tasks.description import (
    TASK_FILE,
    read_task,
    task_from_record,
    task_to_record,
    write_task,
)
from bvkeras.tasks.finetune_config import FinetuneConfig
from bvkeras.tasks.head_config import HeadConfig
from bvkeras.tasks.kind import (
    LABEL_SEPARATOR,
    POOLERS,
    WEIGHTED,
    Kind,
    KindTraits,
)
from bvkeras.tasks.pairs import APART, JOINT, PAIRS, read_as
from bvkeras.tasks.registry import get, names, spec_of
from bvkeras.tasks.settings import TaskSettings
from bvkeras.tasks.spec import TABLE_BACKBONE, TaskSpec
from bvkeras.tasks.table_files import TableFiles
from bvkeras.tasks.tag_scheme import TagScheme
from bvkeras.tasks.window_plan import WindowPlan

__all__ = [
    "APART",
    "JOINT",
    "LABEL_SEPARATOR",
    "PAIRS",
    "POOLERS",
    "TABLE_BACKBONE",
    "TASK_FILE",
    "WEIGHTED",
    "FinetuneConfig",
    "HeadConfig",
    "Kind",
    "KindTraits",
    "TableFiles",
    "TagScheme",
    "TaskSettings",
    "TaskSpec",
    "WindowPlan",
    "get",
    "names",
    "read_as",
    "read_task",
    "spec_of",
    "task_from_record",
    "task_to_record",
    "write_task",
]
