//! What an endpoint charges, learned from what was billed: rates that were made up here and multiplied out must come back
//! exactly, rates that do not agree must not come at all, and a person has the last word.

use super::*;
use farthing::money::Rate;
use farthing::reconcile::propose::{Billed, Endpoint, propose};
use farthing::time::Instant;
use farthing::usage::{Meter, Quantities, Text};
use num_bigint::BigInt;
use std::process::Command;

fn text(text: &str) -> Text {
    Text::new(text).unwrap()
}

fn endpoint(served_by: &str) -> Endpoint {
    Endpoint { model: text("a/b"), served_by: text(served_by), variant: None, tier: None }
}

/// Quantities times rates, by big integers.
fn amount(counts: &[(Meter, u64)], rates: &[(Meter, i128)]) -> Amount {
    let rate = |meter: Meter| rates.iter().find(|(other, _)| *other == meter).map_or(0, |(_, rate)| *rate);
    let sum: BigInt = counts.iter().map(|(meter, count)| BigInt::from(rate(*meter)) * BigInt::from(*count)).sum();
    Amount::from_units(i128::try_from(sum).unwrap())
}

fn billed(number: u64, counts: &[(Meter, u64)], amount: Amount) -> Billed {
    Billed {
        generation: text(&format!("gen-{number}")),
        at: Instant::from_micros(1_770_000_000_000_000 + number as i64),
        quantities: Quantities::of(counts),
        amount,
        listed: None,
    }
}

#[test]
fn made_up_rates_come_back_exactly_from_what_they_come_to() {
    let mut random = Random::new(7);
    for _ in 0..300 {
        // Per token, from a hundred-billionth to a thousandth.
        let mut rate = |decimals: u32| i128::from(1 + random.below(9_999_999)) * 10_i128.pow(24 - decimals);
        let rates = [(Meter::Input, rate(10)), (Meter::Output, rate(10)), (Meter::CacheRead, rate(11))];
        let mut count = |most: u64| 1 + random.below(most);
        let mut requests = Vec::new();
        for number in 0..9 {
            let mut counts = vec![(Meter::Input, count(90_000)), (Meter::Output, count(9_000))];
            if number >= 6 {
                counts.push((Meter::CacheRead, count(50_000)));
            }
            let amount = amount(&counts, &rates);
            requests.push((endpoint("P"), billed(number, &counts, amount)));
        }
        let (proposals, unsolved) = propose(requests);
        assert_eq!(unsolved, []);
        let [proposal] = &proposals[..] else { panic!("{proposals:?}") };
        let expected: BTreeMap<Meter, Rate> = rates.iter().map(|(meter, rate)| (*meter, Rate::from_units(*rate))).collect();
        assert_eq!(proposal.rates.iter().copied().collect::<BTreeMap<_, _>>(), expected);
        assert_eq!((proposal.agree.len(), proposal.judged, proposal.residual), (9, 9, Amount::ZERO));
    }
}

#[test]
fn thinking_is_charged_as_output_and_one_other_price_is_told_beside() {
    let rates = [(Meter::Input, 10_i128.pow(18)), (Meter::Output, 2 * 10_i128.pow(18)), (Meter::Reasoning, 2 * 10_i128.pow(18))];
    let mut requests = Vec::new();
    for number in 0..5 {
        let counts = [(Meter::Input, 100 + number * number), (Meter::Output, 7 * number + 1), (Meter::Reasoning, 3)];
        requests.push((endpoint("P"), billed(number, &counts, amount(&counts, &rates))));
    }
    requests[4].1.amount += money("0.5");
    let (proposals, _) = propose(requests);
    let rates: Vec<_> = proposals[0].rates.iter().map(|(meter, rate)| (meter.name(), rate.to_string())).collect();
    assert_eq!(rates, [("input", "0.000001".to_owned()), ("output", "0.000002".to_owned())]);
    assert_eq!((proposals[0].agree.len(), proposals[0].judged, proposals[0].residual), (4, 5, money("0.5")));
}

#[test]
fn nothing_is_proposed_where_requests_do_not_agree_or_are_too_few() {
    let only_input = |number: u64, count: u64, cost: &str| (endpoint("P"), billed(number, &[(Meter::Input, count)], money(cost)));
    let why = |requests: Vec<(Endpoint, Billed)>| {
        let (proposals, unsolved) = propose(requests);
        assert_eq!(proposals, []);
        unsolved[0].why.clone()
    };
    assert!(why(vec![only_input(1, 100, "0.1")]).starts_with("no rate divides"));
    assert!(why(vec![only_input(1, 100, "0.1"), only_input(2, 100, "0.2")]).starts_with("no rate divides"));
    let two_prices = [("0.1", 1), ("0.1", 2), ("0.2", 3), ("0.2", 4)].map(|(cost, number)| only_input(number, 100, cost));
    assert_eq!(why(two_prices.to_vec()), "2 of 4 requests agree: several prices at once, or a price that changed");

    // What the list says already is nothing new.
    let listed = [1, 2, 3].map(|number| {
        let (endpoint, billed) = only_input(number, 100, "0.1");
        (endpoint, Billed { listed: Some(money("0.1")), ..billed })
    });
    assert_eq!(propose(listed.to_vec()), (Vec::new(), Vec::new()));
}

/// Five calls at an endpoint that is dearer than the list, and an export of what was billed for them.
async fn dearer(farthing: &Farthing) -> i64 {
    let mut rows = Vec::new();
    let calls = [("a", 1_000, "0.0015"), ("b", 3_000, "0.0045"), ("c", 7_000, "0.0105"), ("d", 11_000, "0.0165")];
    for (id, tokens, cost) in calls {
        let fields = json!({"served_by": "Dear", "usage": {"input": tokens, "output": 0}});
        send(farthing, &call(id, NOON, &fields)).await;
        rows.push((id, THEIR_NOON, cost, tokens, json!({})));
    }
    // An export cuts after six decimals, so the response's own word decides.
    for (id, row) in ["a", "b", "c", "d"].iter().zip(&rows) {
        let event = json!({"id": format!("{id}-word"), "source": "word", "served_by": "Dear", "usage": {"input": row.3, "output": 0},
            "provider_request_id": format!("gen-{id}"), "reported": {"by": "provider", "amount": row.2}});
        send(farthing, &call(&format!("{id}-word"), NOON, &event)).await;
    }
    import(farthing, &export(&rows)).await
}

#[test]
fn an_endpoint_that_is_dearer_than_the_list_is_proposed_as_a_card_that_can_be_checked_and_nothing_is_published() {
    let database = TestDatabase::sqlite();
    let file = database.directory().join("proposed.yaml");
    let statement = block_on(async {
        let farthing = open(&database).await;
        publish(&farthing, "ranking: [word]\n").await;
        let statement = dearer(&farthing).await;
        let run = compare(&farthing, statement).await;
        let version = farthing.newest(ORG).await.unwrap().version;
        let proposals = farthing.propose(ORG, &run).await.unwrap();
        assert_eq!(farthing.newest(ORG).await.unwrap().version, version, "nothing is published");
        let yaml = proposals.to_yaml();
        std::fs::write(&file, &yaml).unwrap();
        let parts = own::read(&yaml).unwrap_or_else(|mistakes| panic!("{yaml}: {}", mistakes[0]));
        assert_eq!(parts[0].counts(), (1, 1, 0));
        for said in [
            "endpoint: Dear",
            "input_per_1m: \"1.5\"",
            "from: 2026-02-03T12:00:00Z",
            "4 of 4 requests agree (gen-a, gen-b, gen-c and 1 more)",
        ] {
            assert!(yaml.contains(said), "{said} in {yaml}");
        }
        let told = proposals.to_json();
        assert_eq!((&told["items"][0]["rates"]["input"], &told["items"][0]["agree"]), (&json!("0.0000015"), &json!(4)));

        // Of days nothing can be learned.
        let days = import(&farthing, &activity(&[("03", 4, 22_000, "0.033")])).await;
        let said = farthing.propose(ORG, &compare(&farthing, days).await).await.unwrap_err().to_string();
        assert!(said.contains("import the export of generations"), "{said}");
        farthing.store.close().await;
        statement
    });
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_farthing"));
        let output = command.args(arguments).env("DATABASE_URL", &database.url).env("FARTHING_LOG", "error").output().unwrap();
        (output.status.code(), format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)))
    };
    let (code, said) = run(&["catalog", "check", &file.display().to_string()]);
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = run(&["reconcile", "propose", "--statement", &statement.to_string()]);
    assert!(code == Some(0) && said.contains("input_per_1m: \"1.5\""), "{code:?} {said}");
    let (code, said) = run(&["reconcile", "propose", "--format", "json"]);
    assert!(code == Some(0) && said.contains("\"agree\":4"), "{code:?} {said}");
}

#[test]
fn statements_teach_together_and_a_request_that_two_of_them_name_counts_once() {
    let database = TestDatabase::sqlite();
    block_on(async {
        let farthing = open(&database).await;
        let calls = [("a", 3, 1_000, "0.0015"), ("b", 4, 3_000, "0.0045"), ("c", 5, 7_000, "0.0105")];
        let at = calls.map(|(_, day, ..)| format!("2026-02-0{day} 12:00:00.000"));
        for (id, day, tokens, cost) in calls {
            let fields = json!({"served_by": "Dear", "usage": {"input": tokens, "output": 0}, "reported": {"by": "provider", "amount": cost}});
            send(&farthing, &call(id, &format!("2026-02-0{day}T12:00:00Z"), &fields)).await;
        }
        for some in [0..2, 1..3] {
            let row = |n: usize| (calls[n].0, at[n].as_str(), calls[n].3, calls[n].2, json!({}));
            import(&farthing, &export(&some.map(row).collect::<Vec<_>>())).await;
        }
        farthing.store.close().await;
    });
    let propose = |format: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_farthing"));
        command
            .args(["reconcile", "propose", "--format", format])
            .env("DATABASE_URL", &database.url)
            .env("FARTHING_LOG", "error");
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    let yaml = propose("yaml");
    let parts = own::read(&yaml).unwrap_or_else(|mistakes| panic!("{yaml}: {}", mistakes[0]));
    assert_eq!((parts.len(), parts[0].counts()), (1, (1, 1, 0)));
    assert!(yaml.contains("3 of 3 requests agree (gen-a, gen-b, gen-c), 3 were made"), "{yaml}");
    let told: Value = serde_json::from_str(&propose("json")).unwrap();
    assert_eq!((&told["items"][0]["requests"], &told["items"][0]["rates"]["input"]), (&json!(3), &json!("0.0000015")));
}
