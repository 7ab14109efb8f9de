"""A stand-in written for the tests; it holds no published code, only the published names, arguments and shapes.

Interface: OpenGVLab/InternVL2-2B, as of the copy named in tests/integration/engines/published.json.
As published, it is a slow tokenizer over a file of sentencepiece.
"""

import shutil
from pathlib import Path
from typing import Any

import sentencepiece
from transformers.tokenization_utils import PreTrainedTokenizer


class InternLM2Tokenizer(PreTrainedTokenizer):
    vocab_files_names = {"vocab_file": "./tokenizer.model"}  # noqa: RUF012 - transformers changes a copy
    model_input_names = ("input_ids", "attention_mask")
    _auto_class = "AutoTokenizer"

    def __init__(
        self,
        vocab_file: str,
        unk_token: Any = "<unk>",
        bos_token: Any = "<s>",
        eos_token: Any = "</s>",
        pad_token: Any = "</s>",
        sp_model_kwargs: dict[str, Any] | None = None,
        add_bos_token: bool = True,
        add_eos_token: bool = False,
        decode_with_prefix_space: bool = False,
        clean_up_tokenization_spaces: bool = False,
        **kwargs: Any,
    ) -> None:
        self.vocab_file = vocab_file
        self.add_bos_token = add_bos_token
        self.add_eos_token = add_eos_token
        self.sp_model = sentencepiece.SentencePieceProcessor(model_file=vocab_file, **(sp_model_kwargs or {}))
        super().__init__(
            bos_token=bos_token,
            eos_token=eos_token,
            unk_token=unk_token,
            pad_token=pad_token,
            clean_up_tokenization_spaces=clean_up_tokenization_spaces,
            **kwargs,
        )

    @property
    def vocab_size(self) -> int:
        return int(self.sp_model.get_piece_size())

    def get_vocab(self) -> dict[str, int]:
        pieces = {self.convert_ids_to_tokens(index): index for index in range(self.vocab_size)}
        return pieces | dict(self.added_tokens_encoder)

    def _tokenize(self, text: str) -> list[str]:
        return list(self.sp_model.encode(text, out_type=str))

    def _convert_token_to_id(self, token: str) -> int:
        return int(self.sp_model.piece_to_id(token))

    def _convert_id_to_token(self, index: int) -> str:
        return str(self.sp_model.id_to_piece(index))

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        pieces: list[str] = []
        text = ""
        for token in tokens:
            if token in self.all_special_tokens:
                text += self.sp_model.decode(pieces) + token
                pieces = []
            else:
                pieces.append(token)
        return text + str(self.sp_model.decode(pieces))

    def build_inputs_with_special_tokens(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        start = [self.bos_token_id] if self.add_bos_token else []
        end = [self.eos_token_id] if self.add_eos_token else []
        return start + token_ids_0 + (token_ids_1 or []) + end

    def save_vocabulary(self, save_directory: str, filename_prefix: str | None = None) -> tuple[str]:
        target = Path(save_directory) / "tokenizer.model"
        if Path(self.vocab_file).resolve() != target.resolve():
            shutil.copy(self.vocab_file, target)
        return (str(target),)
