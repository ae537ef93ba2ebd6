"""The client of WeCom (企业微信): typed calls by topic over one way out.

``directory``, ``customers``, ``tags`` and ``contact_ways`` are what the product calls; each function takes the app it
speaks as, checks the documented limits, and goes out through ``client.call``, which keeps the pace, the token and the
retries. Every failure is a ``errors.WecomError``.
"""
