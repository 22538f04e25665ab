"""What every Python client program shares: one JSON line per check on standard output."""

import json
import os
import sys
import traceback

GATEWAY = os.environ["NARROWS_GATEWAY"]
KEY = os.environ["NARROWS_KEY"]
WRONG_KEY = "sk-not-a-key-of-this-gateway"

# Text of a prompt on which the demo's provider calls the request's first tool.
TOOL_PROMPT = "Please call a tool now."

# A picture of one pixel.
PNG_BASE64 = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)

# More than a megabyte, with characters of every UTF-8 length.
LARGE_TEXT = "word über 東京 🙂 " * 50_000


def check(name, exchanges=0):
    """Runs the decorated function at once and reports whether it raised; what it returns is a remark for people.

    `exchanges`: completed generations that it leaves in the records at least, where their number is the finding.
    """

    def run(function):
        try:
            remark = function()
            ok, detail = True, ""
        except Exception as error:  # Whatever the SDK raises is the finding.
            place = traceback.extract_tb(error.__traceback__)[-1]
            ok, remark = False, None
            detail = f"{type(error).__name__}: {error} ({os.path.basename(place.filename)}:{place.lineno})"
        line = {"check": name, "ok": ok, "detail": detail, "remark": remark, "exchanges": exchanges}
        print(json.dumps(line), flush=True)

    return run


def raises(kind, function, status):
    """Fails unless `function` raises exactly the SDK's `kind` with this HTTP status; returns the error."""
    try:
        function()
    except kind as error:
        got = getattr(error, "status_code", None) or getattr(error, "code", None)
        assert got == status, f"status {got}, expected {status}"
        return error
    raise AssertionError(f"no {kind.__name__} was raised")


def whole(text):
    """Fails unless the text is the demo's sample, with its characters of four bytes intact."""
    assert text and text.startswith("The gateway passed"), f"unexpected text: {text!r:.80}"
    assert "🙂" in text and "\ufffd" not in text, "characters were damaged"


if __name__ == "__main__":
    sys.exit("this is a library; start run.sh")
