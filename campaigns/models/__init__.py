from campaigns.models.sops import Sop, SopRun, SopStep, SopStepDone, SopVersion

__all__ = ["Sop", "SopRun", "SopStep", "SopStepDone", "SopVersion"]
