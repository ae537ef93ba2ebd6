"""The knowledge base: found in a customer's words, ordered by what fits, voted on."""

from __future__ import annotations

import pytest
from django.urls import reverse

from campaigns import knowledge
from campaigns.models import Answer
from tests.factories import shops as shop_factory
from tests.factories.console import console

pytestmark = pytest.mark.django_db


def answer(question, text="见详情", *, products=(), **values):
    row = Answer.objects.create(question=question, answer=text, **values)
    row.products.set([shop_factory.product(name) for name in products])
    knowledge.index(answer=row)
    return row


def found(question, **more):
    return [
        row.question for row in knowledge.search(rows=Answer.objects.filter(is_active=True), question=question, **more)
    ]


def test_pairs_of_a_question():
    assert knowledge.pairs("榴莲怎么挑？") == ["榴莲", "挑"]
    assert knowledge.pairs("请问A2牛奶有没有") == ["牛奶", "a2"]
    assert knowledge.pairs("怎么样的") == []


def test_found_in_a_customers_words_the_best_place_first():
    answer("榴莲怎么判断熟没熟", "闻到香味就是熟了")
    answer("猕猴桃多久能吃", "放软了就熟了，和榴莲一样要等")
    answer("山竹保存", "冷藏", products=["泰国榴莲"])
    answer("停用的榴莲解答", is_active=False)
    assert found("请问榴莲熟了没有") == ["榴莲怎么判断熟没熟", "山竹保存", "猕猴桃多久能吃"]
    assert found("猕猴桃") == ["猕猴桃多久能吃"]
    assert found("桃") == ["猕猴桃多久能吃"]  # one character is enough
    assert found("西瓜怎么切") == [] and found("怎么") == []
    assert found("'; DROP TABLE x; -- | & !") == []


def test_a_third_of_the_pairs_has_to_be_there():
    answer("车厘子怎么洗")
    assert found("车厘子怎么洗才不坏") == ["车厘子怎么洗"]
    assert found("我想买一箱苹果送给住在车厘镇的朋友") == []


def test_by_product_and_by_usefulness(shops):
    first, second = answer("榴莲保存", products=["榴莲"]), answer("榴莲保鲜", products=["榴莲"])
    answer("苹果保存")
    sku = shop_factory.product("榴莲").sku
    assert found("", sku=sku) == ["榴莲保鲜", "榴莲保存"]
    for name in ("A", "B"):
        for useful in (False, True):  # her last word counts
            row = knowledge.vote(
                answer_id=first.pk,
                guide_id=shops.guides[name].pk,
                store_id=shops.stores["S1"].pk,
                is_useful=useful,
                now=shops.lines["a"].paid_at,
            )
    assert (row.useful_count, row.useless_count) == (2, 0) and second.pk > first.pk
    assert found("", sku=sku) == ["榴莲保存", "榴莲保鲜"]


def test_the_guide_api_finds_what_is_for_her_store_and_votes(api, shops):
    row = answer("榴莲怎么挑", expert="老周")
    answer("二店榴莲", store=shops.stores["S2"])
    items = api("A").get("knowledge", q="榴莲").json()["items"]
    assert [(item["question"], item["expert"]) for item in items] == [("榴莲怎么挑", "老周")]
    said = api("A").post(f"knowledge/{row.pk}/vote", {"is_useful": True}, Idempotency_Key="vote-on-it-1").json()
    assert said == {"useful_count": 1, "useless_count": 0}


def test_written_in_the_console_and_searched_there():
    client = console().client("hq")
    product = shop_factory.product("榴莲")
    said = {"question": "怎么挑", "answer": "看刺", "products": [product.pk], "tags": "挑选", "is_active": "on"}
    assert client.post(reverse("admin:campaigns_answer_add"), said).status_code == 302
    assert found("榴莲") == ["怎么挑"]
    listed = client.get(reverse("admin:campaigns_answer_changelist"), {"q": "榴莲挑选"})
    assert [row.question for row in listed.context["cl"].result_list] == ["怎么挑"]
