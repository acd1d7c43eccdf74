"""Losses on logits, and sums of them written as a short expression: "ce + 0.5*dice + 0.1*boundary".

Every loss is a function of a `Batch`, for one logit a pixel against soft truth or for several against class ids; what is
not known has no part in any.
"""

from edgeseg.train.losses.batch import IGNORE, Batch
from edgeseg.train.losses.expression import CLASS_LOSS, LOSSES, PERSON_LOSS, Expression, parse

__all__ = ["CLASS_LOSS", "IGNORE", "LOSSES", "PERSON_LOSS", "Batch", "Expression", "parse"]
