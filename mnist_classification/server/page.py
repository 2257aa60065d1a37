"""The page that the server shows at `/`: choose pictures, and see them read."""

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Read digits</title>
<h1>Read the digits on pictures</h1>
<form action="/read" method="post" enctype="multipart/form-data">
<p><label>Photos, scans or drawings:
<input type="file" name="picture" accept="image/*" multiple required></label></p>
<p><button>Read</button></p>
</form>
<p>The answer is JSON, one object per picture; <a href="/openapi.json">its description</a>.</p>
</html>
"""


def page_html() -> str:
    """Return the page."""
    return PAGE


def page_policy() -> str:
    """Return the page's Content-Security-Policy: a form that goes to its own server."""
    return "default-src 'none'; base-uri 'none'; form-action 'self'"
