"""CountDown: reach a target from numbers that are each used exactly once, with every solution enumerable."""

from unsharpen.tasks.countdown.expression import Expression, ExpressionError, parse, render
from unsharpen.tasks.countdown.generator import generate, held_out, require_disjoint, split_problems
from unsharpen.tasks.countdown.problem import CountDownProblem
from unsharpen.tasks.countdown.solver import count_solutions, is_reachable, reachable, solutions
from unsharpen.tasks.countdown.task import REASONS, CountDown

__all__ = [
    "REASONS",
    "CountDown",
    "CountDownProblem",
    "Expression",
    "ExpressionError",
    "count_solutions",
    "generate",
    "held_out",
    "is_reachable",
    "parse",
    "reachable",
    "render",
    "require_disjoint",
    "solutions",
    "split_problems",
]
