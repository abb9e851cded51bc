"""Image files inside the graph: what signature `encoded` takes.

`images` decodes each file, turns it upright and fits it into a frame, and says of each that it cannot read why not;
`headers` looks at the first bytes before anything is decoded: formats and sizes, by `jpeg` for JPEG, `exif` for how a
camera was held, `bitmaps` for BMP, which it decodes too, `gif` for GIF. `file_bytes` reads numbers from strings.
"""
