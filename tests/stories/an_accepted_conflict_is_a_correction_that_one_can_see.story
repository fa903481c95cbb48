catalog acme from 2026-01-01   haiku   input 0.25/M   output 1.25/M
event   e1 user:bo haiku output 10    -> posted 0.0000125
event   e1 with output 8              -> conflict: output
accept  conflict of e1                -> done
  -> posts cost:-/bo <- payable:acme  0.0000125
  -> and   payable:acme <- cost:-/bo  0.0000125
  -> and   cost:-/bo <- payable:acme  0.00001
spend by user                         -> bo 0.00001
event   e1 with output 8              -> already present
event   e1 (again)                    -> already present
