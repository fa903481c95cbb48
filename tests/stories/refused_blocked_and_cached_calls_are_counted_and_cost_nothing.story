catalog acme from 2026-01-01   haiku   input 1/M
event   e1 outcome:refused haiku                  -> posted 0
event   e2 outcome:blocked haiku input 100        -> posted 0
event   e3 outcome:cache_hit unknown input 100    -> posted 0
spend by outcome   -> blocked 0, cache_hit 0, refused 0
