"""The tiny checkpoints of all families but BERT, for tests of each."""

import pathlib

import keras_hub

from bvkeras.encoders.families.registry import family_named

# Folder of `family_checkpoints`: config.json's name of the family.
FAMILIES = {
    "roberta": "roberta",
    "xlm_roberta": "xlm-roberta",
    "distilbert": "distilbert",
    "electra": "electra",
    "deberta_v3": "deberta-v2",
    "albert": "albert",
}
# Those whose tokenizer a graph computes.
WORD_PIECES = ("distilbert", "electra")


def family(name):
    """The object of a family."""
    return family_named(FAMILIES[name])


def keras_tokenizer(name: str, checkpoints: pathlib.Path):
    """keras-hub's tokenizer of the older files of a checkpoint."""
    files = checkpoints / f"{name}_files"
    made = family(name)
    paths = [files / file for file in made.tokenizer_files]
    if name == "roberta":
        # keras-hub takes the first line for a pair, too.
        _, *merges = paths[1].read_text("utf-8").splitlines()
        return keras_hub.models.RobertaTokenizer(str(paths[0]), merges)
    if name in WORD_PIECES:
        return made.keras_tokenizer_class(
            str(paths[0]), lowercase=name == "electra"
        )
    return made.keras_tokenizer_class(paths[0].read_bytes())
