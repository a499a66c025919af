"""Maths: questions with a final answer, graded by math-verify in guarded worker processes."""

from unsharpen.tasks.math.answers import MAX_ANSWER_CHARS, last_boxed
from unsharpen.tasks.math.notation import normalise_answer
from unsharpen.tasks.math.pool import GraderPool
from unsharpen.tasks.math.problem import MathProblem
from unsharpen.tasks.math.task import REASONS, MathTask

__all__ = [
    "MAX_ANSWER_CHARS",
    "REASONS",
    "GraderPool",
    "MathProblem",
    "MathTask",
    "last_boxed",
    "normalise_answer",
]
