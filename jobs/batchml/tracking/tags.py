"""Tags of MLflow's runs and model versions.

Their names are stored, so a rename loses the values of existing runs and versions.
"""

from enum import StrEnum


class Tag(StrEnum):
    """A tag by its stored name.

    ``containers/init_experiments.sql`` reads ``END`` and ``VERDICT``.
    """

    # Of a training run and of the version it made.
    PIPELINE = "pipeline"
    END = "end"
    CODE_VERSION = "code_version"
    MODEL_CODE = "model_code"
    FEATURES_VERSION = "features_version"
    RUN_ID = "run_id"

    # Of a version, in the order of its life.
    VERDICT = "gate.verdict"
    REASON = "gate.reason"
    PROMOTED = "gate.promoted"
    """The last date of the run that promoted it."""
    APPROVED_BY = "gate.approved_by"
    WITHDRAWN = "rollback.withdrawn"
    RESTORED = "rollback.restored"
    ARCHIVED = "archived"

    # Of other runs, and of a run's dataset.
    ROLE = "role"
    TRIAL = "trial"
    DELTA_VERSION = "delta_version"


class GateVerdict(StrEnum):
    """A value of ``Tag.VERDICT``."""

    PASSED = "passed"
    REJECTED = "rejected"
    UNDECIDED = "undecided"
    """It cannot be compared with the champion, and requires manual approval."""

    @classmethod
    def of(cls, *, passed: bool, needs_approval: bool) -> "GateVerdict":
        """Return the value to store."""
        if needs_approval:
            return cls.UNDECIDED
        return cls.PASSED if passed else cls.REJECTED
