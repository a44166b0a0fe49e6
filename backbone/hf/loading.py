"""The door to transformers: language models and tokenizers are loaded and saved, texts are encoded as token ids."""

import inspect
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import huggingface_hub
import torch
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError
from safetensors import SafetensorError, safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast
from transformers import DynamicCache as DynamicCache
from transformers.utils import logging

from backbone.errors import PolygraftError

T = TypeVar("T")

_PICKLES = ("*.bin", "*.pt", "*.pth", "*.pkl")
_ALTERNATIVES = "give a local folder, or `starter`, the small model that needs no network"

_LOGGING: Any = logging  # partly untyped, as the next
_FAST: Any = PreTrainedTokenizerFast
_OS_ERROR = re.compile(r"\(os error (\d+)\)")

_SPELLINGS = {
    "eos_token": ("<|endoftext|>", "</s>", "<eos>", "<|end_of_text|>", "[SEP]"),
    "bos_token": ("<|endoftext|>", "<s>", "<bos>", "<|begin_of_text|>", "[CLS]"),
    "pad_token": ("<pad>", "[PAD]", "<|padding|>"),
    "unk_token": ("<unk>", "[UNK]"),
    "mask_token": ("<mask>", "[MASK]"),
}


def load_model(name: str) -> tuple[Any, Any]:
    """Load a language model, on the CPU and in the dtype of its files, and its tokenizer.

    A model that the hub's cache on this machine holds is taken from there without asking the hub. Only safetensors
    are read, and no code that comes with a model is run.

    Args:
        name: A folder in transformers' format, or a name on the hub.

    Raises:
        PolygraftError: There is no such model, it is not whole, or it cannot serve as a backbone.
    """
    model, tokenizer = _load(name, _read, "a language model")
    if model.config.model_type != "gpt2":
        _check_causal(model, name)
    return model, tokenizer


def load_describer(name: str) -> tuple[Any, Any, Any]:
    """Load a model that puts images into words, on the CPU, what prepares its input, and its tokenizer.

    Args:
        name: A captioner (BLIP, GIT, a vision encoder with a text decoder) or a chat model that sees (LLaVA, Qwen-VL,
            SmolVLM): a folder in transformers' format, or a name on the hub. As with `load_model`, only safetensors
            are read and no code is run.

    Raises:
        PolygraftError: There is no such model, it is not whole, or it puts no images into words.
    """
    return _load(name, _read_describer, "a model that describes images")


def load_tokenizer(name: str) -> Any:
    """Load a tokenizer alone.

    Args:
        name: A ``tokenizer.json``, a folder that holds one, with a model or without, a ``.model`` of sentencepiece, or
            a name on the hub. In a bare ``tokenizer.json``, special tokens have their roles by their usual spellings,
            such as ``</s>`` for the end.

    Raises:
        PolygraftError: There is none, it is damaged, or would run code of its own.
    """
    path = Path(name).expanduser()
    if path.is_dir() and not (path / "tokenizer_config.json").is_file():
        path /= "tokenizer.json"
        if not path.is_file():
            raise PolygraftError(f"{name} holds no tokenizer: it has no tokenizer.json")
    if path.is_file():
        return _load_tokenizer_file(path)
    return _load(name, AutoTokenizer.from_pretrained, "a tokenizer", weights=False)


def _load_tokenizer_file(path: Path) -> Any:
    if path.suffix not in (".json", ".model"):
        raise PolygraftError(
            f"{path} is no tokenizer: give a tokenizer.json, a sentencepiece .model, a folder or a name"
        )
    try:
        with _quiet(bars=False):
            if path.suffix == ".json":
                return _from_json(path)
            parts = _FAST.convert_to_native_format(vocab_file=str(path))
            return _FAST(**{name: part for name, part in parts.items() if name != "vocab_file"})
    except Exception as error:  # the libraries raise many kinds, bare Exception among them
        raise PolygraftError(f"{path} is damaged or no tokenizer: make or download it again") from error


def _from_json(path: Path) -> Any:
    tokenizer = _FAST(tokenizer_file=str(path))
    special = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
    roles = {
        role: spelling
        for role, spellings in _SPELLINGS.items()
        if (spelling := next((spelling for spelling in spellings if spelling in special), None))
    }
    tokenizer.add_special_tokens(roles)
    return tokenizer


def _load(name: str, read: Callable[..., T], kind: str, *, weights: bool = True) -> T:
    """Call ``read`` on a folder, or on a name that the hub's cache or the hub knows; failures become one sentence."""
    folder = _local_folder(name)
    if folder is not None and weights:
        _check_folder(folder)
    # no code that comes with a model is run
    settings = {"trust_remote_code": False, "local_files_only": True}
    try:
        try:
            with _quiet(bars=False):
                return read(str(folder or name), **settings)
        except OSError:
            if folder is not None:
                raise
        _ask_hub(name)
        with _quiet(bars=weights and sys.stderr.isatty()):  # a download may take long
            return read(name, **{**settings, "local_files_only": False})
    except PolygraftError:
        raise
    except Exception as error:  # transformers raises OSError, ValueError, KeyError, RuntimeError and others
        reason = " ".join(str(error).split()).split(". ")[0].rstrip(".")
        raise PolygraftError(f"{name} cannot be loaded as {kind}: {reason}") from error


def save_model(model: Any, tokenizer: Any, folder: Path) -> None:
    """Write a model, weights as safetensors in its dtype, and its tokenizer in transformers' format.

    Raises:
        OSError: There is no space or no permission.
    """
    try:
        with _quiet(bars=False):
            model.save_pretrained(folder)
            tokenizer.save_pretrained(folder)
    except Exception as error:  # safetensors and tokenizers have no OSError, but name its number
        if (found := _OS_ERROR.search(str(error))) is None:
            raise
        number = int(found[1])
        raise OSError(number, os.strerror(number), str(folder)) from error


def _local_folder(name: str) -> Path | None:
    """Return the folder that ``name`` means; None where it reads like the name of a model on the hub."""
    path = Path(name).expanduser()
    if path.is_dir():
        return path
    if path.exists():
        raise PolygraftError(f"{name} is a file, but a model is a folder with config.json and *.safetensors")
    # a name on the hub is NAME or OWNER/NAME
    if name.startswith((".", "/", "~")) or name.endswith("/") or name.count("/") > 1 or not name.strip():
        raise PolygraftError(f"there is no model folder {name!r}: give a folder, a name on the hub, or `starter`")
    return None


def _check_folder(folder: Path) -> None:
    """Refuse a folder that holds no whole model in safetensors, in words that transformers would not find."""
    if not (folder / "config.json").is_file():
        raise PolygraftError(f"{folder} holds no model: it has no config.json")
    weights = sorted(folder.glob("*.safetensors"))
    if not weights and any(file for pattern in _PICKLES for file in folder.glob(pattern)):
        raise PolygraftError(
            f"{folder} has its weights only as a pickle, which could run any code and is not opened: "
            "convert them to safetensors"
        )
    if not weights:
        raise PolygraftError(f"{folder} has a config.json but no *.safetensors: its weights are missing")
    for file in weights:
        try:
            with safe_open(file, framework="pt"):
                pass
        except (SafetensorError, OSError) as error:
            raise PolygraftError(f"{file} is truncated or damaged ({error}): copy or train it again") from error


def _ask_hub(name: str) -> None:
    try:
        huggingface_hub.model_info(name, timeout=10)  # at once, where transformers retries ten times
    except GatedRepoError as error:
        found = "the hub gives it only to those who have accepted its terms and are logged in"
        raise PolygraftError(f"no model {name!r} on this machine, and {found}") from error
    except RepositoryNotFoundError as error:
        raise PolygraftError(f"there is no model {name!r}, here or on the hub: {_ALTERNATIVES}") from error
    except Exception as error:  # what a failed connection raises depends on the HTTP library below
        found = f"the model hub is out of reach ({type(error).__name__})"
        raise PolygraftError(f"no model {name!r} on this machine, and {found}: {_ALTERNATIVES}") from error


def _read(source: str, **settings: bool) -> tuple[Any, Any]:
    tokenizer = AutoTokenizer.from_pretrained(source, **settings)
    return _read_weights(AutoModelForCausalLM, source, **settings), tokenizer


def _read_describer(source: str, **settings: bool) -> tuple[Any, Any, Any]:
    # these bring torchvision with them: two seconds that no language model should wait for
    from transformers import AutoImageProcessor, AutoModelForImageTextToText, AutoProcessor

    processors: Any = AutoProcessor  # untyped, as the next
    image_processors: Any = AutoImageProcessor
    model = _read_weights(AutoModelForImageTextToText, source, **settings)
    processor = processors.from_pretrained(source, **settings)
    if hasattr(processor, "image_processor"):
        return model, processor, processor.tokenizer
    # a vision encoder joined with a text decoder keeps the two apart
    pixels = image_processors.from_pretrained(source, **settings)
    return model, pixels, AutoTokenizer.from_pretrained(source, **settings)


def _read_weights(auto: Any, source: str, **settings: bool) -> Any:
    model, report = auto.from_pretrained(
        source, dtype="auto", use_safetensors=True, output_loading_info=True, **settings
    )
    # transformers would fill in at random what is missing
    absent = sorted(map(str, [*report["missing_keys"], *report["mismatched_keys"]]))
    if absent:
        more = f" and {len(absent) - 3} more" if len(absent) > 3 else ""
        raise PolygraftError(f"{source} lacks weights that its config.json asks for: {', '.join(absent[:3])}{more}")
    return model


@torch.inference_mode()
def _check_causal(model: Any, name: str) -> None:
    """Refuse what is no causal language model with a linear head that takes embeddings, by trying it."""
    lacking = {"inputs_embeds", "position_ids", "cache"} - set(inspect.signature(model.base_model.forward).parameters)
    if lacking:
        raise PolygraftError(f"{name} cannot be a backbone: it takes no {', '.join(sorted(lacking))}")
    # two rows that differ in their last token alone
    embeds = model.get_input_embeddings()(torch.tensor([[0, 1, 2, 3], [0, 1, 2, 4]]))
    states = model.base_model(inputs_embeds=embeds, use_cache=False).last_hidden_state
    logits = model(inputs_embeds=embeds, use_cache=False).logits
    # tolerances for weights in half precision
    if not torch.allclose(states[0, :-1], states[1, :-1], rtol=1e-2, atol=1e-3):
        raise PolygraftError(f"{name} cannot be a backbone: it is not causal, tokens change earlier ones")
    if not torch.allclose(model.get_output_embeddings()(states), logits, rtol=1e-2, atol=1e-2):
        raise PolygraftError(f"{name} cannot be a backbone: its logits are not a linear map of its states")


@contextmanager
def _quiet(*, bars: bool) -> Iterator[None]:
    verbosity, had_bars = _LOGGING.get_verbosity(), _LOGGING.is_progress_bar_enabled()
    _LOGGING.set_verbosity_error()  # what matters of its warnings we check ourselves
    if not bars:
        _LOGGING.disable_progress_bar()
    try:
        yield
    finally:
        _LOGGING.set_verbosity(verbosity)
        if had_bars:
            _LOGGING.enable_progress_bar()
