catalog acme from 2026-01-01   haiku   input 0.25/M   output 1.25/M
event   e2 haiku input 100 cache_read 5   -> held: no_rate: no rate for cache_read in acme/haiku@2026-01-01
  -> posts nothing
