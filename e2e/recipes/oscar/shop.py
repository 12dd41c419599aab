"""A shop of django-oscar on a free port of loopback.

    SHOP_DATABASE=FILE python shop.py migrate
    SHOP_DATABASE=FILE [SHOP_TEMPLATES=FOLDER] python shop.py serve < CUSTOMERS

`serve` reads one JSON array, `[{"email", "password", "ordered_minutes_ago": [1440, …]}]`, makes these customers, their addresses and
their earlier orders and one product, prints `{"port", "product", "version"}` in a line, and serves until it is ended.
"""

import json
import os
import sys
from datetime import timedelta
from decimal import Decimal

import django
import waitress
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application

THREADS = 4


def make_product():
    from oscar.apps.catalogue.models import Product, ProductClass
    from oscar.apps.partner.models import Partner, StockRecord

    kind = ProductClass.objects.create(name="Book", requires_shipping=True, track_stock=False)
    product = Product.objects.create(product_class=kind, title="A book of maps", upc="maps-1")
    partner = Partner.objects.create(name="The publisher")
    StockRecord.objects.create(product=product, partner=partner, partner_sku="maps-1", price=Decimal("19.99"))
    return product


def make_customers(customers):
    from django.contrib.auth import get_user_model
    from django.utils import timezone
    from oscar.apps.address.models import Country, UserAddress
    from oscar.apps.order.models import Order

    country = Country.objects.create(
        iso_3166_1_a2="GB", iso_3166_1_a3="GBR", iso_3166_1_numeric="826", printable_name="United Kingdom", name="UNITED KINGDOM",
        is_shipping_country=True,
    )
    for customer in customers:
        email = customer["email"]
        user = get_user_model().objects.create_user(username=email, email=email, password=customer["password"])
        UserAddress.objects.create(
            user=user, first_name="A", last_name="Reader", line1="1 Long Street", line4="London", postcode="N1 9GU", country=country
        )
        for index, minutes in enumerate(customer["ordered_minutes_ago"]):
            Order.objects.create(
                number=f"before-{user.pk}-{index}", user=user, currency="GBP", total_incl_tax=Decimal("19.99"),
                total_excl_tax=Decimal("19.99"), date_placed=timezone.now() - timedelta(minutes=minutes),
            )


def serve():
    import oscar
    from django.db import transaction

    with transaction.atomic():
        product = make_product()
        make_customers(json.load(sys.stdin))
    server = waitress.create_server(get_wsgi_application(), host="127.0.0.1", port=0, threads=THREADS)
    ready = {"port": int(server.effective_port), "product": product.get_absolute_url(), "version": oscar.get_version()}
    print(json.dumps(ready), flush=True)
    server.run()


if __name__ == "__main__":
    os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
    django.setup()
    match sys.argv[1:]:
        case ["migrate"]:
            call_command("migrate", verbosity=0)
        case ["serve"]:
            serve()
        case _:
            sys.exit(__doc__)
