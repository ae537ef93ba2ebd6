"""Tables of campaigns, one module per topic."""

from campaigns.models.experiments import Arm, Assignment, Experiment, Holdout, Look
from campaigns.models.sends import ContactBudget, Recipient, Send, SendBatch
from campaigns.models.sops import Sop, SopRun, SopStep, SopStepDone, SopVersion

__all__ = [
    "Arm", "Assignment", "ContactBudget", "Experiment", "Holdout", "Look", "Recipient", "Send", "SendBatch", "Sop", "SopRun", "SopStep",
    "SopStepDone", "SopVersion",
]  # fmt: skip
