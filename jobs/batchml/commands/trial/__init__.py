"""An edited pipeline on some days in a sandbox, and the difference to production."""
