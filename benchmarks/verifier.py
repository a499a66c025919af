"""Speed of the CountDown verifier on one core: verdicts per second, and the slowest hostile text.

Run with the package installed: ``python benchmarks/verifier.py``.
"""

from __future__ import annotations

from random import Random
from time import perf_counter

from unsharpen.tasks.countdown import CountDown, CountDownProblem, render

SECONDS = 2.0
REPEATS = 5
LIMIT_MS = 10.0

HOSTILE = {
    "open brackets": "(" * 1_000_000,
    "nested brackets": "(" * 62 + "3" + ")" * 62,
    "negations": "-(" * 31 + "3*5" + ")" * 31,
    "factors": "*".join(["(1-2)"] * 85),
    "long sum": "1" + "+1" * 255,
    "nested sums": "(1+" * 30 + "1" + ")*12345678" * 30,
    "nested products": "2*(1+" * 20 + "1" + "+99999999)" * 20,
    "quotients": "1/" * 255 + "3",
    "big literals": "999999999*" * 51 + "9",
    "power tower": "9**9**9",
    "digits": "9" * 1_000_000,
    "openers": "<answer>" * 124_000,
    "closers": "</answer>" * 111_000,
    "almost closers": "<answer>" + "</answer" * 124_000,
    "near misses": "/answer>" * 124_000,
    "wide answer": "<answer>" + " " * 990_000 + "</answer>",
    "boxes": "\\boxed{" * 142_000,
    "closed boxes": "\\boxed{" * 100_000 + "}" * 100_000,
    "braces": "\\boxed{" + "{" * 990_000,
    "near boxes": "boxed{" * 160_000,
    "spaces": " " * 1_000_000,
    "lines": "\n" * 1_000_000,
    "wide characters": "\U0001f600" * 1_000_000,
    "too long": "a" * 5_000_000,
}


def typical(task: CountDown, size: int) -> list[tuple[CountDownProblem, str]]:
    """Solutions of generated problems as a model writes them, half of them judged on another problem."""
    rng = Random(0)
    problems = task.generate(300, seed=0, sizes=(size,))
    texts = [render(rng.choice(task.solutions(problem)), rng) for problem in problems]
    judged = [problem if i % 2 else problems[i - 1] for i, problem in enumerate(problems)]
    completions = [f"<think>try it</think> <answer>{text}</answer>" for text in texts]
    return list(zip(judged, completions, strict=True))


def rate(task: CountDown, items: list[tuple[CountDownProblem, str]]) -> float:
    """Verdicts per second."""
    count, start = 0, perf_counter()
    while (elapsed := perf_counter() - start) < SECONDS:
        for problem, completion in items:
            task.verify(problem, completion)
        count += len(items)
    return count / elapsed


def slowest() -> list[tuple[float, str]]:
    """Milliseconds, best of some repeats, for each hostile text in each answer format, slowest first."""
    times = []
    for answer_format in ("tags", "boxed", "bare"):
        task = CountDown(answer_format=answer_format)  # type: ignore[arg-type]
        problem = task.problem((3, 5, 3), 24)
        for name, text in HOSTILE.items():
            for wrapped in (text, f"<answer>{text}</answer>", f"\\boxed{{{text}}}"):
                best = float("inf")
                for _ in range(REPEATS):
                    start = perf_counter()
                    task.verify(problem, wrapped)
                    best = min(best, perf_counter() - start)
                times.append((best * 1000, f"{name} ({answer_format})"))
    return sorted(times, reverse=True)


def main() -> None:
    task = CountDown()
    for size in (3, 4):
        print(f"{size} numbers: {rate(task, typical(task, size)):,.0f} verdicts per second")
    times = slowest()
    for milliseconds, name in times[:5]:
        print(f"hostile text, {name}: {milliseconds:.2f} ms")
    if times[0][0] > LIMIT_MS:
        raise SystemExit(f"a text takes over {LIMIT_MS} ms")


if __name__ == "__main__":
    main()
