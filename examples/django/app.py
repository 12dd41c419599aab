"""The transfer of money as any Django service has it: nothing in here knows of keys or retries.

examples/README.md says how to put it behind `onceward gateway`, and what to send it.
"""

import json
import signal
import sys
import threading
from wsgiref.simple_server import WSGIRequestHandler, make_server

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["127.0.0.1"], SECRET_KEY="for an example only")

# What this process has moved.
transfers = []


# Its clients are programs with credentials of their own; there is no cookie that another site could ride on.
@csrf_exempt
@require_POST
def transfer(request):
    try:
        wanted = json.loads(request.body)
        asked = {member: str(wanted[member]) for member in ("to", "amount", "currency")}
    except (ValueError, LookupError, TypeError):
        return JsonResponse({"error": "to, amount and currency are needed"}, status=422)
    # The gateway says which holder of the key asks; a database that remembers the greatest one can refuse a late-comer.
    epoch = request.headers.get("Onceward-Epoch")
    booked = {"transfer_id": f"tr_{len(transfers) + 1}", **asked, "epoch": epoch}
    transfers.append(booked)
    return JsonResponse(booked, status=201, headers={"Location": f"/transfers/{booked['transfer_id']}"})


def count(request):
    return JsonResponse({"count": len(transfers)})


urlpatterns = [path("transfer", transfer), path("transfers", count)]


class QuietHandler(WSGIRequestHandler):
    def log_message(self, *_):
        pass


def main():
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    with make_server("127.0.0.1", port, get_wsgi_application(), handler_class=QuietHandler) as server:
        # Ends the loop below, which is not to wait for itself.
        stop = threading.Thread(target=server.shutdown)
        signal.signal(signal.SIGTERM, lambda *_: stop.start())
        print(f"listening on http://127.0.0.1:{server.server_port}", flush=True)
        server.serve_forever(poll_interval=0.1)


if __name__ == "__main__":
    main()
