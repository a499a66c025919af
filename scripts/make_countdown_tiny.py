"""Train the small CountDown model that ships in ``src/unsharpen/assets/countdown-tiny``, or a larger one that thinks.

    python scripts/make_countdown_tiny.py            # about 25 minutes on two cores
    python scripts/make_countdown_tiny.py --chains --width 768 --layers 6 --heads 12 --steps 1200 --workers 13 \
        --output countdown-chains                    # 35 M parameters, for a GPU

Problems have 3 (one batch in five) or 4 numbers in 1-10 and a target in 1-60; every example is one of the
problem's distinct solutions, drawn uniformly and written with random order and minimal brackets, so the model learns
a *wide* distribution of right answers: a good base for reinforcement learning. Problems of the held-out tenth
(``held_out``) are never trained on.

With ``--chains`` a completion is a chain of thought and an answer in tags: up to three attempts at random that miss the
target, then the steps of the solution. Solutions that need a step whose result is no integer in 0-100 are left out. The
prompt is the task's usual one; the tokenizer drops its constant words.
"""

from __future__ import annotations

import argparse
import ast
import json
import random
import time
from collections.abc import Iterator
from itertools import combinations_with_replacement
from pathlib import Path

import torch
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from unsharpen.tasks.countdown.expression import render
from unsharpen.tasks.countdown.generator import held_out
from unsharpen.tasks.countdown.solver import reachable
from unsharpen.tasks.countdown.task import CountDownProblem

OUTPUT = Path(__file__).parents[1] / "src" / "unsharpen" / "assets" / "countdown-tiny"
NUMBERS, TARGETS, LARGEST = (1, 10), (1, 60), 100
SHARE_OF_3 = 0.2
MOST_DEAD_ENDS = 3
TAGS = ("<answer>", "</answer>")
SIGNS = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}


def make_tokenizer(chains: bool) -> PreTrainedTokenizerFast:
    """One token per number 0-100 and per symbol."""
    words = ["<pad>", "<eos>", "<unk>", "+", "-", "*", "/", "(", ")", "=", ":", *map(str, range(LARGEST + 1))]
    if chains:
        words += [",", ".", *TAGS]
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation(behavior="isolated")]
    )
    if chains:  # the task's prompt becomes "24 = 3 5 8 :"
        tokenizer.normalizer = normalizers.Sequence(
            [
                normalizers.Replace(Regex(r"Find .* equals "), ""),
                normalizers.Replace(Regex(r" and uses .* numbers (?=\d)"), " = "),
                normalizers.Replace(Regex(r" exactly once\..*$"), " :"),
                normalizers.Replace(Regex(r"(?<=\d), "), " "),
            ]
        )
        tokenizer.add_tokens([AddedToken(tag, normalized=True) for tag in TAGS])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="<eos>",
        unk_token="<unk>",
        padding_side="left",
        clean_up_tokenization_spaces=False,
        model_max_length=192 if chains else 64,
    )


def make_model(tokenizer: PreTrainedTokenizerFast, width: int, layers: int, heads: int) -> LlamaForCausalLM:
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        max_position_embeddings=tokenizer.model_max_length,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        rope_theta=100.0,
        attention_bias=False,
    )
    model = LlamaForCausalLM(config)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    return model


def training_pairs(size: int) -> list[tuple[CountDownProblem, str]]:
    """Every (problem, distinct solution) of ``size`` numbers, without the held-out problems."""
    return [
        (problem, form)
        for nums in combinations_with_replacement(range(NUMBERS[0], NUMBERS[1] + 1), size)
        for target, forms in reachable(nums).items()
        if TARGETS[0] <= target <= TARGETS[1]
        for problem in [CountDownProblem(nums, target)]
        if not held_out(problem.key)
        for form in forms
    ]


def solution_steps(answer: str) -> str | None:
    """The steps of an answer, ``3 + 5 = 8 , 8 * 3 = 24``; None where one gives no integer in 0-100."""
    steps = []

    def value(node: ast.expr) -> int:
        if isinstance(node, ast.Constant):
            return node.value
        left, sign, right = value(node.left), SIGNS[type(node.op)], value(node.right)
        steps.append(step := (left, sign, right, result_of(left, sign, right)))
        return step[3]

    try:
        value(ast.parse(answer, mode="eval").body)
    except ValueError:
        return None
    return " , ".join(f"{left} {sign} {right} = {result}" for left, sign, right, result in steps)


def result_of(left: int, sign: str, right: int) -> int:
    """``left sign right``; raises ValueError where that is no integer in 0-100."""
    if sign == "/" and (right == 0 or left % right):
        raise ValueError
    result = {"+": left + right, "-": left - right, "*": left * right, "/": left // (right or 1)}[sign]
    if not 0 <= result <= LARGEST:
        raise ValueError
    return result


def dead_end(nums: tuple[int, ...], target: int, rng: random.Random) -> str:
    """Steps at random that use all numbers and miss the target."""
    left, steps = list(nums), []
    while len(left) > 1:
        a, b = rng.sample(range(len(left)), 2)
        sign = rng.choice("+-*/")
        try:
            result = result_of(left[a], sign, left[b])
        except ValueError:
            continue
        if len(left) == 2 and result == target:
            return dead_end(nums, target, rng)
        steps.append(f"{left[a]} {sign} {left[b]} = {result}")
        left = [n for i, n in enumerate(left) if i not in (a, b)] + [result]
    return " , ".join(steps)


def chain(problem: CountDownProblem, form: str, rng: random.Random) -> str | None:
    """A chain of thought and the answer; None for a solution that has no chain."""
    answers = (render(form, rng) for _ in range(8))
    thought = next(((answer, steps) for answer in answers if (steps := solution_steps(answer))), None)
    if thought is None:
        return None
    answer, steps = thought
    misses = [dead_end(problem.nums, problem.target, rng) for _ in range(rng.randint(0, MOST_DEAD_ENDS))]
    return f"{' . '.join([*misses, steps])} {TAGS[0]} {answer} {TAGS[1]}"


def batches(
    pool: dict[int, list], tokenizer: PreTrainedTokenizerFast, rng: random.Random, batch_size: int, chains: bool
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Endless (input_ids, labels) of one problem size each; the loss is on the completion alone."""
    vocab = tokenizer.get_vocab()
    pad, eos = tokenizer.pad_token_id, tokenizer.eos_token_id
    while True:
        size = 3 if rng.random() < SHARE_OF_3 else 4
        rows = []
        for problem, form in rng.choices(pool[size], k=batch_size):
            nums = list(problem.nums)
            rng.shuffle(nums)
            given, target = " ".join(map(str, nums)), problem.target
            text = chain(problem, form, rng) if chains else render(form, rng)
            if text is None:
                continue
            prompt = f"{target} = {given} :" if chains else f"{given} = {target} :"
            rows.append(([vocab[w] for w in prompt.split()], [vocab[w] for w in text.split()] + [eos]))
        width = max(len(p) + len(a) for p, a in rows)
        ids = torch.tensor([p + a + [pad] * (width - len(p) - len(a)) for p, a in rows])
        labels = torch.tensor([[-100] * len(p) + a + [-100] * (width - len(p) - len(a)) for p, a in rows])
        yield ids, labels


class Stream(torch.utils.data.IterableDataset):
    """``batches`` for the workers of a DataLoader, each with random numbers of its own."""

    def __init__(
        self, pool: dict[int, list], tokenizer: PreTrainedTokenizerFast, seed: int, batch_size: int, chains: bool
    ) -> None:
        self.pool, self.tokenizer, self.seed, self.batch_size, self.chains = pool, tokenizer, seed, batch_size, chains

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        worker = torch.utils.data.get_worker_info()
        rng = random.Random(self.seed + 1000 * (worker.id if worker else 0))
        return batches(self.pool, self.tokenizer, rng, self.batch_size, self.chains)


def make_optimizers(model: LlamaForCausalLM, muon_rate: float, adam_rate: float, steps: int) -> list:
    """[(optimizer, schedule)]: Muon for the weight matrices, AdamW for the embedding and the norms.

    At 400 steps Muon reaches a loss of .591, AdamW alone (3e-3) .874.
    """
    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name]
    others = [p for name, p in model.named_parameters() if p.ndim != 2 or "embed" in name]
    optimizers = [
        (torch.optim.Muon(matrices, lr=muon_rate, weight_decay=0.01), muon_rate),
        (torch.optim.AdamW(others, lr=adam_rate, betas=(0.9, 0.98), weight_decay=0.01), adam_rate),
    ]
    one_cycle = torch.optim.lr_scheduler.OneCycleLR
    return [
        (optimizer, one_cycle(optimizer, rate, total_steps=steps, pct_start=0.05, cycle_momentum=False))
        for optimizer, rate in optimizers
    ]


def train(model: LlamaForCausalLM, stream, optimizers: list, steps: int) -> float:
    loss_mean, start = 0.0, time.perf_counter()
    for step in range(1, steps + 1):
        ids, labels = (t.to(model.device, non_blocking=True) for t in next(stream))
        with torch.autocast(model.device.type, torch.bfloat16, enabled=model.device.type == "cuda"):
            loss = model(input_ids=ids, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer, schedule in optimizers:
            optimizer.step()
            schedule.step()
            optimizer.zero_grad(set_to_none=True)
        loss_mean = loss_mean + (loss.detach() - loss_mean) / min(step, 50)
        if step % 100 == 0:
            print(f"step {step:5d}  loss {loss_mean:.4f}  {time.perf_counter() - start:.0f} s", flush=True)
    return float(loss_mean)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=OUTPUT)
    parser.add_argument("--steps", type=int, default=4800)
    parser.add_argument("--batch-size", type=int, default=384)
    parser.add_argument("--muon-rate", type=float, default=0.02)
    parser.add_argument("--adam-rate", type=float, default=3e-3)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--chains", action="store_true", help="completions with a chain of thought")
    parser.add_argument("--workers", type=int, default=0, help="processes that make batches")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if args.chains and args.output == OUTPUT:
        parser.error("--chains makes another model than the one that ships: --output, for example countdown-chains")

    torch.manual_seed(args.seed)
    start = time.perf_counter()
    pool = {size: training_pairs(size) for size in (3, 4)}
    print({size: len(pairs) for size, pairs in pool.items()}, f"{time.perf_counter() - start:.0f} s", flush=True)
    tokenizer = make_tokenizer(args.chains)
    model = make_model(tokenizer, args.width, args.layers, args.heads)
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    print(f"{model.num_parameters():,} parameters", flush=True)
    stream = Stream(pool, tokenizer, args.seed, args.batch_size, args.chains)
    loader = torch.utils.data.DataLoader(stream, batch_size=None, num_workers=args.workers)
    optimizers = make_optimizers(model, args.muon_rate, args.adam_rate, args.steps)
    loss = train(model, iter(loader), optimizers, args.steps)
    model.eval()
    model.save_pretrained(args.output)
    tokenizer.save_pretrained(args.output)
    record = {
        **{k: v for k, v in vars(args).items() if k != "output"},
        "parameters": model.num_parameters(),
        "pairs": {size: len(pairs) for size, pairs in pool.items()},
        "final_loss": round(loss, 4),
        "seconds": round(time.perf_counter() - start),
    }
    (args.output / "training.json").write_text(json.dumps(record, indent=2) + "\n")
    print(json.dumps(record))


if __name__ == "__main__":
    main()
