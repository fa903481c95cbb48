catalog acme from 2026-01-01   plain   input 1/M
catalog acme from 2026-01-01   tiered  input 1/M   over 1000   input 2/M
event   e1 calls:50 plain input 100_000    -> posted 0.1
event   e2 calls:50 tiered input 100_000   -> held: aggregate_usage: stands for 50 calls
