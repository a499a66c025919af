"""A paper model of memory and step time of a recipe; its table stands in recipes/README.md.

    python benchmarks/scaling_model.py

Arithmetic alone, no GPU was asked: docs/scaling.md has the formulas, where each constant comes from, and what of it
was measured. Units: bytes, seconds, FLOP; GB is 10^9 bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

RECIPES = Path(__file__).resolve().parents[1] / "recipes"
PROMPTS, GROUP = 128, 8
COMPLETION = {"countdown": 1024, "math": 3072}
"""Longest completion, tokens."""
MEAN_SHARE = 0.4
"""Mean length of a completion, as a share of the longest: an assumption."""
PROMPT_TOKENS = 200
BATCHES = {"countdown": 100, "math": 200}
MICRO = 4
"""Completions per GPU in one pass with TRL, which pads them to the longest."""
PACKED = {"1.5b": 16384, "3b": 16384, "7b": 12288}
"""Tokens per GPU in one pass with verl, which packs without padding."""
SAMPLER_SHARE = {"trl": 0.35, "verl": 0.5}
"""Share of a GPU's memory that vLLM may take while it samples."""


@dataclass(frozen=True)
class Shape:
    """A decoder of the Llama kind, as its config.json describes it."""

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    inner: int
    vocabulary: int
    tied: bool = False
    qkv_bias: bool = True

    @property
    def kv(self) -> int:
        """Width of keys, and of values."""
        return self.hidden // self.heads * self.kv_heads

    @property
    def layer_parameters(self) -> int:
        attention = 2 * self.hidden * (self.hidden + self.kv) + self.qkv_bias * (self.hidden + 2 * self.kv)
        return attention + 3 * self.hidden * self.inner + 2 * self.hidden

    @property
    def parameters(self) -> int:
        embeddings = self.vocabulary * self.hidden * (1 if self.tied else 2)
        return self.layers * self.layer_parameters + embeddings + self.hidden

    @property
    def matrix_parameters(self) -> int:
        """Those that each token is multiplied with: all but the input embedding, the output's included."""
        layer = 2 * self.hidden * (self.hidden + self.kv) + 3 * self.hidden * self.inner
        return self.layers * layer + self.vocabulary * self.hidden


SHAPES = {  # Qwen2.5 and Qwen2.5-Math of a size have the same shape
    "1.5b": Shape(28, 1536, 12, 2, 8960, 151936, tied=True),
    "3b": Shape(36, 2048, 16, 2, 11008, 151936, tied=True),
    "7b": Shape(28, 3584, 28, 4, 18944, 152064),
}


@dataclass(frozen=True)
class Gpu:
    name: str
    memory: float
    flops: float
    bandwidth: float


H100 = Gpu("H100 80 GB", 80e9, 989e12, 3.35e12)
USED_FLOPS, USED_BANDWIDTH = 0.35, 0.5
"""Shares of the peak that training and sampling reach: assumptions, usual for such models."""
WHOLE_LOGITS = 6
"""Bytes per logit where all of a pass are there at once: bfloat16 and a float32 copy; an assumption."""
TILE = 2.5e9
"""Bytes for logits made tile by tile: at most 4,096 tokens x the vocabulary in float32."""
TOKEN_SECONDS = 8e-3
"""What one step of sampling costs beside reading memory (launching kernels, scheduling): an assumption."""


def training_memory(shape: Shape, *, tokens: int, shards: int, whole_logits: bool) -> dict[str, float]:
    """Bytes per GPU while the policy trains on ``tokens`` in one pass.

    States are 16 bytes a parameter: weights, gradients and two Adam moments in float32. Two units (a layer, or an
    embedding) lie gathered in bfloat16. Checkpointing keeps the input of each layer, in float32, and computes one layer
    again. TRL makes logits tile by tile; verl those of the whole pass.
    """
    unit = max(shape.layer_parameters, shape.vocabulary * shape.hidden)
    return {
        "states": 16 * shape.parameters / shards,
        "gathered": 2 * 2 * unit if shards > 1 else 0.0,
        "checkpoints": 4 * shape.layers * shape.hidden * tokens,
        "layer": layer_bytes(shape) * tokens,
        "logits": WHOLE_LOGITS * shape.vocabulary * tokens if whole_logits else TILE,
    }


def layer_elements(shape: Shape) -> int:
    """Numbers per token that one layer keeps for its backward pass; counted, see docs/scaling.md."""
    return 8 * shape.hidden + 2 * shape.kv + 4 * shape.inner


def layer_bytes(shape: Shape) -> int:
    """The same in bytes under autocast to bfloat16, where the residual stream and the norms stay float32; counted."""
    return 30 * shape.hidden + 4 * shape.kv + 8 * shape.inner


def cache_bytes(shape: Shape) -> int:
    """Bytes of keys and values per token, in bfloat16."""
    return 2 * 2 * shape.layers * shape.kv


def rollout_flops(shape: Shape, completion_tokens: float) -> float:
    """FLOP to sample so many tokens (attention aside): a multiplication and an addition per weight."""
    return 2 * shape.matrix_parameters * completion_tokens


def update_flops(shape: Shape, tokens: float, *, checkpointing: bool = True) -> float:
    """FLOP of forward (2) and backward (4) per weight and token; checkpointing repeats the layers' forward (2)."""
    again = 2 * (shape.matrix_parameters - shape.vocabulary * shape.hidden) if checkpointing else 0
    return (6 * shape.matrix_parameters + again) * tokens


def step_seconds(shape: Shape, *, longest: int, gpus: int, tensor_parallel: int, padded: bool) -> dict[str, float]:
    """Seconds of one batch of PROMPTS x GROUP completions: sampling, old log-probs, updates.

    Sampling takes as long as the longest completion: each of its tokens reads the weights once and the cache of all
    completions on the replica. ``padded`` passes cost the longest completion's tokens, packed ones the mean's.
    """
    completions, gpu = PROMPTS * GROUP, H100
    mean = MEAN_SHARE * longest
    per_replica = completions * tensor_parallel / gpus
    read = 2 * shape.parameters + per_replica * MEAN_SHARE * (PROMPT_TOKENS + mean / 2) * cache_bytes(shape)
    decode = longest * (read / (tensor_parallel * gpu.bandwidth * USED_BANDWIDTH) + TOKEN_SECONDS)
    arithmetic = rollout_flops(shape, completions * (PROMPT_TOKENS + mean)) / (gpus * gpu.flops * USED_FLOPS)
    tokens = completions * (PROMPT_TOKENS + (longest if padded else mean))
    rate = gpus * gpu.flops * USED_FLOPS
    return {
        "rollout": decode + arithmetic,
        "old": 2 * shape.matrix_parameters * tokens / rate,
        "update": update_flops(shape, tokens) / rate,
    }


@dataclass(frozen=True)
class Estimate:
    task: str
    size: str
    engine: str
    gpus: int
    training: float
    sampling: float
    seconds: float
    gpu_hours: float

    def row(self) -> str:
        return (
            f"| {self.task} | {self.size} | {self.engine} | {self.gpus} | {self.training / 1e9:.0f} | "
            f"{self.sampling / 1e9:.0f} | {self.seconds:.0f} | {self.gpu_hours:.0f} | not run: no GPU here |"
        )


def estimate(task: str, size: str, engine: str, gpus: int) -> Estimate:
    """The line of a recipe, with its defaults: full fine-tuning, sharded over all GPUs, sampler on the same GPUs."""
    shape, longest = SHAPES[size], COMPLETION[task]
    tensor_parallel = 2 if engine == "verl" and size == "7b" else 1
    tokens = PACKED[size] if engine == "verl" else MICRO * (PROMPT_TOKENS + longest)
    parts = training_memory(shape, tokens=tokens, shards=gpus, whole_logits=engine == "verl")
    asleep = 16 * shape.parameters / gpus  # what of the trainer stays while vLLM samples
    sampling = asleep + SAMPLER_SHARE[engine] * H100.memory
    times = step_seconds(shape, longest=longest, gpus=gpus, tensor_parallel=tensor_parallel, padded=engine == "trl")
    seconds = sum(times.values())
    hours = BATCHES[task] * seconds * gpus / 3600
    return Estimate(task, size, engine, gpus, sum(parts.values()), sampling, seconds, hours)


def recipes() -> list[tuple[str, str]]:
    """(task, size) of every line of recipes/models.txt."""
    lines = (RECIPES / "models.txt").read_text(encoding="utf-8").splitlines()
    return [tuple(line.split()[:2]) for line in lines if line and not line.startswith("#")]  # type: ignore[misc]


def table() -> str:
    """The table of recipes/README.md: each recipe with both engines on one node, and 7B on two."""
    head = (
        "| task | size | engine | H100s | GB, training | GB, sampling | s per batch | GPU hours in all | status |\n"
        "|---|---|---|---|---|---|---|---|---|"
    )
    places = [(task, size, engine, 8) for task, size in recipes() for engine in ("trl", "verl")]
    places += [("math", "7b", engine, 16) for engine in ("trl", "verl")]
    return "\n".join([head, *(estimate(*place).row() for place in places)])


if __name__ == "__main__":
    print(table())
