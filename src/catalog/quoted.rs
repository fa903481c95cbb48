//! A price handed back in somebody else's notation: a card as Omnia, Oceans, LiteLLM or models.dev would write it, ready to be
//! pasted. No notation carries everything a card can say, so beside the text there is a warning for each meter, condition and
//! digit that stays behind; a text without warnings says all that the card says. Numbers are printed from the decimal, under the
//! keys of [`notation`](super::source::notation) that they are also read by.

use crate::catalog::source::notation::{LITELLM, MODELS_DEV, OCEANS, OMNIA, Spelling};
use crate::catalog::{Card, Conditional, Rates};
use crate::money::{Amount, Currency, Rate};
use crate::usage::Meter;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Notation {
    Omnia,
    Oceans,
    Litellm,
    ModelsDev,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Quoted {
    pub text: String,
    /// What the text does not say, each with the model it is missing from.
    pub warnings: Vec<String>,
}

impl Notation {
    pub const ALL: [Notation; 4] = [Notation::Omnia, Notation::Oceans, Notation::Litellm, Notation::ModelsDev];

    pub const fn name(self) -> &'static str {
        match self {
            Notation::Omnia => "omnia",
            Notation::Oceans => "oceans",
            Notation::Litellm => "litellm",
            Notation::ModelsDev => "models.dev",
        }
    }

    pub fn named(name: &str) -> Option<Notation> {
        Notation::ALL.into_iter().find(|notation| notation.name() == name)
    }

    const fn spellings(self) -> &'static [Spelling] {
        match self {
            Notation::Omnia => OMNIA,
            Notation::Oceans => OCEANS,
            Notation::Litellm => LITELLM,
            Notation::ModelsDev => MODELS_DEV,
        }
    }
}

/// A card in another notation.
pub fn quote(card: &Card, provider: &str, model: &str, notation: Notation) -> Quoted {
    let mut quote = Quote { notation, of: format!("{provider}/{model}"), warnings: Vec::new() };
    quote.warn_of_the_card(card);
    let rates = stated(card);
    let fields = quote.fields(&rates, &rates, "");
    let text = match notation {
        Notation::Omnia => {
            quote.warn_of_conditions(card);
            quote.warn_of_what_omnia_skips(&rates);
            yaml("pricing", &fields)
        }
        Notation::Oceans => {
            quote.warn_of_conditions(card);
            quote.warn_of_what_oceans_demands(&rates);
            yaml("pricing_override", &fields)
        }
        Notation::Litellm => json("model_info", &[fields, quote.keys_above(card, &rates)].concat()),
        Notation::ModelsDev => json("cost", &[fields, quote.tiers(card, &rates)].concat()),
    };
    Quoted { text, warnings: quote.warnings }
}

/// A free card need not list its zeros; whoever gets it in another notation must see them, because there absent is not free.
fn stated(card: &Card) -> Rates {
    match card.free && card.rates.is_empty() {
        true => Rates::new(vec![(Meter::Input, Rate::ZERO), (Meter::Output, Rate::ZERO)]),
        false => card.rates.clone(),
    }
}

/// A key and the text of its value.
type Field = (String, String);

struct Quote {
    notation: Notation,
    of: String,
    warnings: Vec<String>,
}

/// What a double keeps of every decimal.
const DIGITS_OF_A_DOUBLE: usize = 15;
/// Oceans counts in ten-thousandths of a dollar.
const DECIMALS_OF_OCEANS: u32 = 4;
/// What LiteLLM's reader looks up above a threshold.
const WITH_THRESHOLDS: [Meter; 5] = [Meter::Input, Meter::Output, Meter::CacheRead, Meter::CacheWrite, Meter::CacheWrite1h];

impl Quote {
    fn warn(&mut self, what: impl std::fmt::Display) {
        let warning = format!("{}: {what}", self.of);
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    fn warn_of_the_card(&mut self, card: &Card) {
        let notation = self.notation.name();
        if card.priced_as_answered {
            self.warn("is priced as the model that answered and has no price of its own");
        }
        if card.currency != Currency::USD {
            self.warn(format!("is priced in {}, and {notation} takes every number as USD", card.currency));
        }
        let kinds = [
            ("endpoint", &card.endpoint),
            ("route", &card.route),
            ("variant", &card.variant),
            ("service tier", &card.service_tier),
        ];
        for (kind, name) in kinds {
            if let Some(name) = name {
                self.warn(format!("holds for {kind} {name} only, and {notation} takes it for every call"));
            }
        }
        for slice in &card.graduated {
            self.warn(format!("{notation} has no graduated rates (over {})", slice.over));
        }
    }

    fn warn_of_conditions(&mut self, card: &Card) {
        for conditional in &card.when {
            self.warn_of_condition(conditional);
        }
    }

    fn warn_of_condition(&mut self, conditional: &Conditional) {
        self.warn(format!("{} has no rates for {conditional}", self.notation.name()));
    }

    /// Omnia's program computes a cost only where both rates are above zero, and never uses the third.
    fn warn_of_what_omnia_skips(&mut self, rates: &Rates) {
        let counts = |meter| rates.get(meter).is_some_and(|rate| !rate.is_zero());
        if !counts(Meter::Input) || !counts(Meter::Output) {
            self.warn("omnia uses a price only where input and output are both above zero, so it will not use this one");
        }
        if rates.get(Meter::CacheRead).is_some() {
            self.warn("omnia keeps cachedCostPer1K without using it, so the costs it computes leave cache reads out");
        }
    }

    fn warn_of_what_oceans_demands(&mut self, rates: &Rates) {
        for meter in [Meter::Input, Meter::Output].into_iter().filter(|meter| rates.get(*meter).is_none()) {
            self.warn(format!("oceans demands a rate for {}, and there is none", meter.name()));
        }
    }

    /// The rates under the notation's keys, in its order. Where it has no key for one that is `new` here, that is warned of.
    fn fields(&mut self, rates: &Rates, new: &Rates, suffix: &str) -> Vec<Field> {
        let has_key = |(_, meter, _): &&Spelling| suffix.is_empty() || WITH_THRESHOLDS.contains(meter);
        let spellings: Vec<Spelling> = self.notation.spellings().iter().filter(has_key).copied().collect();
        for (meter, rate) in new.iter().filter(|(meter, _)| !spellings.iter().any(|(_, other, _)| other == meter)) {
            // Who has no rate for reasoning charges it as output.
            if meter != Meter::Reasoning || rates.get(Meter::Output) != Some(rate) {
                self.warn(format!("{} has no rate for {}{}", self.notation.name(), meter.name(), suffix.replace('_', " ")));
            }
        }
        let present = spellings.into_iter().filter_map(|(key, meter, power)| Some((key, rates.get(meter)?, power)));
        let field = |(key, rate, power)| {
            let key = format!("{key}{suffix}");
            let literal = self.literal(&key, rate, power);
            (key, literal)
        };
        present.map(field).collect()
    }

    fn literal(&mut self, key: &str, rate: Rate, power: u32) -> String {
        let exact = rate.quoted_per(power);
        match self.notation {
            Notation::Omnia => format!("\"{exact}\""),
            Notation::Oceans => {
                let rounded = with_decimals(rate, DECIMALS_OF_OCEANS + power).quoted_per(power);
                if rounded != exact {
                    self.warn(format!(
                        "{key} {exact} is written as {rounded}, because oceans keeps {DECIMALS_OF_OCEANS} decimals"
                    ));
                }
                format!("\"{rounded}\"")
            }
            Notation::Litellm | Notation::ModelsDev => {
                if significant(&exact) > DIGITS_OF_A_DOUBLE {
                    self.warn(format!("{key} {exact} has more digits than a double, and a reader that uses one rounds it"));
                }
                exact
            }
        }
    }

    /// LiteLLM has keys of their own for prompts above a threshold in whole thousands.
    fn keys_above(&mut self, card: &Card, base: &Rates) -> Vec<Field> {
        let mut fields = Vec::new();
        for Threshold { over, rates, new } in self.thresholds(card, base) {
            match over % 1000 {
                0 => fields.extend(self.fields(&rates, new, &format!("_above_{}k_tokens", over / 1000))),
                _ => self.warn(format!("litellm has thresholds in whole thousands only, so none at {over} prompt tokens")),
            }
        }
        fields
    }

    /// models.dev has a list of tiers, and for the commonest one also the key that it had before there were tiers.
    fn tiers(&mut self, card: &Card, base: &Rates) -> Vec<Field> {
        let (mut tiers, mut older) = (Vec::new(), None);
        for Threshold { over, rates, new } in self.thresholds(card, base) {
            let mut fields = self.fields(&rates, new, "");
            if over == 200_000 {
                older = Some(("context_over_200k".to_owned(), object(&fields)));
            }
            fields.push(("tier".to_owned(), format!("{{\"type\": \"context\", \"size\": {over}}}")));
            tiers.push(object(&fields));
        }
        let tiers = (!tiers.is_empty()).then(|| ("tiers".to_owned(), format!("[\n      {}\n    ]", tiers.join(",\n      "))));
        tiers.into_iter().chain(older).collect()
    }

    /// The conditions that ask about nothing but the length of the prompt, as long as they rise: where several hold the
    /// others' readers take the highest, a card the last. What else is conditional is warned of.
    fn thresholds<'c>(&mut self, card: &'c Card, base: &Rates) -> Vec<Threshold<'c>> {
        let mut thresholds: Vec<Threshold<'c>> = Vec::new();
        for conditional in &card.when {
            let new = &conditional.rates;
            let plain = |over| Conditional { prompt_tokens_over: Some(over), rates: new.clone(), ..Conditional::default() };
            let below = thresholds.last();
            match conditional.prompt_tokens_over {
                Some(over) if *conditional == plain(over) && below.is_none_or(|below| below.over < over) => {
                    let rates = new.over(below.map_or(base, |below| &below.rates));
                    thresholds.push(Threshold { over, rates, new });
                }
                _ => self.warn_of_condition(conditional),
            }
        }
        thresholds
    }
}

/// What holds for prompts above so many tokens, written out: a reader of tiers takes one of them and nothing from below it.
struct Threshold<'c> {
    over: u64,
    rates: Rates,
    new: &'c Rates,
}

/// Rounded half to even at so many decimals per one unit.
fn with_decimals(rate: Rate, places: u32) -> Rate {
    Rate::from_units(Amount::from_units(rate.units()).rounded_for_display(places).units())
}

/// The digits of a decimal that are not leading zeros; it has no trailing ones behind its point.
fn significant(decimal: &str) -> usize {
    decimal.bytes().filter(u8::is_ascii_digit).skip_while(|digit| *digit == b'0').count()
}

fn yaml(head: &str, fields: &[Field]) -> String {
    let lines: String = fields.iter().map(|(key, literal)| format!("  {key}: {literal}\n")).collect();
    if lines.is_empty() { format!("{head}: {{}}\n") } else { format!("{head}:\n{lines}") }
}

fn json(head: &str, fields: &[Field]) -> String {
    let lines: Vec<String> = fields.iter().map(|(key, literal)| format!("\n    \"{key}\": {literal}")).collect();
    let end = if lines.is_empty() { "" } else { "\n  " };
    format!("{{\n  \"{head}\": {{{}{end}}}\n}}\n", lines.join(","))
}

fn object(fields: &[Field]) -> String {
    let fields: Vec<String> = fields.iter().map(|(key, literal)| format!("\"{key}\": {literal}")).collect();
    format!("{{{}}}", fields.join(", "))
}
