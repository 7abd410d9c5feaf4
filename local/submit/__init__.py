"""The supervised spark-submit of both stacks. Standard library only."""
