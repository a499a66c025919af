"""What to try, with the methods of the catalogue."""

from __future__ import annotations

import re
from dataclasses import dataclass

from unsharpen.diagnosis.diagnose import Diagnosis
from unsharpen.methods import Method, get_method, list_methods

# method -> when it is the one to try
_AGAINST_COLLAPSE = {
    "ds-grpo-robust": "short answers; by default it takes the sum of their log-probs",
    "ds-grpo": "long answers, where a sum of log-probs would drown the reward; the published form",
    "pkpo": "when Pass@k itself is the aim; needs no log-probs",
    "unlikeliness": "rank within the group instead of the size of the log-prob",
}


@dataclass(frozen=True)
class Advice:
    """One thing to try; `method` and `link` where it is a method of the catalogue."""

    text: str
    method: str | None = None
    link: str | None = None


def advise(diagnosis: Diagnosis, method: str | None = None) -> list[Advice]:
    """What to try, in order.

    Args:
        diagnosis: of the run.
        method: name of the method that the run used, where known.

    Returns:
        Advice; empty where no collapse is to be seen.
    """
    match diagnosis.outcome:
        case "collapsing":
            return [*_go_back(diagnosis), _mix(), *_tune(method), *_methods(method), _slower()]
        case "degrading":
            return [
                *_go_back(diagnosis),
                _slower(),
                Advice("Look at the reward: what it pays for, and whether completions are cut off.", None, None),
                _of("grpo-kl", "a KL term holds the policy near the base"),
            ]
        case "possible" | "can't tell":
            return [*_measure(diagnosis), *(_methods(method)[:1] if diagnosis.outcome == "possible" else [])]
        case _:
            return []


def _go_back(diagnosis: Diagnosis) -> list[Advice]:
    first, _ = diagnosis.steps
    if diagnosis.since is None or diagnosis.since <= first:
        return []
    return [Advice(f"Go on from a checkpoint before step {diagnosis.since:g}; what came later is lost to sampling.")]


def _mix() -> Advice:
    text = (
        "Mix some of the base back into the model that you have: unsharpen merge BASE MODEL --output OUT, with a few "
        "values of --delta. No training, and sampling stays as it is; wise-ft does it at the end of a run."
    )
    return Advice(text, "wise-ft", _link(get_method("wise-ft")))


def _tune(method: str | None) -> list[Advice]:
    if method not in list_methods() or "gamma_p" not in get_method(method).coefficients:
        return []
    text = "raise gamma_p, with gamma_n 0; unsharpen.suggest_gammas finds the size from sampled groups"
    return [_of(method, text)]


def _methods(method: str | None) -> list[Advice]:
    return [_of(name, when) for name, when in _AGAINST_COLLAPSE.items() if name != method]


def _slower() -> Advice:
    return _of("grpo-low-lr", "a smaller learning rate puts a collapse off; compare at equal Pass@1")


def _measure(diagnosis: Diagnosis) -> list[Advice]:
    sample = "Sample an early and a late checkpoint, 64 times a problem: unsharpen eval, then unsharpen report."
    if any(e.is_strong for e in diagnosis.evidence):
        return [Advice(f"{sample} Held-out problems tell sooner than training batches.")]
    return [
        Advice(
            "Log what counts: DiverseGRPOTrainer logs pass@G, effective_solutions and uniform_groups at every step; "
            "verl logs best@N where val_kwargs.n is above 1."
        ),
        Advice(f"Or: {sample[0].lower()}{sample[1:]}"),
    ]


def _of(name: str, when: str) -> Advice:
    method = get_method(name)
    return Advice(f"{name}: {method.summary.rstrip('.')}. For: {when}.", name, _link(method))


def _link(method: Method) -> str | None:
    paper = re.search(r"arXiv (\d{4}\.\d{4,5})", method.paper)
    return f"https://arxiv.org/abs/{paper.group(1)}" if paper else None
