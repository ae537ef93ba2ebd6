"""Tables of campaigns, one module per topic."""

from campaigns.models.experiments import Arm, Assignment, Experiment, Holdout, Look
from campaigns.models.sends import ContactBudget, Recipient, Send, SendBatch

__all__ = ["Arm", "Assignment", "ContactBudget", "Experiment", "Holdout", "Look", "Recipient", "Send", "SendBatch"]
