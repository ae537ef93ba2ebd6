"""Tables of campaigns, one module per topic."""

from campaigns.models.experiments import Arm, Assignment, Experiment, Holdout, Look

__all__ = ["Arm", "Assignment", "Experiment", "Holdout", "Look"]
