"""Labelled images: a data.yaml, a COCO JSON or class folders, read and checked before the first image runs."""
