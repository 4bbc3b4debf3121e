"""The bundle configs: wiring in YAML, mixins, metadata."""
