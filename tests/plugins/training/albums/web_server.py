"""A web server on the loopback with an album behind it: files, a page, a feed, and what can go wrong."""

import http.server
import os
import signal
import threading
from functools import partial
from pathlib import Path

TYPES = {".flac": "audio/flac", ".ogg": "audio/ogg", ".rss": "application/rss+xml", ".html": "text/html"}


class Handler(http.server.SimpleHTTPRequestHandler):
    extensions_map = TYPES

    def do_GET(self):
        self.server.requests.append(self.path)
        if not self.path.startswith(("/short/", "/interrupt/")):
            return super().do_GET()
        body = Path(self.directory, self.path.split("/")[-1]).read_bytes()
        self.send_response(200)
        self.send_header("Content-Type", "audio/flac")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2])
        self.wfile.flush()
        # The first request only looks at the file; the second one downloads it.
        if self.path.startswith("/interrupt/") and self.server.requests.count(self.path) == 2:
            os.kill(os.getpid(), signal.SIGINT)
            self.rfile.read()  # until the other side hangs up
        return None

    def log_message(self, *args):
        pass


class WebServer:
    """Serves `folder`; requests: the paths asked for, in their order."""

    def __init__(self, folder):
        self.folder = folder
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=folder))
        self.server.requests = []
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def requests(self):
        return self.server.requests

    def page(self, name, *media):
        tags = "".join(f'<audio controls src="/{m}"></audio>' for m in media)
        (self.folder / name).write_text(f"<html><head><title>Night Tones</title></head><body>{tags}</body></html>")
        return f"{self.url}/{name}"

    def feed(self, name, **media):
        items = "".join(
            f'<item><title>{title}</title><enclosure url="{self.url}/{file}" type="audio/flac"/></item>'
            for title, file in media.items()
        )
        text = f'<?xml version="1.0"?><rss version="2.0"><channel><title>Tone Feed</title>{items}</channel></rss>'
        (self.folder / name).write_text(text)
        return f"{self.url}/{name}"

    def close(self):
        self.server.shutdown()
        self.server.server_close()
