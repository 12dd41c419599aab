"""A browser as far as a checkout needs one: cookies, redirects, the token of a page's forms; through the forward proxy."""

import http.client
import re
import urllib.parse
from dataclasses import dataclass

ANSWER_TIME_MAX_S = 60
REDIRECTS_MAX = 5


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    text: str

    @property
    def location(self):
        return self.headers["location"] or ""

    @property
    def token(self):
        """The token that each form of the page carries."""
        return re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', self.text)[1]


def ask(port, method, url, headers, body=None):
    """One request on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_TIME_MAX_S)
    try:
        connection.request(method, url, body, headers)
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read().decode())
    finally:
        connection.close()


class Visitor:
    """One customer with a cookie jar."""

    def __init__(self, proxy_port, origin):
        self._proxy_port = proxy_port
        self._origin = origin
        self._cookies = {}

    def send(self, method, path, form=None, headers=None):
        """One request; redirects are not followed."""
        fields = {"accept": "text/html", **(headers or {})}
        if self._cookies:
            fields["cookie"] = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        body = None
        if form is not None:
            body = urllib.parse.urlencode(form)
            fields["content-type"] = "application/x-www-form-urlencoded"
        answer = ask(self._proxy_port, method, self._origin + path, fields, body)
        for cookie in answer.headers.get_all("set-cookie", []):
            name, _, rest = cookie.partition("=")
            self._cookies[name] = rest.partition(";")[0]
        return answer

    def follow(self, answer):
        """The page that an answer leads to."""
        for _ in range(REDIRECTS_MAX):
            if answer.status not in (301, 302, 303):
                break
            answer = self.send("GET", answer.location.removeprefix(self._origin))
        if answer.status != 200:
            raise RuntimeError(f"a page was answered {answer.status}: {answer.text[:500]}")
        return answer

    def open(self, path):
        return self.follow(self.send("GET", path))

    def submit(self, page, path, form):
        """Sends a form of a page that was opened."""
        return self.follow(self.send("POST", path, {"csrfmiddlewaretoken": page.token, **form}))
