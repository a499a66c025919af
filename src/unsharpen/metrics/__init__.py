"""Numbers from counts: Pass@k, its intervals, diversity among correct completions, and the crossover."""

from unsharpen.metrics.bootstrap import (
    Interval,
    bootstrap_mean,
    bootstrap_over_seeds,
    paired_bootstrap_difference,
)
from unsharpen.metrics.crossover import Crossover, crossover
from unsharpen.metrics.diversity import (
    DiversitySummary,
    distinct,
    diversity_summary,
    effective_number,
    entropy_number,
    expected_distinct,
    pairwise_diversity,
)
from unsharpen.metrics.pass_at_k import default_ks, pass_at_k, pass_at_k_curve
from unsharpen.metrics.samples import SampleTable

__all__ = [
    "Crossover",
    "DiversitySummary",
    "Interval",
    "SampleTable",
    "bootstrap_mean",
    "bootstrap_over_seeds",
    "crossover",
    "default_ks",
    "distinct",
    "diversity_summary",
    "effective_number",
    "entropy_number",
    "expected_distinct",
    "paired_bootstrap_difference",
    "pairwise_diversity",
    "pass_at_k",
    "pass_at_k_curve",
]
