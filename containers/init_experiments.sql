-- Experiments for SQL queries: one row per model version that a pipeline has trained.
CREATE OR REPLACE VIEW batchml_experiments AS
SELECT
    version.name AS pipeline,
    (SELECT value::date FROM model_version_tags AS tag
     WHERE tag.name = version.name AND tag.version = version.version AND key = 'end') AS date,
    version.version,
    (SELECT array_agg(alias ORDER BY alias) FROM registered_model_aliases AS alias
     WHERE alias.name = version.name AND alias.version = version.version) AS aliases,
    (SELECT value FROM model_version_tags AS tag
     WHERE tag.name = version.name AND tag.version = version.version AND key = 'gate.verdict') AS verdict,
    (SELECT jsonb_object_agg(key, value) FROM latest_metrics
     WHERE run_uuid = version.run_id AND NOT is_nan) AS metrics,
    (SELECT jsonb_object_agg(key, value) FROM params WHERE run_uuid = version.run_id) AS params,
    to_timestamp(version.creation_time / 1000.0) AS trained_at
FROM model_versions AS version;

COMMENT ON VIEW batchml_experiments IS 'One row per model version: pipeline, date it was trained up to, metrics, aliases';
