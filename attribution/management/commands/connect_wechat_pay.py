"""``connect_wechat_pay``: record a merchant number of WeChat Pay; the APIv3 key is read from the standard input."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from attribution import payments
from scrm.errors import RuleViolation


class Command(BaseCommand):
    help = "Connect a WeChat Pay merchant: its notices confirm payments and refunds of the mini-program's orders."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("mchid", help="merchant number")
        parser.add_argument("--channel", default="MINI_PROGRAM")
        parser.add_argument("--shop", default="main")
        parser.add_argument(
            "--key", action="append", required=True, metavar="SERIAL=FILE",
            help="serial number of a platform certificate, or PUB_KEY_ID_…, and its PEM file; may be repeated",
        )  # fmt: skip

    def handle(self, *args: Any, **options: Any) -> None:
        keys = {}
        for said in options["key"]:
            serial, _equals, path = said.partition("=")
            try:
                keys[serial] = Path(path).read_text()
            except OSError as error:
                raise CommandError(f"{path}: {error.strerror}") from None
        self.stderr.write("APIv3 key:")
        try:
            merchant = payments.connect(
                actor=None, channel=options["channel"], shop_no=options["shop"], mchid=options["mchid"],
                secret=sys.stdin.readline().strip(), keys=keys,
            )  # fmt: skip
        except RuleViolation as refusal:
            raise CommandError(str(refusal.message)) from None
        self.stdout.write(f"connected: {merchant.mchid}, notices come to /api/pay/wechat/{merchant.mchid}")
