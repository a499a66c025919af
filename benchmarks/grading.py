"""Speed of grading maths answers: math-verify in a loop, worker processes on all cores, and what equal answers save.

Run with the extra `math` installed: ``python benchmarks/grading.py``; ``--num 2000`` for a quick look. All in one run,
on the same answers: fractions, radicals, multiples of pi, tuples, intervals, sets, polynomials and decimals, half of
them right in another form than the gold answer, the others wrong. None is an integer or the gold answer's text, so each
needs a parser. The workers also find the identity of each wrong answer, which the loop does not.

The loop is stopped after ``--loop-seconds`` and its time for the rest is scaled up: kinds and verdicts alternate and
the numbers are drawn alike, so any beginning is like the whole. The output says so where it happened.
"""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Callable
from math import gcd
from random import Random
from time import perf_counter

from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse, verify

from unsharpen.tasks import MathProblem, MathTask
from unsharpen.tasks.math import GraderPool

SAMPLES = 64
SHARES = (0.5, 0.2, 0.1, 0.05)  # of the most frequent answers of a problem; the rest is spread over eight others
Pair = tuple[str, str]
TARGET = (LatexExtractionConfig(boxed_match_priority=0), ExprExtractionConfig())


def fraction(a: int, b: int) -> Pair:
    return rf"\frac{{{a}}}{{{b}}}", rf"{3 * a}/{3 * b}"


def radical(a: int, b: int) -> Pair:
    return rf"{a}\sqrt{{{b}}}", rf"\sqrt{{{a * a * b}}}"


def multiple_of_pi(a: int, b: int) -> Pair:
    return rf"\frac{{{a}\pi}}{{{b}}}", rf"\frac{{{a}}}{{{b}}} \cdot \pi"


def pair(a: int, b: int) -> Pair:
    return f"({a}, {b})", rf"\left( {a}, \frac{{{2 * b}}}{{2}} \right)"


def interval(a: int, b: int) -> Pair:
    return rf"[{a}, {a + b}]", rf"\left[ \frac{{{2 * a}}}{{2}}, {a + b} \right]"


def finite_set(a: int, b: int) -> Pair:
    return rf"\{{{a}, {a + b}\}}", rf"\{{ {a + b}, \frac{{{3 * a}}}{{3}} \}}"


def polynomial(a: int, b: int) -> Pair:
    return f"x^2 + {a + b}x + {a * b}", f"(x+{a})(x+{b})"


def decimal(a: int, b: int) -> Pair:
    return f"{a}.{b % 90 + 10}", rf"\frac{{{100 * a + b % 90 + 10}}}{{100}}"


KINDS: tuple[Callable[[int, int], Pair], ...] = (
    *(fraction, radical, multiple_of_pi, pair, interval, finite_set, polynomial, decimal),
)


def distinct_pairs(num: int) -> list[Pair]:
    """So many different pairs of gold answer and answer; every second one is wrong."""
    rng = Random(0)
    pairs: dict[Pair, None] = {}
    while len(pairs) < num:
        kind = KINDS[len(pairs) % len(KINDS)]
        a, b = rng.randint(2, 9_999), rng.randint(2, 97)
        if gcd(a, b) > 1:
            continue
        wrong = (len(pairs) // len(KINDS)) % 2
        pairs[kind(a, b)[0], kind(a + wrong, b)[1]] = None
    return list(pairs)


def as_sampled(pairs: list[Pair], num: int) -> list[Pair]:
    """So many pairs, as a model answers a problem again and again: few answers are frequent."""
    rng = Random(1)
    golds = [gold for gold, _ in pairs[:: max(1, len(pairs) * SAMPLES // num)]][: -(-num // SAMPLES)]
    weights = [*SHARES, *[(1 - sum(SHARES)) / 8] * 8]
    sampled = []
    for gold in golds:
        answers = [rng.choice(pairs)[1] for _ in weights]
        sampled += [(gold, answer) for answer in rng.choices(answers, weights, k=SAMPLES)]
    return sampled[:num]


def timed(grade: Callable[[], list[bool]]) -> tuple[float, list[bool]]:
    start = perf_counter()
    verdicts = grade()
    return perf_counter() - start, verdicts


def in_a_loop(pairs: list[Pair], seconds: float = float("inf")) -> list[bool]:
    """The verdicts on the pairs, or on as many of the first ones as the seconds allow, in whole rounds of the kinds."""

    def read(text: str) -> list[object]:
        return list(parse(f"\\boxed{{{text}}}", TARGET))

    start, verdicts, rounds = perf_counter(), [], 2 * len(KINDS)
    for first in range(0, len(pairs), rounds):
        if perf_counter() - start > seconds:
            break
        verdicts += [bool(verify(read(gold), read(answer))) for gold, answer in pairs[first : first + rounds]]
    return verdicts


def by_workers(task: MathTask, pairs: list[Pair]) -> list[bool]:
    problems = [MathProblem("?", gold) for gold, _ in pairs]
    return [v.correct for v in task.verify_many(problems, [f"\\boxed{{{answer}}}" for _, answer in pairs])]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num", type=int, default=50_000, help="answers")
    parser.add_argument("--loop-seconds", type=float, default=360, help="stop the loop then, and scale its time up")
    options = parser.parse_args()
    num = options.num
    logging.disable()
    pairs = distinct_pairs(num)
    sampled = as_sampled(pairs, num)
    in_a_loop(pairs[:16])  # compiles its regular expressions
    with GraderPool() as pool:
        start, _ = timed(lambda: by_workers(MathTask(pool=pool), pairs[: 4 * pool.num_workers]))
        loop, expected = timed(lambda: in_a_loop(pairs, options.loop_seconds))
        workers, found = timed(lambda: by_workers(MathTask(pool=pool), pairs))
        again, _ = timed(lambda: by_workers(MathTask(pool=pool), sampled))
        processes = pool.num_workers
    done = len(expected)
    loop *= num / done
    differ = sum(a != b for a, b in zip(expected, found, strict=False))
    print(f"{num:,} answers, all different; {os.cpu_count()} cores, {processes} workers, started in {start:.1f} s")
    print(f"math-verify in a loop:      {loop:8.1f} s, {num / loop:10,.0f} answers per second")
    if done < num:
        print(f"  (timed on the first {done:,}, which took {loop * done / num:.0f} s, and scaled up to {num:,})")
    print(f"worker processes:           {workers:8.1f} s, {num / workers:10,.0f} answers per second")
    print(f"ratio:                      {loop / workers:8.2f}")
    print(f"verdicts that differ:       {differ:8d} of {done:,}; right: {sum(found)}")
    share = len(set(sampled)) / len(sampled)
    print(f"{num:,} answers as sampled, {SAMPLES} per problem, {share:.1%} of them different:")
    print(f"worker processes:           {again:8.1f} s, {num / again:10,.0f} answers per second")
    print(f"ratio to the first line:    {loop / again:8.2f}")


if __name__ == "__main__":
    main()
