"""Products (商品) as orders bring them in.

1. A product is known by its SKU. The first line that names an unknown SKU creates it, with the name of that line.
2. A category is known by its code; an unknown one is created and named by its code, HQ edits the name.
3. What stands is never changed by an order: HQ owns names and categories. Only a product without a category takes the one
   that a line gives it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from members.purchases.batch import Batch

# Parameters of both: none. ``{batch}`` has seq, sku, product_name and category ('' when not said).
CATEGORIES = """
    INSERT INTO members_category (code, name)
    SELECT category, category FROM (SELECT DISTINCT category FROM {batch} WHERE category <> '') b
    WHERE NOT EXISTS (SELECT 1 FROM members_category c WHERE c.code = b.category)
    ORDER BY category ON CONFLICT DO NOTHING
"""
PRODUCTS = """
    INSERT INTO members_product (sku, name, category_id)
    SELECT b.sku, coalesce(nullif(b.product_name, ''), b.sku), c.id
    FROM (SELECT DISTINCT ON (sku) sku, product_name, category FROM {batch} ORDER BY sku, (category = ''), seq) b
    LEFT JOIN members_category c ON c.code = b.category
    WHERE NOT EXISTS (SELECT 1 FROM members_product p WHERE p.sku = b.sku)
    ORDER BY b.sku ON CONFLICT DO NOTHING
"""
FILL_CATEGORY = """
    UPDATE members_product p SET category_id = c.id
    FROM (SELECT DISTINCT ON (sku) sku, category FROM {batch} WHERE category <> '' ORDER BY sku, seq) b
    JOIN members_category c ON c.code = b.category
    WHERE p.sku = b.sku AND p.category_id IS NULL
"""

# Whether one of them has anything to do; hardly any order brings a new product.
IS_NEWS = """
    SELECT EXISTS (
        SELECT 1 FROM {batch} b LEFT JOIN members_product p ON p.sku = b.sku
        LEFT JOIN members_category c ON c.code = b.category
        WHERE p.id IS NULL OR (b.category <> '' AND (c.id IS NULL OR p.category_id IS NULL))
    )
"""


def ensure(work: Batch, batch: str) -> None:
    """Create what the rows of the table ``batch`` name and nobody knows yet. Part of the caller's transaction."""
    if work.rows(IS_NEWS.format(batch=batch))[0][0]:
        for statement in (CATEGORIES, PRODUCTS, FILL_CATEGORY):
            work.run(statement.format(batch=batch))
