"""What a file is that holds no readable photo, by its first bytes, and what to do about it."""

from __future__ import annotations

import codecs

READABLE = "JPEG, PNG, WebP, AVIF, HEIC, GIF, BMP, TIFF, JPEG 2000 or PPM"
_OTHER = f"This is not a photo that can be read here; use a {READABLE} file."
_ODD = (
    "The photo is damaged, or its pixels are of a kind that can’t be read here; open it on your "
    "own device and save it as PNG or JPEG."
)
RAW = (
    "This is a camera’s raw file, whose colours depend on the program that develops it; export it "
    "as JPEG or PNG."
)
_VIDEO = "This is a video; take a still picture out of it."
_TEXT = "This file holds text, such as a web page in place of the picture; save the picture itself."
_ARCHIVE = "This is an archive; unpack it and choose one photo."
_OFFICE = "This is an office document; save the picture in it to a file of its own."
_POINTER = "This is what Git LFS leaves in the photo’s place; fetch it with “git lfs pull”."

_DICOM = (
    "This is a DICOM file, whose greys need a window; export the picture as PNG from its viewer, "
    "or give read() in Python the pixel_array of pydicom."
)

# What stands at which place, and the sentence about it.
_SIGNS: tuple[tuple[int, bytes, str], ...] = (
    (128, b"DICM", _DICOM),
    (0, b"\x02\0\0\0UL", _DICOM),  # as old instruments write it, with nothing in front
    (0, b"\x08\0\x05\0", _DICOM),
    (0, b"%PDF", "This is a PDF; export the page or the picture in it as PNG."),
    (0, b"%!PS", "This is a PostScript drawing; export it as PNG."),
    (0, b"8BPS", "This is a Photoshop file; export it as PNG or JPEG."),
    (0, b"\xff\x0a", "This is a JPEG XL file; save it as JPEG or PNG."),
    (4, b"JXL ", "This is a JPEG XL file; save it as JPEG or PNG."),
    (0, b"\x00\x00\x01\x00", "This is an icon; save it as PNG."),
    (0, b"\x93NUMPY", "This is a NumPy file; load it in Python and give the array to read()."),
    (0, b"version https://git-lfs", _POINTER),
    (
        0,
        b"\x89HDF",
        "This is an HDF5 file; read the array in it in Python and give that to read().",
    ),
    (0, b"SIMPLE  =", "This is a FITS file; export the picture as a 16-bit PNG or TIFF."),
    (0, b"v/1\x01", "This is an OpenEXR file, which has no white of its own; export it as PNG."),
    (0, b"#?RADIANCE", "This is a Radiance HDR file, which has no white of its own; export a PNG."),
    (344, b"n+1\0", "This is a NIfTI volume; export one slice of it as PNG."),
    (0, b"\x1a\x45\xdf\xa3", _VIDEO),
    (8, b"AVI ", _VIDEO),
    (0, b"FLV", _VIDEO),
    (8, b"CR\x02", RAW),
    (4, b"ftypcrx", RAW),
    (0, b"FUJIFILMCCD-RAW", RAW),
    (0, b"IIU\0", RAW),
    (0, b"IIRO", RAW),
    (0, b"FOVb", RAW),
    (30, b"[Content_Types].xml", _OFFICE),
    (30, b"mimetypeapplication/vnd.oasis", _OFFICE),
    (0, b"\xd0\xcf\x11\xe0", _OFFICE),
    (0, b"PK\x03\x04", _ARCHIVE),
    (0, b"\x1f\x8b", _ARCHIVE),
    (0, b"7z\xbc\xaf", _ARCHIVE),
    (0, b"Rar!", _ARCHIVE),
    (0, b"\xfd7zXZ", _ARCHIVE),
    (0, b"BZh9", _ARCHIVE),
    (257, b"ustar", _ARCHIVE),
    # Files of the kinds that are read, which the decoders refused all the same.
    (0, b"\xff\xd8\xff", _ODD),
    (0, b"\x89PNG", _ODD),
    (8, b"WEBP", _ODD),
    (0, b"GIF8", _ODD),
    (0, b"BM", _ODD),
    (0, b"II*\0", _ODD),
    (0, b"MM\0*", _ODD),
    (0, b"II+\0", _ODD),
    (0, b"MM\0+", _ODD),
    (0, b"\0\0\0\x0cjP", _ODD),
)
_STILLS = (b"avif", b"avis", b"heic", b"heix", b"hevc", b"heif", b"mif1", b"msf1")


def reason(content: bytes) -> str:
    """The sentence to a visitor whose file, `content`, no decoder takes."""
    for place, sign, sentence in _SIGNS:
        if content[place : place + len(sign)] == sign:
            return sentence
    if content[4:8] == b"ftyp":
        return _ODD if content[8:12] in _STILLS else _VIDEO
    start = content[:4096].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start[:1] == b"<" and b"<svg" in start and b"<html" not in start:
        return "This is an SVG drawing; export it as PNG."
    return _TEXT if _is_text(start) else _OTHER


def _is_text(start: bytes) -> bool:
    """Is it the beginning of a text, in whichever language it is written?"""
    wide = start[:2] in (b"\xff\xfe", b"\xfe\xff")
    try:
        text = codecs.getincrementaldecoder("utf-16" if wide else "utf-8")().decode(start)
    except UnicodeDecodeError:
        return False
    return bool(text) and "\0" not in text
