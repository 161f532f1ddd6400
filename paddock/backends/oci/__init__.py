"""Container images: OCI registries, layout directories and the archives of `docker save`, without any engine."""
