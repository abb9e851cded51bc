"""COCO's JSON: read as pycocotools reads it, value by value."""
