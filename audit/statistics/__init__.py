"""Statistics: every number of an audit as an Estimate, with an interval that holds what it promises."""

from audit.statistics.bootstrap import bootstrap_mean, bootstrap_rows, bootstrap_table
from audit.statistics.calibration import Bin, RiskAtCoverage, brier_score, expected_calibration_error, risk_coverage
from audit.statistics.estimate import Estimate
from audit.statistics.group_table import group_counts, rate_parts, rates, resampled_counts
from audit.statistics.medians import median
from audit.statistics.multiplicity import benjamini_hochberg, holm, p_value_against_limit
from audit.statistics.paired import paired_bootstrap_rows, paired_bootstrap_table, paired_shares
from audit.statistics.power import minimum_detectable_difference, minimum_detectable_effect
from audit.statistics.proportions import (
    difference_of_proportions,
    paired_difference_of_proportions,
    proportion,
    ratio_of_proportions,
    share_of,
    wilson_bounds,
)
from audit.statistics.ranges import largest_minus_smallest, largest_of_ranges, smallest_over_largest
from audit.statistics.ranking import auroc

__all__ = [
    "Bin",
    "Estimate",
    "RiskAtCoverage",
    "auroc",
    "benjamini_hochberg",
    "bootstrap_mean",
    "bootstrap_rows",
    "bootstrap_table",
    "brier_score",
    "difference_of_proportions",
    "expected_calibration_error",
    "group_counts",
    "holm",
    "largest_minus_smallest",
    "largest_of_ranges",
    "median",
    "minimum_detectable_difference",
    "minimum_detectable_effect",
    "p_value_against_limit",
    "paired_bootstrap_rows",
    "paired_bootstrap_table",
    "paired_difference_of_proportions",
    "paired_shares",
    "proportion",
    "rate_parts",
    "rates",
    "ratio_of_proportions",
    "resampled_counts",
    "risk_coverage",
    "share_of",
    "smallest_over_largest",
    "wilson_bounds",
]
