"""Pages that Airflow's API server serves in addition to its own."""
