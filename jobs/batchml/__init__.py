"""A daily batch machine-learning pipeline: Spark computes, Delta Lake keeps tables, MLflow keeps models."""
