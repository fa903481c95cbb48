catalog acme from 2026-01-01   haiku   input 0.25/M   output 1.25/M
event   e1 team:search haiku   input 1_000_000   output 200_000
  -> posted 0.50
  -> posts  cost:search/- <- payable:acme   0.50
  -> line   input 1000000 x 0.25/M
  -> line   output 200000 x 1.25/M
spend by team,model            -> search haiku 0.5
