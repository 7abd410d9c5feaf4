"""Start-up scripts, health checks and settings of the containers."""
