catalog acme from 2026-01-01   haiku   input 1/M
event   e1 haiku input 1000                  -> posted 0.001
event   e1 source:other haiku input 1000     -> posted 0.001
spend by source                              -> gateway 0.001, other 0.001
