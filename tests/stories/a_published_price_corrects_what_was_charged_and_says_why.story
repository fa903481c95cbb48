catalog acme from 2026-01-01   haiku   input 1/M  output 4/M
event   e1 haiku input 1_000_000 output 500_000    -> posted 3
event   e2 haiku input 2_000_000                   -> posted 2
catalog acme from 2026-02-01   haiku   input 1/M  output 5/M
rerate  dry                                        -> 1 changed by 0.5, 0 posted, 0 unpriced
spend by model                                     -> haiku 5
rerate                                             -> 1 changed by 0.5, 2 posted, 0 unpriced
rerate                                             -> 0 changed by 0, 0 posted, 0 unpriced
spend by model                                     -> haiku 5.5
