"""The forms beside pictures and lines of JSON, each written from a `Shot`: an image or frame with what was found."""
