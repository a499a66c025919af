"""Rollouts as verl's agent loop leaves them, and the advantages that a loop over groups gives them."""

from __future__ import annotations

import math
from typing import Any

import torch

GAMMA_P, GAMMA_N = 0.3, 0.1

#         prompt, session, output, score, tokens that the model sampled (1) or a tool returned (0)
ROLLOUTS = [
    ("u1", 0, 0, 1.0, [1, 1, 1]),
    ("u1", 1, 0, 0.0, [1, 1]),
    ("u1", 2, 0, 1.0, [1, 1, 0, 0, 1]),  # an agent with a tool
    ("u2", 0, 0, 1.0, [1, 1, 1]),  # an agent with two outputs
    ("u2", 0, 1, 1.0, [1, 1]),
    ("u2", 1, 0, 0.1, [1]),
    ("u3", 0, 0, 0.0, [1, 1, 1, 1]),  # of the third session nothing came back
    ("u3", 1, 0, 1.0, [1, 1]),
]
KEYS = [f"{uid}_{session}_{output}" for uid, session, output, *_ in ROLLOUTS]


def rows(*, rollout_logprobs: bool = True) -> list[dict[str, Any]]:
    """Fields of each rollout, before verl computes its own log-probs."""
    generator = torch.Generator().manual_seed(3)
    found = []
    for uid, session, _, score, mask in ROLLOUTS:
        length = len(mask)
        prompt, response = torch.tensor([5, 6]), torch.randint(7, 99, (length,), generator=generator)
        scores = torch.zeros(length)
        scores[-1] = score
        row = {
            "uid": uid,
            "prompts": prompt,
            "responses": response,
            "input_ids": torch.cat([prompt, response]),
            "position_ids": torch.arange(length + 2),
            "response_mask": torch.tensor(mask),
            "loss_mask": torch.tensor(mask),
            "rm_scores": scores,
            "num_turns": 2,
            "raw_prompt": [{"role": "user", "content": f"prompt {uid}"}],
            "extra_info": {"num_solutions": 3},
            "extra_fields": {"reward_extra_info": {"acc": score, "answer": f"a{session}", "solution": f"s{session}"}},
        }
        if rollout_logprobs:
            row["rollout_log_probs"] = old_logprobs(len(found), length) - 0.05
        found.append(row)
    return found


def old_logprobs(row: int, length: int) -> torch.Tensor:
    """[length] what the trainer would give the tokens of a row."""
    return -torch.rand(length, generator=torch.Generator().manual_seed(100 + row)) - 0.1


def expected(kind: str, logprobs: list[torch.Tensor]) -> list[torch.Tensor]:
    """A tensor per rollout, by loops: ``grpo``, ``ds-grpo-sum`` or ``ds-grpo-token`` with the gammas above."""
    sessions: dict[tuple[str, int], list[int]] = {}
    for row, (uid, session, *_) in enumerate(ROLLOUTS):
        sessions.setdefault((uid, session), []).append(row)
    result = [torch.zeros(0)] * len(ROLLOUTS)
    for uid in dict.fromkeys(uid for uid, _ in sessions):
        members = [parts for (u, _), parts in sessions.items() if u == uid]
        scores = [ROLLOUTS[parts[-1]][3] for parts in members]
        mean = sum(scores) / len(scores)
        std = math.sqrt(sum((s - mean) ** 2 for s in scores) / (len(scores) - 1))
        for parts, score in zip(members, scores, strict=True):
            grpo = (score - mean) / (std + 1e-4)
            gamma = -GAMMA_P if score >= 0.5 else GAMMA_N
            total = sum(float((logprobs[r] * torch.tensor(ROLLOUTS[r][4])).sum()) for r in parts)
            for r in parts:
                mask = torch.tensor(ROLLOUTS[r][4], dtype=torch.float32)
                if kind == "grpo":
                    result[r] = grpo * mask
                elif kind == "ds-grpo-sum":
                    result[r] = (grpo + gamma * total) * mask
                else:
                    result[r] = (grpo + gamma * logprobs[r]) * mask
    return result
