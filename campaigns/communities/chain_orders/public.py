"""The addresses of a chain: its link with the leader's token, a link for one member of the group, and a person's own page.

A link is proved by the share of the chain: whoever changes it has none. ``?u=`` names the WeCom identity of a member of the group
and carries a proof of its own; without one, or with a wrong one, whoever opens it is a stranger.
"""

from __future__ import annotations

import hmac

from django.conf import settings

from campaigns.models import ChainOrder, ChainPerson
from guides import share_tokens, shares
from scrm import crypto

PURPOSE = "chain order member"


def token_of(chain: ChainOrder) -> str:
    assert chain.share is not None
    return shares.token_of(chain.share)


def address_of(chain: ChainOrder) -> str:
    return f"{settings.PUBLIC_URL}/jl/{token_of(chain)}"


def page_of(chain: ChainOrder, person: ChainPerson) -> str:
    return f"{address_of(chain)}/{person.secret}"


def chain_of(token: str) -> ChainOrder | None:
    """The chain of a genuine token."""
    read = share_tokens.read(token)
    if read is None:
        return None
    chain = ChainOrder.objects.filter(share=read.share_id).select_related("share", "leader", "pickup_store").first()
    if chain is None or not hmac.compare_digest(token, token_of(chain)):
        return None
    return chain


def member_address(chain: ChainOrder, external_userid: str) -> str:
    """For one member of the group: opened by her, her WeCom identity is given."""
    return f"{address_of(chain)}?u={external_userid}.{_proof(chain, external_userid)}"


def member_of(chain: ChainOrder, said: str) -> str:
    """The WeCom identity that a link names; empty for none and for one that we did not give."""
    external_userid, _dot, proof = said.rpartition(".")
    if not external_userid or not hmac.compare_digest(proof, _proof(chain, external_userid)):
        return ""
    return external_userid


def _proof(chain: ChainOrder, external_userid: str) -> str:
    key_id, proof = crypto.proof(PURPOSE, f"{chain.pk}|{external_userid}".encode())
    return f"{key_id:02x}{proof.hex()}"
