"""A daily batch machine-learning pipeline on Spark, Delta Lake and MLflow."""
