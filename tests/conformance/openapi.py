"""What schemathesis cannot make by itself: files that are images, and bodies that are compressed. SCHEMATHESIS_HOOKS names this file, which stands beside
openapi.rs, who runs it.

Formats `binary` and `byte` of the documents are image files, as they are and in base64."""

import base64
import gzip
import pathlib
import zlib

import schemathesis
from hypothesis import strategies
from schemathesis.core.parameters import ParameterLocation
from schemathesis.transport.serialization import Binary

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
    """A form that is meant to be wrong and is not: with files in it schemathesis cannot tell, and what was no list, or was one, is the same parts."""
    component = case.meta.components.get(ParameterLocation.BODY) if case.meta else None
    meant_wrong = component is not None and component.mode.is_negative
    return not (meant_wrong and case.media_type == "multipart/form-data" and is_right(case.body))


def is_right(form):
    """Whether the parts of a form are as the document says."""
    if not isinstance(form, dict):
        return False
    files = [file for name in ("image", "images") for file in (form.get(name) if isinstance(form.get(name), list) else [form.get(name)]) if file is not None]
    top_k, function = form.get("top_k", 1), form.get("function_to_apply", "none")
    whole = isinstance(top_k, int) and not isinstance(top_k, bool) and 1 <= top_k < 2**63
    return bool(files) and all(isinstance(file, (bytes, Binary)) for file in files) and whole and function in ("softmax", "sigmoid", "none")


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
