"""Where a job's images come from beside this machine's folders: stores behind URLs, Parquet tables, videos."""
