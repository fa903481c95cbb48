//! Whether a rated event costs more than somebody allowed. A ceiling is not a rate: nothing is charged, held or refused
//! because of it. Of several ceilings the most specific one in force is asked, and no other; amounts of another currency
//! cannot be compared with it, so they are not above it.

use super::{LineItem, Rated};
use crate::catalog::{Catalog, Ceiling, resolution};
use crate::money::Rate;
use crate::usage::{Meter, UsageEvent};

/// The ceiling's label and what is above it, strictly: what costs exactly as much is allowed.
pub fn exceeded(event: &UsageEvent, rated: &Rated, catalog: &Catalog) -> Option<String> {
    let ceiling = resolution::ceiling_for(catalog, event)?;
    if ceiling.it.currency != rated.currency {
        return None;
    }
    let items = rated.charges.iter().flat_map(|charge| &charge.items);
    let what = items.filter_map(|item| dearer(item, ceiling.it)).next().or_else(|| beyond(event, rated, ceiling.it))?;
    Some(format!("{}: {what}", ceiling.label))
}

/// A line item at a higher rate than allowed; one without a rate, because the provider only said an amount, has none.
fn dearer(item: &LineItem, ceiling: &Ceiling) -> Option<String> {
    let (rate, allowed) = (item.rate?, allowed(item.meter, ceiling)?);
    let (unit, power) = if item.meter.is_token() { ("per million", 6) } else { ("each", 0) };
    (rate > allowed).then(|| {
        let (meter, currency) = (item.meter.name(), ceiling.currency);
        format!("{meter} at {} {currency} {unit} is above {}", rate.quoted_per(power), allowed.quoted_per(power))
    })
}

/// Reasoning is charged as output where nobody says otherwise, so it is allowed as output too.
fn allowed(meter: Meter, ceiling: &Ceiling) -> Option<Rate> {
    let as_output = || ceiling.rates.get(Meter::Output).filter(|_| meter == Meter::Reasoning);
    ceiling.rates.get(meter).or_else(as_output)
}

/// The whole amount, of an event that may stand for several calls.
fn beyond(event: &UsageEvent, rated: &Rated, ceiling: &Ceiling) -> Option<String> {
    let per_request = ceiling.per_request?;
    // Nothing where no book could hold what is allowed, and so nothing that is in one is above it.
    let allowed = Rate::from_units(per_request.units()).times(event.calls)?;
    // Without the amount, which stands beside it: entries that are above the same ceiling say the same.
    (rated.amount > allowed).then(|| format!("the amount is above {per_request} {} per request", ceiling.currency))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::source::own;
    use crate::rating::{Rating, rate};
    use crate::time::Instant;
    use crate::usage::dialect::{Context, native};

    const LIST: &str = "provider: acme
absent: included
models:
  - model: a/x
    aliases: [ex]
    cards: [{input_per_1m: \"3\", output_per_1m: \"15\", web_search_each: \"0.01\"}]
";

    /// Costs 0.30 + 0.15 = 0.45.
    const CALL: &str = r#""model":"ex","usage":{"input":100000,"output":10000}"#;

    /// What is said of a call under the ceilings of some files.
    fn said(files: &[String], call: &str) -> Option<String> {
        let files = [LIST.to_owned()].into_iter().chain(files.iter().cloned());
        let parts = files.flat_map(|file| own::read(&file).unwrap_or_else(|mistakes| panic!("{}", mistakes[0])));
        let catalog = Catalog::build(parts).unwrap();
        let context = Context { received_at: Instant::parse("2026-11-01T00:00:00Z").unwrap(), source: None, strict: false };
        let event = format!(
            r#"{{"id":"e","source":"s","occurred_at":"2026-10-01T00:00:00Z","provider":"acme","team":"t","key":"k",{call}}}"#
        );
        let event = native::read(&event, &context).unwrap();
        match rate(&event, &catalog) {
            Rating::Rated(rated) => exceeded(&event, &rated, &catalog),
            Rating::Unpriced(unpriced) => panic!("{unpriced}"),
        }
    }

    fn of(provider: &str, ceilings: &str) -> String {
        format!("provider: \"{provider}\"\nceilings: [{ceilings}]\n")
    }

    fn here(ceilings: &str) -> Option<String> {
        said(&[of("acme", ceilings)], CALL)
    }

    #[test]
    fn a_rate_is_above_a_ceiling_only_where_it_is_greater() {
        let above = "acme/* ceiling for the org: output at 15 USD per million is above 14.999999";
        assert_eq!(here("{output_per_1m: \"14.999999\"}").as_deref(), Some(above));
        assert_eq!(here("{output_per_1m: \"15\", input_per_1k: \"0.003\"}"), None);
        // A meter without a ceiling of its own may cost anything.
        assert_eq!(here("{cache_read_per_1m: \"0\"}"), None);
    }

    #[test]
    fn the_whole_amount_is_held_against_what_a_request_may_cost() {
        assert_eq!(here("{amount_per_request: \"0.45\"}"), None);
        let above = "acme/* ceiling for the org: the amount is above 0.44 USD per request";
        assert_eq!(here("{amount_per_request: \"0.44\"}").as_deref(), Some(above));
        // Rates come first.
        assert!(here("{input_per_1m: \"1\", amount_per_request: \"0\"}").unwrap().contains("input at 3 USD"));
        let of_two = |ceiling: &str| said(&[of("acme", ceiling)], &format!("{CALL},\"calls\":2"));
        assert_eq!(of_two("{amount_per_request: \"0.225\"}"), None);
        let above = "acme/* ceiling for the org: the amount is above 0.224 USD per request";
        assert_eq!(of_two("{amount_per_request: \"0.224\"}").as_deref(), Some(above));
    }

    #[test]
    fn the_most_specific_ceiling_is_asked_and_no_other() {
        let org = "{input_per_1m: \"1\"}";
        assert!(here(org).is_some());
        assert_eq!(here(&format!("{org}, {{model: a/*, input_per_1m: \"3\"}}")), None);
        assert_eq!(here(&format!("{org}, {{team: t, input_per_1m: \"3\"}}, {{key: other, input_per_1m: \"0\"}}")), None);
        assert_eq!(
            here(&format!("{org}, {{from: 2026-09-01, input_per_1m: \"3\"}}, {{from: 2026-10-02, input_per_1m: \"0\"}}")),
            None
        );
        // The event says `ex`, which the list knows as a/x.
        let label = "acme/a/x@2026-09-01 ceiling for team t: ";
        assert!(here("{model: a/x, team: t, from: 2026-09-01, input_per_1m: \"1\"}").unwrap().starts_with(label));
    }

    #[test]
    fn a_ceiling_may_hold_at_every_provider() {
        let everywhere = of("*", "{input_per_1m: \"1\"}");
        let above = "*/* ceiling for the org: input at 3 USD per million is above 1";
        assert_eq!(said(std::slice::from_ref(&everywhere), CALL).as_deref(), Some(above));
        let beside = |own: &str| said(&[everywhere.clone(), of("acme", own)], CALL);
        assert_eq!(beside("{input_per_1m: \"3\"}"), None, "the provider's own wins a tie");
        assert_eq!(beside("{model: b/*, input_per_1m: \"0\"}").as_deref(), Some(above));
    }

    #[test]
    fn reasoning_is_allowed_as_output() {
        let reasoned = |ceiling: &str| said(&[of("acme", ceiling)], r#""model":"ex","usage":{"reasoning":10}"#);
        let above = "acme/* ceiling for the org: reasoning at 15 USD per million is above 14";
        assert_eq!(reasoned("{output_per_1m: \"14\"}").as_deref(), Some(above));
        assert_eq!(reasoned("{output_per_1m: \"14\", reasoning_per_1m: \"15\"}"), None);
    }

    #[test]
    fn another_currency_cannot_be_compared() {
        assert_eq!(here("{currency: EUR, input_per_1m: \"0\", amount_per_request: \"0\"}"), None);
    }

    #[test]
    fn an_amount_without_rates_is_only_held_against_the_request() {
        let reported = r#""model":"b/y","usage":{"input":1},"reported":{"by":"provider","amount":"2","currency":"USD"}"#;
        let of_reported = |ceiling: &str| said(&[of("acme", ceiling)], reported);
        assert_eq!(of_reported("{input_per_1m: \"0\", amount_per_request: \"2\"}"), None);
        let above = "acme/* ceiling for the org: the amount is above 1.99 USD per request";
        assert_eq!(of_reported("{amount_per_request: \"1.99\"}").as_deref(), Some(above));
    }
}
