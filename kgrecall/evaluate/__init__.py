"""How good is a ranking? Measures as values, full ranking in blocks, paired significance."""

from kgrecall.evaluate.comparison import Comparison, compare
from kgrecall.evaluate.curve import PrecisionRecallCurve, precision_recall_curve
from kgrecall.evaluate.evaluator import Evaluation, evaluate
from kgrecall.evaluate.measures import (
    AUC,
    F1,
    MAP,
    MRR,
    NDCG,
    Coverage,
    Diversity,
    HitRate,
    Measure,
    Novelty,
    Precision,
    Recall,
    parse_measure,
)
from kgrecall.evaluate.ranking import Rank, Score, StoredLists, rank_by_score, store_lists
from kgrecall.evaluate.segments import is_cold_item, truth_by_warmth, users_by_activity
from kgrecall.evaluate.significance import PairedDifference, paired_bootstrap

__all__ = [
    "AUC",
    "F1",
    "MAP",
    "MRR",
    "NDCG",
    "Comparison",
    "Coverage",
    "Diversity",
    "Evaluation",
    "HitRate",
    "Measure",
    "Novelty",
    "PairedDifference",
    "Precision",
    "PrecisionRecallCurve",
    "Rank",
    "Recall",
    "Score",
    "StoredLists",
    "compare",
    "evaluate",
    "is_cold_item",
    "paired_bootstrap",
    "parse_measure",
    "precision_recall_curve",
    "rank_by_score",
    "store_lists",
    "truth_by_warmth",
    "users_by_activity",
]
