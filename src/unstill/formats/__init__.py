"""Files: pictures read, clips written and looked at. It does not know what a request or a plan is.

| format | suffixes | codecs, the default first |
|---|---|---|
| mp4 | .mp4 .m4v | h264, av1 |
| webm | .webm | vp9, av1 |
| gif | .gif | |
| webp | .webp | |
| apng | .apng | |
| png | a folder of 0001.png, 0002.png … | |
"""

SUFFIXES = {".mp4": "mp4", ".m4v": "mp4", ".webm": "webm", ".gif": "gif", ".webp": "webp", ".apng": "apng", "": "png"}
CODECS = {"mp4": ("h264", "av1"), "webm": ("vp9", "av1"), "gif": (), "webp": (), "apng": (), "png": ()}
