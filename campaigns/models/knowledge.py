"""Knowledge (知识库): what experts answer, found by guides in the words of customers."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVectorField
from django.db import models
from django.utils.translation import gettext_lazy as _

from campaigns.models.reach import ForPart
from guides.models import Guide
from members.models import Product


class Answer(ForPart):
    """One question with its answer (专家解答)."""

    question = models.CharField(_("question"), max_length=200)
    answer = models.TextField(_("answer"), max_length=4_000)
    expert = models.CharField(_("expert"), max_length=32, blank=True)
    products = models.ManyToManyField(Product, verbose_name=_("products"), blank=True, related_name="+")
    tags = ArrayField(models.CharField(max_length=32), verbose_name=_("keywords"), default=list, blank=True)
    is_active = models.BooleanField(_("active"), default=True)
    useful_count = models.PositiveIntegerField(_("found useful"), default=0)
    useless_count = models.PositiveIntegerField(_("found useless"), default=0)
    search = SearchVectorField(editable=False, null=True)  # pairs of characters, written with the row
    changed_at = models.DateTimeField(_("changed at"), auto_now=True)

    class Meta:
        verbose_name = _("expert answer")
        verbose_name_plural = _("expert answers")
        indexes = (GinIndex(fields=["search"], name="answer_search"),)

    def __str__(self) -> str:
        return self.question


class AnswerVote(models.Model):
    """What a guide thinks of an answer; her last word counts (有用评价)."""

    answer = models.ForeignKey(Answer, models.CASCADE, verbose_name=_("expert answer"), related_name="votes")
    guide = models.ForeignKey(Guide, models.PROTECT, verbose_name=_("guide"), db_index=False, related_name="+")
    is_useful = models.BooleanField(_("useful"))
    voted_at = models.DateTimeField(_("voted at"))

    class Meta:
        verbose_name = _("vote on an answer")
        verbose_name_plural = _("votes on answers")
        constraints = (models.UniqueConstraint(name="answer_vote_once", fields=["answer", "guide"]),)

    def __str__(self) -> str:
        return f"{self.answer_id} {self.guide_id}"
