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

# The shortest and longest side that a codec or format can hold. H.264, VP9: FFmpeg's encoders.
# SVT-AV1 says 4 to 16384, but never returns from 4096x16; 4096x64 and 8192x64 take a tenth of a second.
# WebP has 14 bits for a side, GIF 16, PNG 31.
LIMITS_PX = {
    "h264": (1, 16_384),
    "vp9": (1, 16_384),
    "av1": (64, 8_192),
    "webp": (1, 16_383),
    "gif": (1, 65_535),
    "apng": (1, 2**31 - 1),
    "png": (1, 2**31 - 1),
}
