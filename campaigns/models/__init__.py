"""Tables of campaigns, one module per topic."""

from campaigns.models.experiments import Arm, Assignment, Experiment, Holdout, Look
from campaigns.models.sops import Sop, SopRun, SopStep, SopStepDone, SopVersion

__all__ = [
    "Arm", "Assignment", "Experiment", "Holdout", "Look", "Sop", "SopRun", "SopStep", "SopStepDone", "SopVersion",
]  # fmt: skip
