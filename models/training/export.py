"""From a checkpoint to the folder faster-whisper loads."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.training import tokens as ids
from models.training.network import LONGEST_TEXT, POSITIONS, Network, Size

ALIGNMENT_HEADS = [[1, 0], [2, 0]]  # the decoder heads that training taught to look at the word being written
_TOLERANCE = 1e-2  # between the logits of the two networks in single precision
_LANGUAGE_COUNT = 99
_SPACE = 220  # a lone space is no beginning of a text; that nothing is said must stay possible


def _full_table(network: Network, known: list[int]) -> Tensor:
    """Embeddings of all ids of Whisper's vocabulary; those never used share a row."""
    table = network.table()
    full = table[len(known)].repeat(ids.VOCABULARY_SIZE, 1)
    full[torch.tensor(known)] = table[: len(known)]
    full[ids.FIRST_TIME :] = table[len(known) + 1 :]
    return full


def _renamed(network: Network, known: list[int]) -> dict[str, Tensor]:
    """The weights by the names of transformers' Whisper."""
    full = _full_table(network, known)
    named = {
        "model.encoder.embed_positions.weight": network.sound_positions,
        "model.decoder.embed_positions.weight": network.text_positions,
        "model.decoder.embed_tokens.weight": full,
        "proj_out.weight": full,
    }
    for name, weights in network.state_dict().items():
        part, _, rest = name.partition(".")
        if part in ("conv1", "conv2"):
            named[f"model.encoder.{name}"] = weights
        elif part in ("encoder", "decoder"):
            named[f"model.{part}.layers.{rest}"] = weights
        elif part in ("encoder_norm", "decoder_norm"):
            named[f"model.{part.removesuffix('_norm')}.layer_norm.{rest}"] = weights
    return named


def _whisper(size: Size, weights: Mapping[str, Tensor]) -> Any:
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    config = WhisperConfig(
        vocab_size=ids.VOCABULARY_SIZE,
        num_mel_bins=80,
        d_model=size.width,
        encoder_layers=size.encoder_layers,
        decoder_layers=size.decoder_layers,
        encoder_attention_heads=size.heads,
        decoder_attention_heads=size.heads,
        encoder_ffn_dim=4 * size.width,
        decoder_ffn_dim=4 * size.width,
        max_source_positions=POSITIONS,
        max_target_positions=LONGEST_TEXT,
        dropout=0.0,
        decoder_start_token_id=ids.START,
        bos_token_id=ids.END,
        eos_token_id=ids.END,
        pad_token_id=ids.END,
        begin_suppress_tokens=None,
        suppress_tokens=None,
    )
    model = WhisperForConditionalGeneration(config).eval()
    model.load_state_dict(weights)
    return model


@torch.no_grad()
def _check_same(network: Network, whisper: Any, known: list[int]) -> None:
    """The trained network and its conversion give the same logits, or the export is wrong."""
    generator = torch.Generator().manual_seed(0)
    mel = torch.randn(1, 80, 3000, generator=generator) * 0.3
    written = [ids.START, ids.LANGUAGE_TOKENS["en"], ids.TRANSCRIBE, ids.NO_TIMESTAMPS, *known[5:15]]
    encoded, _ = network.encode(mel, torch.zeros(1, dtype=torch.long))
    rows = torch.tensor([[known.index(token) for token in written]])
    ours = network.decode(rows, encoded)[0][..., : len(known)]
    theirs = whisper(input_features=mel, decoder_input_ids=torch.tensor([written])).logits[..., known]
    difference = float((ours - theirs).abs().max())
    if not difference < _TOLERANCE:
        raise RuntimeError(f"the converted model gives other logits than the trained one, by {difference:.3f}")
    print(f"logits of the converted model differ by at most {difference:.2g}")


def _generation_config(tokenizer: Path) -> Any:
    from tokenizers import Tokenizer
    from transformers import GenerationConfig

    names = Tokenizer.from_file(str(tokenizer))
    first = min(ids.LANGUAGE_TOKENS.values())
    languages = {names.id_to_token(token): token for token in range(first, first + _LANGUAGE_COUNT)}
    return GenerationConfig(
        bos_token_id=ids.END,
        eos_token_id=ids.END,
        pad_token_id=ids.END,
        decoder_start_token_id=ids.START,
        suppress_tokens=[],
        begin_suppress_tokens=[_SPACE],
        alignment_heads=ALIGNMENT_HEADS,
        lang_to_id=languages,
        task_to_id={"transcribe": ids.TRANSCRIBE, "translate": ids.TRANSLATE},
        no_timestamps_token_id=ids.NO_TIMESTAMPS,
        is_multilingual=True,
        max_initial_timestamp_index=50,
        max_length=LONGEST_TEXT,
    )


def export(checkpoint: Path, target: Path, like: Path) -> None:
    """Write a CTranslate2 folder with 8-bit weights; tokenizer and preprocessor are those of the model at `like`."""
    from ctranslate2.converters import TransformersConverter

    saved = torch.load(checkpoint, weights_only=True)
    known, size = saved["known"], Size(**saved["size"])
    network = Network(len(known), size).eval()
    network.load_state_dict(saved["averaged"] or saved["network"])
    whisper = _whisper(size, _renamed(network, known))
    _check_same(network, whisper, known)
    whisper.generation_config = _generation_config(like / "tokenizer.json")
    copied = ["tokenizer.json", "preprocessor_config.json"]
    with tempfile.TemporaryDirectory() as folder:
        whisper.save_pretrained(folder)
        for name in copied:
            shutil.copy(like / name, folder)
        converter = TransformersConverter(folder, copy_files=copied)
        converter.convert(str(target), quantization="int8_float16", force=True)
    print(f"model written to {target}")
