catalog acme from 2026-01-01   haiku   input 1/M
event   e1 opus input 5         -> held: no_rate_card
event   e2 sonnet input 7       -> held: no_rate_card
retry   held                    -> posted 0, still held 2
catalog acme from 2026-01-01   opus    input 2/M
publish                         -> posted 1, still held 1
event   e1 (again)              -> already present
  -> posts cost:-/- <- payable:acme 0.00001
retry   held                    -> posted 0, still held 1
spend by model                  -> opus 0.00001
