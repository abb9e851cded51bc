from tftrt_yolo.serving.observing.versions import UNKNOWN, Versions
from tftrt_yolo.serving.scheduling.inference import ModelState


def test_labels_are_those_of_versions_that_are_known():
    versions = Versions(lambda model, version: None)
    versions.add(ModelState("digits", 2, "READY"))
    assert versions.labels_of("digits", "2") == ("digits", "2")
    assert versions.labels_of("digits", "02") == ("digits", "2")
    for version in ("", "3", "-2", "2.0", "x", "²", "9" * 5_000):
        assert versions.labels_of("digits", version) == ("digits", "")
    assert versions.labels_of("dog", "2") == (UNKNOWN, "")
    assert versions.labels_of("", "") == ("", "")


def test_of_a_model_that_is_reloaded_for_ever_the_last_versions_are_kept():
    forgotten = []
    versions = Versions(lambda *of: forgotten.append(of))
    for number in range(1, 101):
        versions.add(ModelState("digits", number, "READY"))
        if number > 1:
            versions.add(ModelState("digits", number - 1, "UNAVAILABLE", "unloaded"))
    assert forgotten == [("digits", number) for number in range(1, 85)]
    assert versions.labels_of("digits", "85") == ("digits", "85")
    assert versions.labels_of("digits", "84") == ("digits", "")


def test_versions_in_use_are_never_forgotten():
    forgotten = []
    versions = Versions(lambda *of: forgotten.append(of))
    for number in range(1, 41):
        versions.add(ModelState("digits", number, "READY"))
    assert not forgotten
