"""What schemathesis cannot make by itself: files that are images, and bodies that are compressed. SCHEMATHESIS_HOOKS names this file, which stands beside
openapi.rs, who runs it.

Formats `binary` and `byte` of the documents are image files, as they are and in base64."""

import base64
import gzip
import pathlib
import zlib

import schemathesis
from hypothesis import strategies

IMAGES = [path.read_bytes() for path in sorted(pathlib.Path(__file__).parents[2].joinpath("models/images").glob("*.png"))]
assert len(IMAGES) == 10, len(IMAGES)
CODINGS = {"gzip": gzip.compress, "x-gzip": gzip.compress, "deflate": zlib.compress}

images = strategies.sampled_from(IMAGES)
for kind in ("application/octet-stream", "image/jpeg", "image/png", "image/webp", "image/gif", "image/bmp", "image/tiff"):
    # the server tells formats by their first bytes, whatever they are declared as
    schemathesis.openapi.media_type(kind, images)
schemathesis.openapi.format("binary", images)
schemathesis.openapi.format("byte", images.map(lambda image: base64.b64encode(image).decode()))


@schemathesis.hook
def filter_case(context, case):
    """A form has no lists: one part is the same whether it was meant as a list of one or as no list, which the document forbids."""
    body = case.body
    return not (case.media_type == "multipart/form-data" and isinstance(body, dict) and not isinstance(body.get("images", []), list))


@schemathesis.hook
def before_call(context, case, kwargs):
    """A body whose head says that it is compressed is so."""
    coding = (case.headers or {}).get("Content-Encoding")
    if coding in CODINGS:
        kwargs["auth"] = Compressed(CODINGS[coding])


class Compressed:
    """Changes a request when it is written whole, which is when `requests` asks for its authorisation."""

    def __init__(self, compress):
        self.compress = compress

    def __call__(self, request):
        body = request.body or b""
        if not isinstance(body, (bytes, str)):
            body = body.read()
        request.body = self.compress(body.encode() if isinstance(body, str) else body)
        request.headers["Content-Length"] = str(len(request.body))
        return request
