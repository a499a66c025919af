"""Made evaluations with the shape of real ones: CountDown-like solutions of a base model and of sharper ones."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from unsharpen.metrics import SampleTable

HOSTILE = [
    '</script><script>window.hacked = "script"</script>',
    "<img src=x onerror=\"window.hacked='image'\">",
    "<!-- <script> \u2028 \u2029 {{SCRIPT}} {{DATA}} ${1+1} `x`",
    "\ud800 lone surrogate \x00 zero byte \u202e backwards",
    "<style>main { display: none }</style><link rel=stylesheet href=//127.0.0.1:9/x>",
]


def rows(sharpness: float, *, problems: int, n: int, seed: int) -> list[dict[str, Any]]:
    """Samples: each problem has some solutions with Zipf shares; sharper models are right more often, but alike."""
    world, rng = np.random.default_rng(1), np.random.default_rng(seed)
    out = []
    for p in range(problems):
        solutions = int(world.integers(1, 9))
        ease = float(world.beta(1.1, 1.6))
        shares = (1 / (1 + np.arange(solutions))) ** sharpness
        shares /= shares.sum()
        alive = ease > 0.12 * (sharpness - 1)  # what the base hardly finds, a sharper model loses
        right = ease ** (1 / sharpness) if alive else 0.0
        for i in range(n):
            good = rng.random() < right
            which = int(rng.choice(solutions, p=shares)) if good else int(rng.integers(0, 4))
            canonical = f"({p + 1} + {which}) × 2" if good else (None if which == 0 else f"{p} − {which}")
            out.append(
                {
                    "problem_id": f"{p:04d}",
                    "sample_id": i,
                    "completion": f"<think>Let us try {which}.</think>\n<answer>{canonical}</answer>",
                    "correct": bool(good),
                    "reason": "correct" if good else ("no answer" if which == 0 else "wrong value"),
                    "canonical": canonical,
                    "num_tokens": 12,
                    "logprob": -4.0,
                    "seed": seed,
                }
            )
    return out


def about(problems: int) -> dict[str, dict[str, Any]]:
    world = np.random.default_rng(1)
    found = {}
    for p in range(problems):
        found[f"{p:04d}"] = {
            "text": f"Make {p + 10} from {p + 1}, 2, 3 and 7, each used once.",
            "multiplicity": int(world.integers(1, 9)),
        }
        world.beta(1.1, 1.6)
    return found


def table(label: str, sharpness: float, *, problems: int = 60, n: int = 32, **settings: Any) -> SampleTable:
    return SampleTable.from_rows(
        rows(sharpness, problems=problems, n=n, seed=int(10 * sharpness)),
        label=label,
        problems=about(problems),
        settings={"task": "countdown", "split": "test", "model": label, "temperature": 1.0, "top_p": 1.0, **settings},
    )


def hostile_table() -> SampleTable:
    """Every text that comes from outside is an attack."""
    made = [
        {
            "problem_id": f"{HOSTILE[p % len(HOSTILE)]}{p}",
            "completion": HOSTILE[i % len(HOSTILE)] * (3000 if i == 9 else 1),
            "correct": i % 3 == 0,
            "reason": HOSTILE[(i + 1) % len(HOSTILE)],
            "canonical": HOSTILE[(i + 2) % len(HOSTILE)],
        }
        for p in range(6)
        for i in range(10)
    ]
    texts = {row["problem_id"]: {"text": HOSTILE[0] + row["problem_id"]} for row in made}
    return SampleTable.from_rows(
        made, label=HOSTILE[0], problems=texts, settings={HOSTILE[1]: HOSTILE[2], "task": HOSTILE[3]}
    )


def write_evaluation(
    folder: Path, made: list[dict[str, Any]], problems: Mapping[str, Any] | None = None, **settings: Any
) -> Path:
    folder.mkdir(parents=True)
    lines = "".join(json.dumps(row) + "\n" for row in made)
    (folder / "samples.jsonl").write_text(lines, "utf-8")
    if problems is not None:
        entries = [{"problem_id": key, "answer": None, **value} for key, value in problems.items()]
        (folder / "problems.jsonl").write_text("".join(json.dumps(e) + "\n" for e in entries), "utf-8")
    if settings:
        (folder / "settings.json").write_text(json.dumps(settings), "utf-8")
    return folder
