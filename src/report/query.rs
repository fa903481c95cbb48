//! What can be asked: dimensions to group by, columns to show, a range of time on one of two clocks, filters, a comparison,
//! and how many groups to show. A query that makes no sense is refused in words that help.

use crate::id::BlockNumber;
use crate::time::{Instant, Month};
use crate::usage::Text;
use chrono_tz::Tz;
use std::fmt;

/// Something to group by or to filter on.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Dimension {
    Hour,
    Day,
    Week,
    Month,
    Period,
    User,
    Team,
    Project,
    Key,
    App,
    Agent,
    Environment,
    Provider,
    Model,
    RequestedModel,
    ServedBy,
    Variant,
    ServiceTier,
    Region,
    Source,
    Payee,
    /// The account that an amount moves to, and the one that it comes from.
    Debit,
    Credit,
    Meter,
    Layer,
    Kind,
    Outcome,
    Estimated,
    CatalogVersion,
    /// By which card or override it was charged.
    Card,
    /// Why it has no amount yet; only what is held has one.
    Reason,
    Session,
    /// A label of the event, by its key.
    Label(Text),
}

/// A column of numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Measure {
    Amount,
    /// What moved between two accounts, whichever way and whosesoever they are.
    Posted,
    Calls,
    Entries,
    /// Units of one meter; asked for together with the meter.
    Quantity,
    Tokens,
    List,
    Rated,
    Reported,
    Drift,
    Share,
    PerMillionTokens,
    PerCall,
    PerUser,
    Users,
    /// What tokens read from a cache or written to one would have cost as plain input, less what they cost.
    CacheSavings,
    /// What the whole range will come to if it goes on as it went until now.
    Forecast,
}

/// What adds up: every column of numbers is made of some of these.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Addend {
    Amount,
    Posted,
    List,
    Rated,
    Reported,
    /// Reported less rated, of those that are both.
    Drift,
    Calls,
    Entries,
    Tokens,
    Quantity,
    CacheSavings,
}

/// Which of an entry's two instants counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Clock {
    /// When the usage occurred.
    #[default]
    Occurred,
    /// When it was booked.
    Recorded,
}

impl Clock {
    pub const fn name(self) -> &'static str {
        match self {
            Clock::Occurred => "occurred",
            Clock::Recorded => "recorded",
        }
    }

    pub fn named(name: &str) -> Result<Clock, String> {
        let known = [Clock::Occurred, Clock::Recorded].into_iter().find(|clock| clock.name() == name);
        known.ok_or_else(|| format!("`{name}` is no clock; known are occurred and recorded"))
    }
}

/// What is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Of {
    /// What was charged.
    #[default]
    Spend,
    /// What waits for a price, for usage or for a person, and so has no amount.
    Held,
}

/// The book as it was known, by block or by instant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AsOf {
    Block(BlockNumber),
    Instant(Instant),
}

/// Only what has one of these values; an empty one is no value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Filter {
    pub dimension: Dimension,
    pub values: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    pub by: Vec<Dimension>,
    pub show: Vec<Measure>,
    pub from: Option<Instant>,
    pub until: Option<Instant>,
    pub clock: Clock,
    pub zone: Tz,
    pub filters: Vec<Filter>,
    pub as_of: Option<AsOf>,
    /// Beside each group what it was in the range of the same length before.
    pub compare: bool,
    /// So many groups; what is left is one line.
    pub top: Option<usize>,
    pub of: Of,
    /// When it was asked; a forecast goes on from here.
    pub asked_at: Option<Instant>,
    /// From the entries alone, and not from the copies of them that are faster to read.
    pub scan: bool,
}

/// Which word of a question was wrong, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    pub parameter: &'static str,
    pub why: String,
}

impl Default for Query {
    fn default() -> Query {
        Query {
            by: Vec::new(),
            show: vec![Measure::Amount, Measure::Calls],
            from: None,
            until: None,
            clock: Clock::Occurred,
            zone: Tz::UTC,
            filters: Vec::new(),
            as_of: None,
            compare: false,
            top: None,
            of: Of::Spend,
            asked_at: None,
            scan: false,
        }
    }
}

const PLAIN: [Dimension; 32] = [
    Dimension::Hour,
    Dimension::Day,
    Dimension::Week,
    Dimension::Month,
    Dimension::Period,
    Dimension::User,
    Dimension::Team,
    Dimension::Project,
    Dimension::Key,
    Dimension::App,
    Dimension::Agent,
    Dimension::Environment,
    Dimension::Provider,
    Dimension::Model,
    Dimension::RequestedModel,
    Dimension::ServedBy,
    Dimension::Variant,
    Dimension::ServiceTier,
    Dimension::Region,
    Dimension::Source,
    Dimension::Payee,
    Dimension::Debit,
    Dimension::Credit,
    Dimension::Meter,
    Dimension::Layer,
    Dimension::Kind,
    Dimension::Outcome,
    Dimension::Estimated,
    Dimension::CatalogVersion,
    Dimension::Card,
    Dimension::Reason,
    Dimension::Session,
];

impl fmt::Display for Dimension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Dimension::Hour => "hour",
            Dimension::Day => "day",
            Dimension::Week => "week",
            Dimension::Month => "month",
            Dimension::Period => "period",
            Dimension::User => "user",
            Dimension::Team => "team",
            Dimension::Project => "project",
            Dimension::Key => "key",
            Dimension::App => "app",
            Dimension::Agent => "agent",
            Dimension::Environment => "environment",
            Dimension::Provider => "provider",
            Dimension::Model => "model",
            Dimension::RequestedModel => "requested_model",
            Dimension::ServedBy => "served_by",
            Dimension::Variant => "variant",
            Dimension::ServiceTier => "service_tier",
            Dimension::Region => "region",
            Dimension::Source => "source",
            Dimension::Payee => "payee",
            Dimension::Debit => "debit",
            Dimension::Credit => "credit",
            Dimension::Meter => "meter",
            Dimension::Layer => "layer",
            Dimension::Kind => "kind",
            Dimension::Outcome => "outcome",
            Dimension::Estimated => "estimated",
            Dimension::CatalogVersion => "catalog_version",
            Dimension::Card => "card",
            Dimension::Reason => "reason",
            Dimension::Session => "session",
            Dimension::Label(key) => return write!(f, "label:{key}"),
        })
    }
}

impl Dimension {
    pub fn named(name: &str) -> Result<Dimension, String> {
        if let Some(key) = name.strip_prefix("label:") {
            return Text::new(key).map(Dimension::Label).ok_or_else(|| "write label:KEY, the key of a label".to_owned());
        }
        let known = PLAIN.into_iter().find(|dimension| dimension.to_string() == name);
        known.ok_or_else(|| {
            let known = PLAIN.map(|dimension| dimension.to_string()).join(", ");
            format!("`{name}` is no dimension; known are {known} and label:KEY")
        })
    }

    /// Those that an entry has without its event, its instant aside.
    pub fn of_entries() -> impl Iterator<Item = Dimension> {
        PLAIN
            .into_iter()
            .filter(|dimension| !dimension.is_of_the_clock() && !dimension.is_of_the_event() && *dimension != Dimension::Reason)
    }

    /// Depends on an instant, and so on a time zone.
    pub const fn is_of_the_clock(&self) -> bool {
        matches!(self, Dimension::Hour | Dimension::Day | Dimension::Week | Dimension::Month)
    }

    /// Is in order of time when it is sorted.
    pub const fn is_of_time(&self) -> bool {
        self.is_of_the_clock() || matches!(self, Dimension::Period)
    }

    pub const fn is_of_an_owner(&self) -> bool {
        use Dimension::{Agent, App, Environment, Key, Project, Team, User};
        matches!(self, User | Team | Project | Key | App | Agent | Environment)
    }

    pub const fn is_of_a_product(&self) -> bool {
        use Dimension::{Model, Provider, Region, RequestedModel, ServedBy, ServiceTier, Variant};
        matches!(self, Provider | Model | RequestedModel | ServedBy | Variant | ServiceTier | Region)
    }

    /// Only the event knows it, not the entry.
    pub const fn is_of_the_event(&self) -> bool {
        matches!(self, Dimension::Session | Dimension::Label(_))
    }
}

impl Measure {
    const ALL: [Measure; 17] = [
        Measure::Amount,
        Measure::Posted,
        Measure::Calls,
        Measure::Entries,
        Measure::Quantity,
        Measure::Tokens,
        Measure::List,
        Measure::Rated,
        Measure::Reported,
        Measure::Drift,
        Measure::Share,
        Measure::PerMillionTokens,
        Measure::PerCall,
        Measure::PerUser,
        Measure::Users,
        Measure::CacheSavings,
        Measure::Forecast,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Measure::Amount => "amount",
            Measure::Posted => "posted",
            Measure::Calls => "calls",
            Measure::Entries => "entries",
            Measure::Quantity => "quantity",
            Measure::Tokens => "tokens",
            Measure::List => "list",
            Measure::Rated => "rated",
            Measure::Reported => "reported",
            Measure::Drift => "drift",
            Measure::Share => "share",
            Measure::PerMillionTokens => "per_million_tokens",
            Measure::PerCall => "per_call",
            Measure::PerUser => "per_user",
            Measure::Users => "users",
            Measure::CacheSavings => "cache_savings",
            Measure::Forecast => "forecast",
        }
    }

    pub fn named(name: &str) -> Result<Measure, String> {
        let known = Measure::ALL.into_iter().find(|measure| measure.name() == name);
        known.ok_or_else(|| format!("`{name}` is no column; known are {}", Measure::ALL.map(Measure::name).join(", ")))
    }

    const fn addends(self) -> &'static [Addend] {
        match self {
            Measure::Amount | Measure::Share | Measure::PerUser | Measure::Forecast => &[Addend::Amount],
            Measure::Posted => &[Addend::Posted],
            Measure::Calls | Measure::PerCall => &[Addend::Calls],
            Measure::Entries => &[Addend::Entries],
            Measure::Quantity => &[Addend::Quantity],
            Measure::Tokens | Measure::PerMillionTokens => &[Addend::Tokens],
            Measure::List => &[Addend::List],
            Measure::Rated => &[Addend::Rated],
            Measure::Reported => &[Addend::Reported],
            Measure::Drift => &[Addend::Drift],
            Measure::CacheSavings => &[Addend::CacheSavings],
            Measure::Users => &[],
        }
    }

    /// Can be said of a single meter; the others are of whole calls.
    const fn is_of_a_meter(self) -> bool {
        matches!(self, Measure::Amount | Measure::Quantity | Measure::Tokens | Measure::Share | Measure::PerMillionTokens)
    }
}

/// Refuses a range that ends before it begins, of whatever is asked for it.
pub fn goes_forward(from: Option<Instant>, until: Option<Instant>) -> Result<(), Wrong> {
    match (from, until) {
        (Some(from), Some(until)) if from == until => {
            let why =
                format!("the range ends where it begins ({from}), and nothing is in it; `until` is the first instant after it");
            Err(Wrong { parameter: "until", why })
        }
        (Some(from), Some(until)) if from > until => {
            let why = format!("the range ends ({until}) before it begins ({from}); turn it around");
            Err(Wrong { parameter: "until", why })
        }
        _ => Ok(()),
    }
}

impl Query {
    pub fn asks_for(&self, dimension: &Dimension) -> bool {
        self.by.contains(dimension) || self.filters.iter().any(|filter| filter.dimension == *dimension)
    }

    /// Whether the parts of entries are asked for, and not entries.
    pub fn is_of_meters(&self) -> bool {
        self.asks_for(&Dimension::Meter)
    }

    /// The first and the last month in which entries count that a filter lets through, where one says so.
    pub fn months(&self) -> Option<(Month, Month)> {
        let of_months = self.filters.iter().find(|filter| filter.dimension == Dimension::Period)?;
        let months: Vec<Month> = of_months.values.iter().map(|value| value.parse().ok()).collect::<Option<_>>()?;
        months.iter().min().copied().zip(months.iter().max().copied())
    }

    /// Whether all quantities are of one unit.
    pub fn is_of_one_meter(&self) -> bool {
        self.filters.iter().any(|filter| filter.dimension == Dimension::Meter && filter.values.len() == 1)
    }

    /// All dimensions that entries are looked at by: first those to group by, then those of filters.
    pub fn folded(&self) -> Vec<&Dimension> {
        let mut folded: Vec<&Dimension> = self.by.iter().collect();
        for filter in &self.filters {
            if !folded.contains(&&filter.dimension) {
                folded.push(&filter.dimension);
            }
        }
        folded
    }

    /// What is to be added up for the columns; amounts are always, rows are sorted by them.
    pub fn addends(&self) -> Vec<Addend> {
        let mut addends = vec![Addend::Amount];
        for addend in self.show.iter().flat_map(|measure| measure.addends()).chain(&[Addend::Calls]) {
            if !addends.contains(addend) {
                addends.push(*addend);
            }
        }
        addends
    }

    pub fn counts_users(&self) -> bool {
        self.show.iter().any(|measure| matches!(measure, Measure::Users | Measure::PerUser))
    }

    /// Seconds of the range that have gone by, and all that it has; of a range that has not begun, none.
    pub fn elapsed(&self) -> Option<(i64, i64)> {
        let (from, until, now) = (self.from?.micros(), self.until?.micros(), self.asked_at?.micros());
        Some(((now.min(until) - from).max(0) / 1_000_000, (until - from) / 1_000_000))
    }

    pub fn needs_events(&self) -> bool {
        self.by.iter().chain(self.filters.iter().map(|filter| &filter.dimension)).any(Dimension::is_of_the_event)
    }

    /// Refuses what makes no sense, and says which word it is.
    pub fn check(&self) -> Result<(), Wrong> {
        let wrong = |parameter, why: String| Err(Wrong { parameter, why });
        goes_forward(self.from, self.until)?;
        if let Some(twice) = self.by.iter().enumerate().find(|(place, dimension)| self.by[..*place].contains(dimension)) {
            return wrong("group_by", format!("{} is asked for twice", twice.1));
        }
        let whole = self.show.iter().find(|measure| self.is_of_meters() && !measure.is_of_a_meter());
        if let Some(whole) = whole {
            let why = "a call uses several meters and is in none of them as a whole";
            let instead = "show amount, quantity or tokens";
            return wrong("show", format!("{} cannot be shown by meter: {why}; {instead}", whole.name()));
        }
        if self.show.contains(&Measure::Quantity) && !self.by.contains(&Dimension::Meter) && !self.is_of_one_meter() {
            return wrong("show", "a quantity is one of a meter: group by meter or filter on one, or show tokens".to_owned());
        }
        let of_money =
            |measure: &Measure| !matches!(measure, Measure::Calls | Measure::Entries | Measure::Tokens | Measure::Users);
        let of_entries = |dimension: &&Dimension| {
            let of_events = dimension.is_of_the_clock() || dimension.is_of_the_event() || dimension.is_of_an_owner();
            !(of_events
                || dimension.is_of_a_product()
                || matches!(dimension, Dimension::Source | Dimension::Outcome | Dimension::Estimated | Dimension::Reason))
        };
        match self.of {
            Of::Spend if self.asks_for(&Dimension::Reason) => {
                return wrong("group_by", "only what is held has a reason; ask for the report `held`".to_owned());
            }
            Of::Held if self.show.iter().any(of_money) => {
                return wrong("show", "what is held has no amount yet; show calls, entries, tokens or users".to_owned());
            }
            Of::Held => {
                if let Some(dimension) = self.folded().into_iter().find(of_entries) {
                    return wrong("group_by", format!("what is held has no {dimension} yet; it is given when it is charged"));
                }
                if self.clock == Clock::Recorded || self.as_of.is_some() || self.compare {
                    return wrong("clock", "what is held is known as of now, and by when it occurred".to_owned());
                }
            }
            Of::Spend => {}
        }
        if self.compare {
            if self.from.is_none() || self.until.is_none() {
                return wrong("compare", "a comparison needs a range with both ends".to_owned());
            }
            if let Some(time) = self.by.iter().find(|dimension| dimension.is_of_time()) {
                return wrong("compare", format!("a comparison is of two ranges, so it cannot be grouped by {time}"));
            }
        }
        if self.show.contains(&Measure::Forecast) && (self.from.is_none() || self.until.is_none()) {
            return wrong("show", "a forecast needs a range with both ends, such as this month".to_owned());
        }
        if self.top == Some(0) {
            return wrong("top", "the top 0 are none; ask for 1 or more".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_question_gets_an_answer_that_helps() {
        let said = Dimension::named("teams").unwrap_err();
        assert!(said.starts_with("`teams` is no dimension; known are hour, day, week,") && said.ends_with("label:KEY"), "{said}");
        assert!(Measure::named("cost").unwrap_err().contains("known are amount, posted"));
        assert_eq!(Dimension::named("label:feature").unwrap().to_string(), "label:feature");
        let ask = |change: fn(&mut Query)| {
            let mut query = Query { by: vec![Dimension::Team], ..Query::default() };
            change(&mut query);
            query.check().unwrap_err().why
        };
        let at = |micros| Some(Instant::from_micros(micros));
        let backwards = Query { from: at(2), until: at(1), ..Query::default() };
        assert_eq!(backwards.check().unwrap_err().parameter, "until");
        assert!(ask(|q| q.by.push(Dimension::Meter)).starts_with("calls cannot be shown by meter"));
        assert!(ask(|q| q.show.push(Measure::Quantity)).starts_with("a quantity is one of a meter"));
        assert!(ask(|q| q.by.push(Dimension::Team)).starts_with("team is asked for twice"));
        assert!(ask(|q| q.compare = true).starts_with("a comparison needs a range"));
        assert!(ask(|q| q.top = Some(0)).starts_with("the top 0 are none"));
    }

    #[test]
    fn every_name_leads_back_to_its_dimension() {
        for dimension in PLAIN {
            assert_eq!(Dimension::named(&dimension.to_string()), Ok(dimension));
        }
        for measure in Measure::ALL {
            assert_eq!(Measure::named(measure.name()), Ok(measure));
        }
    }
}
