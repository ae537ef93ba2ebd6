"""WeCom (企业微信): what it tells us, and what we ask it."""
