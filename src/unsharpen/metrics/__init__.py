"""Numbers from samples: Pass@k and kin, their intervals, diversity, sharpening, and one model beside another."""

from unsharpen.metrics.answers import AnswerGroups, answer_groups
from unsharpen.metrics.bands import Band, multiplicity_bands
from unsharpen.metrics.bootstrap import (
    Interval,
    bootstrap_mean,
    bootstrap_means,
    bootstrap_over_seeds,
    paired_bootstrap_difference,
)
from unsharpen.metrics.comparison import Comparison, compare
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
from unsharpen.metrics.efficiency import SamplingEfficiency, sampling_efficiency
from unsharpen.metrics.majority import MajorityCurve, majority_at_k, majority_curve
from unsharpen.metrics.pass_at_k import default_ks, pass_at_k, pass_at_k_curve
from unsharpen.metrics.samples import SampleTable
from unsharpen.metrics.sharpening import (
    RareCorrect,
    largest_correct_share,
    mean_length,
    mean_token_logprob,
    rare_correct_logprobs,
)
from unsharpen.metrics.stability import g_pass_at_k, mg_pass_at_k
from unsharpen.metrics.summary import BandSummary, MeasureSummary, Summary, summarise
from unsharpen.metrics.text import TextDiversity, distinct_n, self_bleu, text_diversity

__all__ = [
    "AnswerGroups",
    "Band",
    "BandSummary",
    "Comparison",
    "Crossover",
    "DiversitySummary",
    "Interval",
    "MajorityCurve",
    "MeasureSummary",
    "RareCorrect",
    "SampleTable",
    "SamplingEfficiency",
    "Summary",
    "TextDiversity",
    "answer_groups",
    "bootstrap_mean",
    "bootstrap_means",
    "bootstrap_over_seeds",
    "compare",
    "crossover",
    "default_ks",
    "distinct",
    "distinct_n",
    "diversity_summary",
    "effective_number",
    "entropy_number",
    "expected_distinct",
    "g_pass_at_k",
    "largest_correct_share",
    "majority_at_k",
    "majority_curve",
    "mean_length",
    "mean_token_logprob",
    "mg_pass_at_k",
    "multiplicity_bands",
    "paired_bootstrap_difference",
    "pairwise_diversity",
    "pass_at_k",
    "pass_at_k_curve",
    "rare_correct_logprobs",
    "sampling_efficiency",
    "self_bleu",
    "summarise",
    "text_diversity",
]
