catalog acme from 2026-01-01 absent included   haiku   input 2/M   output 10/M
event   e1 haiku input 1 cache_read 5 cache_write 3 cache_write_1h 2 image_input 4 reasoning 6
  -> posted 0.00009
  -> line cache_read 5 x 2/M as input
  -> line cache_write_1h 2 x 2/M as input
  -> line reasoning 6 x 10/M as output
event   e2 haiku web_search 1   -> held: no_rate: web_search
