"""The handover (继承): when a guide leaves or moves, others take over her customers.

1. A departure opens a case (``cases``): an account deleted on WeCom, an employment that has ended, or a word from HQ.
2. A person chooses who takes over: colleagues in the same store, brand accounts, or named guides. The plan (``plan``)
   spreads the customers from the most valuable down, each to whoever serves fewest, up to a cap (``policy``), and is shown
   before anything happens (``figures``). Above FOUR_EYES_FROM customers a second person confirms it.
3. Our binding moves first (``moving``), in chunks that a kill does not tear: whoever was bound to another meanwhile stays
   there. The commission follows from that moment; WeCom never holds it up.
4. Then WeCom is asked (``transfers``), in batches of up to 100 of one giver and one taker, one after the other. It moves the
   friend after 24 hours unless the customer refuses or the taker is full. A lost answer is read again, not repeated.
5. What became of it is read when it is due and daily after that (``results``), and heard in events as well. A refusal or
   a limit on WeCom leaves the binding with the new guide and is shown.
6. A customer who is bound to another employed guide already goes to that one on WeCom; her binding stays.
"""
