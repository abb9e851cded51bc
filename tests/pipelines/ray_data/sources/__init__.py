"""Sources of jobs: stores behind URLs, Parquet tables, videos."""
