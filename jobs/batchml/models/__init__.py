"""Pure: estimators, splits, metrics, scoring, significance, the gate, drift and plots."""
