catalog acme from 2026-01-01   haiku   input 1/M
event   e1 team:a/b user:- haiku input 1_000_000   -> posted 1
  -> posts cost:a%2Fb/%2D <- payable:acme 1
