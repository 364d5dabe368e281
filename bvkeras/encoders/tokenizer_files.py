"""What the files of a Hugging Face directory say of its tokenizer."""

import dataclasses
import pathlib
from typing import Any

from bvkeras.encoders.checkpoint_files import (
    read_object_if_there,
    read_vocabulary,
)
from bvkeras.errors import BackboneError
from bvkeras.printable import printable


@dataclasses.dataclass(frozen=True)
class TokenizerFiles:
    """What a directory says of its tokenizer.

    Attributes:
        directory: path.
        path: path. The file with the pieces that count.
        content: dict, or None. tokenizer.json.
        vocabulary: list of str, or None. vocab.txt.
        config: dict. tokenizer_config.json.
        special: dict. special_tokens_map.json.
        added: dict. added_tokens.json.
    """

    directory: pathlib.Path
    path: pathlib.Path
    content: dict[str, Any] | None
    vocabulary: list[str] | None
    config: dict[str, Any]
    special: dict[str, Any]
    added: dict[str, Any]

    @classmethod
    def read(
        cls, directory: pathlib.Path, pieces: str = "vocab.txt"
    ) -> "TokenizerFiles":
        """Reads what is there.

        Args:
            directory: path.
            pieces: str. The file that has the pieces where there is no
                tokenizer.json. Defaults to `"vocab.txt"`, which is read; any
                other is not.

        Raises:
            BackboneError: a file is damaged or a git-lfs pointer.
        """

        def there(name):
            return read_object_if_there(directory / name)

        path = directory / pieces
        is_list = path.name == "vocab.txt" and path.is_file()
        content = there("tokenizer.json")
        return cls(
            directory,
            path if content is None else directory / "tokenizer.json",
            content,
            read_vocabulary(path) if is_list else None,
            there("tokenizer_config.json") or {},
            there("special_tokens_map.json") or {},
            there("added_tokens.json") or {},
        )

    @property
    def config_path(self) -> pathlib.Path:
        """Where settings stand."""
        return self.directory / "tokenizer_config.json"

    @property
    def has_decoder(self) -> bool:
        """Whether tokenizer_config.json has all added tokens by itself."""
        return "added_tokens_decoder" in self.config

    def added_ids(self) -> dict[str, Any]:
        """Tokens that are no pieces of the vocabulary, with their ids."""
        if not self.has_decoder:
            return dict(self.added)
        decoder = self.config["added_tokens_decoder"]
        if not isinstance(decoder, dict):
            raise BackboneError(
                f"{self.config_path}: added_tokens_decoder: expected an "
                f"object, got {shown(decoder)}"
            )
        return {
            text_of(token, self.config_path): int(number)
            if number.isdecimal()
            else number
            for number, token in decoder.items()
        }

    def role(self, name: str) -> str | None:
        """The special token that a role is given; None if none is."""
        value = self.config.get(name)
        if not self.has_decoder:
            value = self.special.get(name, value)
        return None if value is None else text_of(value, self.config_path)


def text_of(value: Any, path: pathlib.Path) -> str:
    """The text of a token that a file gives, plain or with its settings.

    Raises:
        BackboneError: it is none.
    """
    content = value.get("content") if isinstance(value, dict) else value
    if not isinstance(content, str) or not content:
        raise BackboneError(f"{path}: expected a token, got {shown(value)}")
    return content


def shown(value: Any) -> str:
    """A value from a file, short and safe enough for a message."""
    text = printable(repr(value)).replace("\n", "\\n")
    return text if len(text) <= 60 else f"{text[:60]}…"
