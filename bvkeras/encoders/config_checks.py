"""Every entry of a config.json: used, known to change nothing, or refused."""

import logging
import pathlib
from collections.abc import Mapping
from typing import Any

from bvkeras.encoders.families.family import Family
from bvkeras.errors import BackboneError
from bvkeras.printable import printable

# What no hidden state depends on: names and versions, how a head was trained,
# how text is generated, how the same numbers are computed and given.
_OF_HEADS = (
    *("classifier_dropout", "cls_dropout", "finetuning_task", "id2label"),
    *("label2id", "num_labels", "problem_type", "task_specific_params"),
    *("summary_activation", "summary_last_dropout", "summary_type"),
    *("summary_use_proj", "seq_classif_dropout", "qa_dropout"),
    *("classifier_dropout_prob", "pooler_dropout", "pooler_hidden_act"),
    "pooler_hidden_size",
)
_OF_GENERATION = (
    *("max_length", "min_length", "do_sample", "early_stopping", "num_beams"),
    *("num_beam_groups", "diversity_penalty", "temperature", "top_k", "top_p"),
    *("typical_p", "repetition_penalty", "length_penalty", "prefix"),
    *("no_repeat_ngram_size", "encoder_no_repeat_ngram_size"),
    *("bad_words_ids", "num_return_sequences", "output_scores"),
    *("return_dict_in_generate", "forced_bos_token_id"),
    *("forced_eos_token_id", "remove_invalid_values", "suppress_tokens"),
    *("exponential_decay_length_penalty", "begin_suppress_tokens"),
    *("decoder_start_token_id", "use_cache"),
)
_OF_TRAINING = (
    *("initializer_range", "tie_word_embeddings", "tie_encoder_decoder"),
    *("gradient_checkpointing", "tf_legacy_loss", "use_bfloat16"),
)
_OF_TOKENS = (
    *("bos_token_id", "eos_token_id", "sep_token_id", "mask_token_id"),
    *("pad_token_id", "tokenizer_class"),
)
_OF_COMPUTING = (
    *("torch_dtype", "dtype", "torchscript", "chunk_size_feed_forward"),
    *("attn_implementation", "_attn_implementation", "output_attentions"),
    *("_attn_implementation_autoset", "output_hidden_states", "return_dict"),
    *("use_return_dict", "experts_implementation", "_experts_implementation"),
)
_OF_FILES = (
    *("_name_or_path", "name_or_path", "architectures", "model_type"),
    *("transformers_version", "_commit_hash", "license", "language"),
    *("sentence_transformers", "legacy"),
    # Of families without segments, and of positions that are in the weights.
    *("type_vocab_size", "sinusoidal_pos_embds"),
    # Of Google's multilingual BERT; nothing reads them.
    *("directionality", "pooler_fc_size", "pooler_num_attention_heads"),
    *("pooler_num_fc_layers", "pooler_size_per_head", "pooler_type"),
)
_HARMLESS = frozenset(
    _OF_HEADS
    + _OF_GENERATION
    + _OF_TRAINING
    + _OF_TOKENS
    + _OF_COMPUTING
    + _OF_FILES
)

# Values that change nothing; with any other the checkpoint is another encoder.
_NOTHING: tuple[Any, ...] = (None, False)
_REFUSED: Mapping[str, tuple[tuple[Any, ...], str]] = {
    "is_decoder": (_NOTHING, "a decoder, which sees no later tokens"),
    "add_cross_attention": (_NOTHING, "attention to another encoder"),
    "cross_attention_hidden_size": (
        _NOTHING,
        "attention to another encoder",
    ),
    "is_encoder_decoder": (_NOTHING, "an encoder with a decoder"),
    "pruned_heads": ((None, {}), "attention with heads taken out"),
    "quantization_config": ((None,), "quantised weights"),
    "compression_config": ((None,), "compressed weights"),
    "auto_map": ((None, {}), "its own code, which is never run here"),
}


def known_entries(family: Family) -> frozenset[str]:
    """All entries of a family's config.json that are used, refused or idle."""
    entries = family.entries
    return (
        _HARMLESS
        | _REFUSED.keys()
        | set(entries.sizes.values())
        | set(entries.dropout)
        | entries.fixed.keys()
        | set(entries.idle)
        | {entries.activation, "layer_norm_eps"}
    )


def check_entries(
    config: Mapping[str, Any], family: Family, path: pathlib.Path
) -> None:
    """Refuses what would compute something else, and names what is unknown.

    Args:
        config: mapping. What config.json says.
        family: Family.
        path: path of it, for messages.

    Raises:
        BackboneError: an entry says that this is not the family's encoder.
    """
    for entry, (values, meaning) in _REFUSED.items():
        value = config.get(entry)
        if value not in values:
            raise BackboneError(
                f"{path} says {entry} {_short(value)}: {meaning}; expected "
                f"{values[-1]!r}"
            )
    unknown = sorted(config.keys() - known_entries(family))
    if unknown:
        logging.getLogger("bvkeras").warning(
            "%s",
            printable(
                f"{path} has entries that are not known here and not "
                f"applied: {_short(', '.join(unknown), 160)}"
            ),
        )


def _short(value: Any, most: int = 60) -> str:
    text = value if isinstance(value, str) else repr(value)
    text = printable(text).replace("\n", "\\n")
    return text if len(text) <= most else f"{text[:most]}…"
