"""The theory lab: closed-form policies, the domination theorem, and what training does in expectation.

Light: NumPy alone, float64. :mod:`unsharpen.theory.simulate` trains tables with the catalogue's own methods.
"""

from unsharpen.theory.compare import Comparison, Estimate, compare_methods
from unsharpen.theory.divergences import KINDS, divergence
from unsharpen.theory.domination import Match, Point, dominate, is_feasible
from unsharpen.theory.dynamics import (
    collapse_rate,
    entropy_rate,
    expected_grpo_update,
    expected_smoothed_update,
    selection_probability,
)
from unsharpen.theory.frontier import FrontierPoint, frontier
from unsharpen.theory.limits import (
    Exponents,
    Tilt,
    critical_gamma,
    fixed_point_exponents,
    iterate_equivalent,
    potential,
)
from unsharpen.theory.measures import (
    conditional,
    correct_mass,
    effective_number,
    logit_mass,
    normalised_variance,
    shannon,
)
from unsharpen.theory.policies import entropy_bonus, entropy_proxy, entropy_slope, smoothed, tilt, vanilla
from unsharpen.theory.simulate import Trajectory, simulate, simulate_shared
from unsharpen.theory.worlds import World, shared_world

__all__ = [
    "KINDS",
    "Comparison",
    "Estimate",
    "Exponents",
    "FrontierPoint",
    "Match",
    "Point",
    "Tilt",
    "Trajectory",
    "World",
    "collapse_rate",
    "compare_methods",
    "conditional",
    "correct_mass",
    "critical_gamma",
    "divergence",
    "dominate",
    "effective_number",
    "entropy_bonus",
    "entropy_proxy",
    "entropy_rate",
    "entropy_slope",
    "expected_grpo_update",
    "expected_smoothed_update",
    "fixed_point_exponents",
    "frontier",
    "is_feasible",
    "iterate_equivalent",
    "logit_mass",
    "normalised_variance",
    "potential",
    "selection_probability",
    "shannon",
    "shared_world",
    "simulate",
    "simulate_shared",
    "smoothed",
    "tilt",
    "vanilla",
]
