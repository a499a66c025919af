"""The catalogue as a page of documentation: ``docs/methods.md``, from the table and the builders' docstrings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unsharpen.methods import Method, get_method, list_methods
from unsharpen.training.config import TINY_COEFFICIENTS

STAGES = {
    "baseline": (
        "Baselines and scales",
        "What is subtracted from the rewards of a group, and what they are divided by.",
    ),
    "settings": ("Engine settings", "A plain baseline, and options of the engine: learning rate, KL term, loss, clip."),
    "reward": ("Before the baseline", "The rewards are reshaped first, so the baseline takes part of it back."),
    "advantage": ("After the baseline", "The advantages are reshaped; what is added here is not re-centred."),
    "replace": ("In place of the baseline", "The estimator itself is another one."),
    "token": ("Per token", "The tokens of a completion get different advantages."),
    "loss": ("In the loss", "A term is added to the policy loss; TRL's importance ratio for vLLM does not act on it."),
}

COST = {
    "answers": "none: the verifier's canonical answer",
    "embeddings": "an embedding of every completion",
    "entropies": "none: from the logits of the sampling",
    "lengths": "none",
    "logprobs": "none: recorded while sampling",
    "max_lengths": "none",
    "num_solutions": "none: a column of the data",
    "prompt_ids": "none: a column of the data, or the prompt itself",
    "reference_logprobs": "a forward pass of the reference model per batch",
}
_PLAIN = ("subtract_group_mean", "subtract_leave_one_out_mean", "divide_by_group", "divide_by_batch_std", "skip_")

HEAD = """# Methods

Every method of the catalogue, by where it acts. Written by `unsharpen methods --markdown` from the catalogue's table
and the builders' docstrings: to change this page, change those.

Notation: a prompt has a group of G completions; r_i is the reward of completion i, p the share of the group that is
correct, l_i its log-probability under the policy that sampled it (nats, summed over tokens), m_i = l_i / |y_i| the mean
per token. "GRPO_i" is `(r_i - mean r) / (std r + eps)`. Use any of them with
`unsharpen train --method NAME --method-arg coefficient=value`, or in TRL with `DiverseGRPOTrainer(..., method="NAME")`;
compare them with `unsharpen compare NAME NAME ...`.

**Experimental** marks what could not be checked in the paper or in public code; the entry says what that is.
"""


def methods_page() -> str:
    """The whole page, as Markdown."""
    methods = [get_method(name) for name in list_methods()]
    grouped = {stage: [m for m in methods if stage_of(m) == stage] for stage in STAGES}
    parts = [HEAD, _overview(grouped)]
    for stage, members in grouped.items():
        if members:
            title, words = STAGES[stage]
            parts += [f"## {title}\n\n{words}\n", *map(_entry, members)]
    return "\n".join(parts)


def stage_of(method: Method) -> str:
    """Where a method acts, read off its recipe: the first of its parts that is not a plain baseline or scale."""
    recipe = method.recipe
    if getattr(recipe, "loss_term", None) is not None or getattr(recipe, "pool_term", None) is not None:
        return "loss"
    if recipe.token_transform is not None:
        return "token"
    steps = recipe.transform.name.split(" > ")
    own = [i for i, step in enumerate(steps) if not step.startswith(_PLAIN)]
    centred = [i for i, step in enumerate(steps) if step.startswith("subtract_")]
    if not own:
        return "settings" if recipe.settings else "baseline"
    if not centred:
        return "replace"
    return "reward" if own[0] < centred[0] else "advantage"


def cost_of(method: Method) -> str:
    """What a step costs beside GRPO's, in words."""
    found = {COST.get(field, f"what `{field}` costs to supply") for field in method.requires}
    costs = sorted(text for text in found if not text.startswith("none"))
    if "kl_coef" in method.recipe.settings and COST["reference_logprobs"] not in costs:
        costs.append(COST["reference_logprobs"])
    if getattr(method.recipe, "pool_term", None) is not None:
        costs.append("forward and backward passes over completions of the pool")
    elif getattr(method.recipe, "loss_term", None) is not None:
        costs.append("a term of the loss, on the logits that are there")
    return "; ".join(costs) or "no additional pass"


def _overview(grouped: Mapping[str, list[Method]]) -> str:
    lines = ["| method | acts | needs, beside rewards | costs | what it does |", "|:--|:--|:--|:--|:--|"]
    for stage, members in grouped.items():
        for method in members:
            mark = " (experimental)" * bool(method.experimental)
            needs = ", ".join(sorted(method.requires)) or "nothing"
            cells = (
                f"[`{method.name}`](#{method.name})",
                STAGES[stage][0].lower(),
                needs,
                cost_of(method),
                f"{method.summary}{mark}",
            )
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _entry(method: Method) -> str:
    facts = {
        "Coefficients": _pairs(method.coefficients) or "none",
        "On the shipped model": _pairs(TINY_COEFFICIENTS.get(method.name, {})),
        "Engine settings": _pairs(method.recipe.settings),
        "Needs": ", ".join(f"`{field}`" for field in sorted(method.requires)) or "rewards only",
        "Costs": cost_of(method),
        "Memory": "saved with each checkpoint" if method.memory else "",
        "Source": method.paper,
        "Experimental": method.experimental,
    }
    lines = "\n".join(f"- {key}: {value}" for key, value in facts.items() if value)
    equation = method.equation.replace("; ", "\n")
    return f"### {method.name}\n\n{method.summary}.\n\n```\n{equation}\n```\n\n{method.notes}\n\n{lines}\n"


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(f"`{key}={value}`" for key, value in values.items())
