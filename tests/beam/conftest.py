"""Pipelines that run in this process, and what they gave."""

import pickle

import pytest


def keep(result, folder):
    """Writes a result as a pickle, which is how it would go to another worker."""
    key, _ = result
    (folder / f"{key}.pickle").write_bytes(pickle.dumps(result))


class Ran:
    """A pipeline that ended.

    Attributes:
      results: By their keys.
      metrics: Namespace and name to a count or a distribution.
    """

    def __init__(self, results, metrics):
        self.results, self.metrics = results, metrics


@pytest.fixture
def run(tmp_path):
    """Runs a pipeline whose last step gives pairs of a key and a result."""
    import apache_beam as beam
    from apache_beam.runners.portability.fn_api_runner import FnApiRunner

    folder = tmp_path / "results"
    folder.mkdir()

    def of(source, *steps):
        # What DirectRunner runs where there is no network; where there is, it would download another runner first.
        pipeline = beam.Pipeline(runner=FnApiRunner())
        last = pipeline | "source" >> source
        for number, step in enumerate(steps):
            last |= f"step {number}" >> step
        _ = last | "keep" >> beam.Map(keep, folder)
        ended = pipeline.run()
        ended.wait_until_finish()
        queried = ended.metrics().query()
        metrics = {
            (one.key.metric.namespace, one.key.metric.name): one.result
            for one in (*queried["counters"], *queried["distributions"])
        }
        return Ran(dict(pickle.loads(path.read_bytes()) for path in folder.glob("*.pickle")), metrics)

    return of
