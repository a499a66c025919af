"""Is a training run collapsing? Curves in; whether, since when, on which evidence, and what to try out."""

from unsharpen.diagnosis.advice import Advice, advise
from unsharpen.diagnosis.diagnose import OUTCOMES, Diagnosis, diagnose
from unsharpen.diagnosis.evidence import Evidence
from unsharpen.diagnosis.logs import TrainingLog, read_log
from unsharpen.diagnosis.trend import Turn, find_turn, rank_trend
from unsharpen.diagnosis.watch import CollapseWatch

__all__ = [
    "OUTCOMES",
    "Advice",
    "CollapseWatch",
    "Diagnosis",
    "Evidence",
    "TrainingLog",
    "Turn",
    "advise",
    "diagnose",
    "find_turn",
    "rank_trend",
    "read_log",
]
