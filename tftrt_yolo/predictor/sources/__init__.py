"""Where images come from: files, folders, lists, videos and streams."""
