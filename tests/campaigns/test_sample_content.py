"""The sample company's content: it is taken as HQ's own would be, and added once."""

from __future__ import annotations

import pytest
from django.utils import timezone

from attribution.sample import content
from campaigns import knowledge, scripts
from campaigns.models import Answer, Content, Script, ScriptText
from members import taste
from members.models import ProductAttribute
from tests.factories import shops as factory

pytestmark = pytest.mark.django_db


def test_every_script_and_answer_of_the_sample_is_a_good_one_and_comes_once(shops):
    products = {name: factory.product(name) for name in content.VALUES}
    for _ in range(2):
        content.load(now=timezone.now())
    assert (Script.objects.count(), Content.objects.count(), Answer.objects.count()) == (3, 2, 3)
    assert ProductAttribute.objects.count() == len(content.VALUES) * len(content.ATTRIBUTES)
    assert all(scripts.problems(texts) == {} for texts in scripts.texts_of(Script.objects.all()).values())
    assert ScriptText.objects.count() == sum(len(texts) for _name, _product, texts in content.SCRIPTS)
    found = knowledge.search(rows=Answer.objects.all(), question="榴莲熟了没")
    assert found[0].question == "榴莲怎么判断熟没熟"
    durian = products["金枕榴莲"].pk
    assert taste.features(product_ids=[durian], most=3)[durian] == "很甜、香气浓、不酸"
