"""Models in processes of their own: queues, batches, versions, and what becomes of requests when a process dies."""
