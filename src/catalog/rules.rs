//! What an org rules about those who send events: which of the things a producer says becomes who bears an event, and whose
//! word counts where two of them tell of one call. Rules are published and numbered like prices, because they decide entries
//! as prices do; what a producer said stays on record as it was said, so that another rule can read it otherwise.

use crate::catalog::Pattern;
use crate::usage::dialect::Dialect;
use crate::usage::{Owner, OwnerDimension, Text, UsageEvent};
use std::fmt;

/// The source of what was asked of a provider because no gateway had told of it.
pub const FETCHED: &str = "openrouter-reconciliation";

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Rules {
    /// For each dimension the first that fits an event and finds something decides; where none does, the producer's own word.
    pub attribution: Vec<Attribution>,
    /// The first that fits an event divides its cost.
    pub shares: Vec<Sharing>,
    /// What the accounts of owners' costs are made of; team and user where nothing is said.
    pub cost: Option<Vec<OwnerDimension>>,
    /// Sources whose word counts for more than that of all further down; those that are not named share the last place.
    pub ranking: Vec<Pattern>,
}

/// Who bears what certain producers send.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Attribution {
    pub source: Pattern,
    pub dialect: Option<Dialect>,
    /// Of several takings the first that is there.
    pub takes: Vec<(OwnerDimension, Vec<Taking>)>,
    pub note: Option<Text>,
}

/// Who bears together what certain owners use.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sharing {
    pub source: Pattern,
    /// Only what is borne by an owner of whom these are true.
    pub of: Vec<(OwnerDimension, Text)>,
    /// Whose part is how large: the owner of the event, but for what is named.
    pub among: Vec<(Vec<(OwnerDimension, Text)>, u32)>,
    pub note: Option<Text>,
}

/// An owner's part of a cost.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Share {
    pub owner: Owner,
    pub parts: u32,
}

/// Where a dimension is taken from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Taking {
    /// What the producer says of this or another dimension.
    Dimension(OwnerDimension),
    Label(Text),
    Session,
    Source,
    RequestedModel,
    /// Always this.
    Value(Text),
    /// Nothing, whatever the producer says.
    Nobody,
}

impl Rules {
    pub fn is_empty(&self) -> bool {
        *self == Rules::default()
    }

    /// What accounts of owners' costs are made of.
    pub fn cost(&self) -> &[OwnerDimension] {
        self.cost.as_deref().unwrap_or(&[OwnerDimension::Team, OwnerDimension::User])
    }

    /// Who bears an event together, if several do; it is attributed already.
    pub fn share(&self, event: &UsageEvent) -> Vec<Share> {
        let Some(sharing) = self.shares.iter().find(|sharing| sharing.fits(event)) else { return Vec::new() };
        let mut shares: Vec<Share> = Vec::with_capacity(sharing.among.len());
        for (named, parts) in &sharing.among {
            let mut owner = event.owner.clone();
            named.iter().for_each(|(dimension, text)| owner.set(*dimension, Some(text.clone())));
            // Two that come to be the same owner are one.
            match shares.iter_mut().find(|share| share.owner == owner) {
                Some(same) => same.parts += parts,
                None => shares.push(Share { owner, parts: *parts }),
            }
        }
        shares
    }

    /// Who bears an event, where that is not whom its producer names.
    pub fn attribute(&self, event: &UsageEvent) -> Option<Owner> {
        let mut ruled: Option<Owner> = None;
        for dimension in OwnerDimension::ALL {
            let fitting = self.attribution.iter().filter(|rule| rule.fits(event));
            let takings = fitting.flat_map(|rule| rule.takes.iter()).filter(|(of, _)| *of == dimension);
            let found = takings.flat_map(|(_, takings)| takings).find_map(|taking| taking.of(event));
            if let Some(found) = found.filter(|found| found.as_ref() != event.owner.get(dimension)) {
                ruled.get_or_insert_with(|| event.owner.clone()).set(dimension, found);
            }
        }
        ruled
    }

    /// The place of a source in the ranking; a smaller one counts for more. What was fetched to fill a gap knows the money and not
    /// the team, so behind all that are not named comes that.
    pub fn rank(&self, source: &str) -> usize {
        let unnamed = self.ranking.len() + usize::from(source == FETCHED);
        self.ranking.iter().position(|pattern| pattern.fits(source)).unwrap_or(unnamed)
    }

    /// Every rule in words, one a line.
    pub fn lines(&self) -> Vec<String> {
        let ranking: Vec<_> = self.ranking.iter().map(Pattern::to_string).collect();
        let ranking = Some(format!("ranking: {}", ranking.join(" before "))).filter(|_| !self.ranking.is_empty());
        let cost = self.cost.as_ref().map(|_| {
            let parts: Vec<_> = self.cost().iter().map(|dimension| dimension.name()).collect();
            format!("accounts of costs: {}", parts.join("/"))
        });
        let shares = self.shares.iter().map(Sharing::to_string);
        self.attribution.iter().map(Attribution::to_string).chain(shares).chain(cost).chain(ranking).collect()
    }
}

impl Sharing {
    fn fits(&self, event: &UsageEvent) -> bool {
        self.source.fits(&event.source) && self.of.iter().all(|(dimension, text)| event.owner.get(*dimension) == Some(text))
    }
}

impl fmt::Display for Sharing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = |named: &[(OwnerDimension, Text)]| {
            let words: Vec<_> = named.iter().map(|(dimension, text)| format!("{} {text}", dimension.name())).collect();
            if words.is_empty() { "its own owner".to_owned() } else { words.join(" and ") }
        };
        write!(f, "shares of {}", self.source)?;
        if !self.of.is_empty() {
            write!(f, " for {}", words(&self.of))?;
        }
        for (place, (named, parts)) in self.among.iter().enumerate() {
            write!(f, "{} {parts} for {}", if place == 0 { ":" } else { ";" }, words(named))?;
        }
        Ok(())
    }
}

impl Attribution {
    fn fits(&self, event: &UsageEvent) -> bool {
        self.source.fits(&event.source) && self.dialect.is_none_or(|dialect| dialect == event.dialect)
    }
}

impl Taking {
    /// Reads `label:cost_center`, `=batch`, `nobody`, `session` or the name of a dimension.
    pub fn of_text(text: &str) -> Option<Taking> {
        if let Some(label) = text.strip_prefix("label:") {
            return Text::new(label).map(Taking::Label);
        }
        if let Some(value) = text.strip_prefix('=') {
            return Text::new(value).map(Taking::Value);
        }
        match text {
            "session" => Some(Taking::Session),
            "source" => Some(Taking::Source),
            "requested_model" => Some(Taking::RequestedModel),
            "nobody" => Some(Taking::Nobody),
            other => OwnerDimension::named(other).map(Taking::Dimension),
        }
    }

    /// What it gives for an event; nothing where that is not there, and nobody where it says so.
    fn of(&self, event: &UsageEvent) -> Option<Option<Text>> {
        let found = match self {
            Taking::Dimension(dimension) => event.owner.get(*dimension).cloned(),
            Taking::Label(key) => event.labels.iter().find(|(other, _)| other == key).map(|(_, value)| value.clone()),
            Taking::Session => event.session.clone(),
            Taking::Source => Some(event.source.clone()),
            Taking::RequestedModel => event.product.requested_model.clone(),
            Taking::Value(value) => Some(value.clone()),
            Taking::Nobody => return Some(None),
        };
        found.map(Some)
    }
}

impl fmt::Display for Taking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Taking::Dimension(dimension) => f.write_str(dimension.name()),
            Taking::Label(key) => write!(f, "label:{key}"),
            Taking::Session => f.write_str("session"),
            Taking::Source => f.write_str("source"),
            Taking::RequestedModel => f.write_str("requested_model"),
            Taking::Value(value) => write!(f, "={value}"),
            Taking::Nobody => f.write_str("nobody"),
        }
    }
}

impl fmt::Display for Attribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "attribution of {}", self.source)?;
        if let Some(dialect) = self.dialect {
            write!(f, " in {}", dialect.name())?;
        }
        for (place, (dimension, takings)) in self.takes.iter().enumerate() {
            let takings: Vec<_> = takings.iter().map(Taking::to_string).collect();
            let sign = if place == 0 { ":" } else { ";" };
            write!(f, "{sign} {} from {}", dimension.name(), takings.join(" or "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Part;
    use crate::catalog::source::own;
    use crate::time::Instant;
    use crate::usage::dialect::{Context, native};

    fn rules(yaml: &str) -> Rules {
        match own::read(yaml).unwrap().remove(0) {
            Part::Rules(rules) => (*rules).clone(),
            other => panic!("{other:?}"),
        }
    }

    fn event(fields: &str) -> UsageEvent {
        let context = Context { received_at: Instant::parse("2026-02-03T12:00:00Z").unwrap(), source: None, strict: false };
        let json = format!(r#"{{"id":"a","source":"gw-eu","provider":"p","model":"m","usage":{{"input":1}},{fields}}}"#);
        native::read(&json, &context).unwrap()
    }

    const RULES: &str = "\
attribution:
  - source: gw-*
    dialect: native
    team: [label:cost_center, label:team_id]
    user: [session]
  - team: \"=unassigned\"
    key: nobody
ranking: [broadcast, gw-*]
";

    #[test]
    fn the_first_rule_that_finds_something_decides_dimension_by_dimension() {
        let rules = rules(RULES);
        let owner = |fields: &str| rules.attribute(&event(fields)).unwrap();
        let one = owner(r#""user":"ann","team":"x","key":"k","labels":{"team_id":"t7","cost_center":"cc-1"}"#);
        // No session is there, so the user stays whom the producer names.
        assert_eq!(one.team.as_deref(), Some("cc-1"));
        assert_eq!((one.user.as_deref(), one.key), (Some("ann"), None));
        let two = owner(r#""session":"s1","labels":{"team_id":"t7"}"#);
        assert_eq!((two.team.as_deref(), two.user.as_deref()), (Some("t7"), Some("s1")));
        let three = owner(r#""team":"x""#);
        assert_eq!(three.team.as_deref(), Some("unassigned"));
    }

    #[test]
    fn what_the_rules_leave_as_it_is_is_no_other_owner() {
        let rules = rules("attribution:\n  - {source: other, team: \"=x\"}\n  - {team: team}\n");
        assert_eq!(rules.attribute(&event(r#""team":"a""#)), None);
    }

    #[test]
    fn whoever_is_not_ranked_shares_the_last_place() {
        let rules = rules(RULES);
        assert_eq!(["broadcast", "gw-us", "x", "y"].map(|source| rules.rank(source)), [0, 1, 2, 2]);
    }

    #[test]
    fn rules_are_written_as_they_are_read() {
        let part = own::read(RULES).unwrap().remove(0);
        let text = own::write(&part);
        assert_eq!(own::read(&text).unwrap(), std::slice::from_ref(&part));
        assert_eq!(own::write(&own::read(&text).unwrap()[0]), text);
        assert_eq!(
            rules(RULES).lines(),
            [
                "attribution of gw-* in native: user from session; team from label:cost_center or label:team_id",
                "attribution of *: team from =unassigned; key from nobody",
                "ranking: broadcast before gw-*"
            ]
        );
    }

    #[test]
    fn a_mistake_in_a_rule_names_its_line_and_the_fix() {
        let yaml = "attribution:\n  - team: label\n  - source: x\n  - {dialect: smoke, user: session}\nranking: []\n";
        let mistakes: Vec<_> = own::read(yaml).unwrap_err().iter().map(|mistake| mistake.to_string()).collect();
        assert_eq!(mistakes.len(), 3, "{mistakes:?}");
        assert!(mistakes[0].starts_with("line 2: attribution.team: `label` is no place to take it from; write label:<key>, "));
        assert_eq!(mistakes[1], "line 3: attribution: takes nothing; name a dimension, such as team: label:cost_center");
        assert!(mistakes[2].starts_with("line 4: attribution.dialect: `smoke` is unknown; known are native, cloudevents, "));
    }
}
