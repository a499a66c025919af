"""What the paper model of scaling_model.py says, counted on a small model that TRL trains here.

    python -m benchmarks.scaling

A random Llama of 12.6 M parameters, one batch per line: FLOP as PyTorch counts them in matrix products, bytes that
autograd keeps for the backward pass, and CPU seconds. The counts are exact and the same on any machine; seconds are
not, so look at how they grow.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from benchmarks.scaling_model import Shape, layer_elements, rollout_flops, update_flops
from datasets import Dataset
from torch.utils.flop_counter import FlopCounterMode
from transformers import LlamaConfig, LlamaForCausalLM, PrinterCallback
from transformers import logging as transformers_logging
from trl import GRPOConfig

from unsharpen.engines.trl import DiverseGRPOTrainer
from unsharpen.training.build import load_tokenizer
from unsharpen.training.config import RunConfig

SHAPE = Shape(layers=6, hidden=384, heads=6, kv_heads=2, inner=1024, vocabulary=8192, tied=True, qkv_bias=False)
PROMPT = "1 2 3 4 = 10:"


@contextmanager
def kept_bytes(model: torch.nn.Module, found: dict[str, float]) -> Iterator[None]:
    """Bytes of the distinct storages that autograd keeps within the block, weights and whole numbers left out."""
    seen: dict[int, int] = {}
    held: list[torch.Tensor] = []
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if tensor.is_floating_point() and storage.data_ptr() not in weights:
            seen[storage.data_ptr()] = storage.nbytes()
            held.append(tensor)  # or its address might be given to another
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield
    found["kept"] = float(sum(seen.values()))


def measure(folder: Path, *, group: int, length: int, checkpointing: bool) -> dict[str, float]:
    """One batch of 2 prompts x ``group`` completions of exactly ``length`` tokens."""
    found: dict[str, float] = defaultdict(float)
    tokenizer = load_tokenizer(RunConfig())
    arguments = GRPOConfig(
        output_dir=str(folder / "out"),
        max_steps=1,
        per_device_train_batch_size=2 * group,
        num_generations=group,
        max_completion_length=length,
        generation_kwargs={"min_new_tokens": length},
        gradient_checkpointing=checkpointing,
        bf16=False,
        report_to="none",
        disable_tqdm=True,
        save_strategy="no",
        dataloader_pin_memory=False,
    )

    def reward(completions: list[Any], **_: Any) -> list[float]:
        return [float(i % 2) for i in range(len(completions))]

    trainer = DiverseGRPOTrainer(
        method="ds-grpo",
        model=str(folder / "model"),
        reward_funcs=reward,
        args=arguments,
        train_dataset=Dataset.from_list([{"prompt": PROMPT}] * 4),
        processing_class=tokenizer,
    )
    trainer.remove_callback(PrinterCallback)
    generate, loss = trainer._generate_single_turn, trainer._compute_loss

    def counted_generate(*args: Any, **kwargs: Any) -> Any:
        start = time.process_time()
        with FlopCounterMode(display=False) as counter:
            result = generate(*args, **kwargs)
        found["rollout flop"], found["rollout s"] = counter.get_total_flops(), time.process_time() - start
        return result

    def counted_loss(*args: Any, **kwargs: Any) -> Any:
        with kept_bytes(trainer.model, found):
            return loss(*args, **kwargs)

    trainer._generate_single_turn, trainer._compute_loss = counted_generate, counted_loss
    step, start = FlopCounterMode(display=False), time.process_time()
    with step:
        trainer.train()
    found["update flop"] = step.get_total_flops() - found["rollout flop"]
    found["update s"] = time.process_time() - start - found["rollout s"]
    found["prompt tokens"] = len(tokenizer(PROMPT).input_ids)
    return found


def predicted(group: int, length: int, prompt: float, *, checkpointing: bool) -> dict[str, float]:
    """The same from the paper model, in float32 as here; logits of the completion's tokens alone."""
    completions, tokens = 2 * group, 2 * group * (prompt + length)
    per_token = SHAPE.layers * (SHAPE.hidden if checkpointing else layer_elements(SHAPE)) + 3 * SHAPE.hidden
    head = SHAPE.vocabulary * SHAPE.hidden
    spared = completions * prompt * head  # TRL asks for the logits of completions only, and so does generate
    return {
        "rollout flop": rollout_flops(SHAPE, tokens) - 2 * spared,
        "update flop": update_flops(SHAPE, tokens, checkpointing=checkpointing) - 6 * spared,
        "kept": 4 * per_token * tokens,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lengths", type=int, nargs="+", default=[16, 32, 64])
    parser.add_argument("--groups", type=int, nargs="+", default=[4, 8])
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    transformers_logging.set_verbosity_error()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=SHAPE.vocabulary,
        hidden_size=SHAPE.hidden,
        intermediate_size=SHAPE.inner,
        num_hidden_layers=SHAPE.layers,
        num_attention_heads=SHAPE.heads,
        num_key_value_heads=SHAPE.kv_heads,
        tie_word_embeddings=SHAPE.tied,
    )
    print("| group | length | checkpointing | what | predicted | counted | ratio | CPU s |")
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        model = LlamaForCausalLM(config)
        assert sum(p.numel() for p in model.parameters()) == SHAPE.parameters
        model.save_pretrained(folder / "model")
        settings = [(g, n, False) for g in arguments.groups for n in arguments.lengths]
        settings.append((arguments.groups[0], arguments.lengths[-1], True))
        for group, length, checkpointing in settings:
            found = measure(folder, group=group, length=length, checkpointing=checkpointing)
            guess = predicted(group, length, found["prompt tokens"], checkpointing=checkpointing)
            for what, value in guess.items():
                seconds = {"rollout flop": found["rollout s"], "update flop": found["update s"]}.get(what)
                print(
                    f"| {group} | {length} | {'on' if checkpointing else 'off'} | {what} | {value:.4g} | "
                    f"{found[what]:.4g} | {found[what] / value:.3f} | {'' if seconds is None else f'{seconds:.2f}'} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
