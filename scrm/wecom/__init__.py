"""WeCom (企业微信): what it tells us, and what we ask it.

1. One module for each thing of WeCom is what the product calls: ``directory``, ``customers``, ``tags``, ``contact_ways``,
   ``groups``, ``join_ways``, ``mass_sends``, ``welcome``, ``transfers``, ``moments``, ``acquisition``, ``statistics``,
   ``app_messages``, ``media``, ``logins``, ``js_sdk``. Each function takes the app it speaks as, checks the documented
   limits, and goes out through ``client.call``, which keeps the pace, the token and the retries. Every failure is a
   ``errors.WecomError``.
2. What WeCom calls back is verified, kept and answered by ``callback``, and understood later by ``inbox``.
"""
