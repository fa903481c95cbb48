catalog acme from 2026-01-01   haiku   output 1/M
event   e1 haiku output 10      -> posted 0.00001
event   e1 with output 8        -> conflict: output
dismiss conflict of e1          -> done
  -> posts cost:-/- <- payable:acme 0.00001
event   e1 with output 8        -> conflict: output
spend by model                  -> haiku 0.00001
