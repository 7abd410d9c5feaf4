"""What a pipeline's DAG is made of. Nothing here computes: every task submits a Spark job or weighs what one said."""
