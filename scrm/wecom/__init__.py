"""WeCom (企业微信): what it tells us, and what we ask it.

1. ``directory``, ``customers``, ``tags`` and ``contact_ways`` are what the product calls: each function takes the app it speaks
   as, checks the documented limits, and goes out through ``client.call``, which keeps the pace, the token and the retries.
   Every failure is a ``errors.WecomError``.
2. What WeCom calls back is verified, kept and answered by ``callback``, and understood later by ``inbox``.
"""
