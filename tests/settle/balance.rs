//! Two looks at the account's balance beside what is booked and bought between them.

use super::*;
use crate::support::provider::{Provider, json as answer};
use farthing::flow::reconcile::page::{Range, Shown};
use farthing::provider::openrouter::{Keys, Openrouter, Patience};
use farthing::provider::secret::Secret;
use std::process::Command;

fn credits(credits: &str, usage: &str) -> String {
    format!(r#"{{"data":{{"total_credits":{credits},"total_usage":{usage}}}}}"#)
}

#[test]
fn what_two_looks_at_the_balance_differ_by_is_said_in_words() {
    both(async |database| {
        let farthing = open(database).await;
        let provider = Provider::start();
        let keys = Keys { management: Secret::of("KEY", "sk-or-canary").unwrap(), inference: None };
        let books = Openrouter::new(&format!("{}/api/v1", provider.url), keys, Patience::default()).unwrap();
        let purchase = |at: &str, amount: &str| format!("date,kind,amount,currency\n{at},top_up,{amount},USD\n");
        let look = async |bought: &str, used: &str| {
            provider.will_say([answer(credits(bought, used))]);
            farthing.fetch_balance(ORG, &books).await.unwrap()
        };
        send(&farthing, &call("before", &now().to_string(), &json!({}))).await;
        assert_eq!(look("100", "7.5").await.stated.amount, "7.5");
        assert_eq!(farthing.compare_balance(ORG).await.unwrap(), None, "one look compares with nothing");

        // A thousandth is booked and two were used; ten were bought and are in no file.
        send(&farthing, &call("between", &now().to_string(), &json!({}))).await;
        farthing.import_purchases(ORG, &purchase("2026-02-03", "3"), "ann").await.unwrap();
        look("110", "7.502").await;
        let balance = farthing.compare_balance(ORG).await.unwrap().unwrap();
        assert_eq!((balance.usage.expected, balance.usage.observed), (money("0.001"), money("0.002")));
        assert_eq!((balance.credits.expected, balance.credits.observed), (Amount::ZERO, money("10")));
        let said = balance.variances(money("0.5"));
        assert_eq!(said.len(), 1, "usage is within the tolerance");
        assert_eq!(
            (&said[0]["level"], &said[0]["class"], &said[0]["amount"]),
            (&json!("balance"), &json!("credits"), &json!("10"))
        );
        assert!(said[0]["cause"].as_str().unwrap().contains("a top-up or a transfer is not in the file"));
        let usage = &balance.variances(Amount::ZERO)[0]["cause"];
        assert!(usage.as_str().unwrap().starts_with("more was taken from the credits than is booked"));

        // A look is kept as it came, and is no statement of days.
        let kept = farthing.statements(ORG).await.unwrap();
        assert_eq!(kept.iter().map(|(_, stated)| stated.form.as_str()).collect::<Vec<_>>(), ["credits", "credits"]);
        let wish = Wish { statement: kept[0].0, block: None, asked: Asked::default() };
        let said = farthing.reconcile(ORG, &wish).await.unwrap_err().to_string();
        assert!(said.contains("is a look at the balance, which names no usage"), "{said}");
        whole(&farthing).await;
    });
}

#[test]
fn a_look_at_the_balance_keeps_no_page_from_being_made() {
    block_on(async {
        let database = TestDatabase::sqlite();
        let farthing = open(&database).await;
        let statement = import(&farthing, &activity(&[("03", 1, 1_000, "0.25")])).await;
        let provider = Provider::start();
        provider.will_say([answer(credits("100", "7.5"))]);
        farthing.fetch_balance(ORG, &super::fetched::books(&provider)).await.unwrap();
        let of = async |month: &str| {
            let shown = Shown::asked(None, Some(month), [None, None], Range::default()).unwrap();
            farthing.reconciliation_page(ORG, &shown).await
        };
        let sources: Vec<_> = of("2026-02").await.unwrap().sources.iter().map(|source| source.statement).collect();
        assert_eq!(sources, [statement]);
        let said = of(&now().month().to_string()).await.unwrap_err().to_string();
        assert!(said.starts_with("no statement tells of the days from"), "{said}");
    });
}

#[test]
fn a_purchase_with_a_date_alone_is_named_where_it_may_lie_on_the_other_side_of_a_look() {
    block_on(async {
        let database = TestDatabase::sqlite();
        let farthing = open(&database).await;
        let provider = Provider::start();
        let look = async |bought: &str| {
            provider.will_say([answer(credits(bought, "0"))]);
            farthing.fetch_balance(ORG, &super::fetched::books(&provider)).await.unwrap();
        };
        let today = now().to_utc().date_naive();
        let buy = async |at: &str| {
            let file = format!("date,kind,amount,currency\n{at},top_up,3,USD\n");
            farthing.import_purchases(ORG, &file, "ann").await.unwrap();
        };
        look("100").await;
        buy(&now().to_string()).await;
        buy(&today.to_string()).await;
        look("106").await;
        let balance = farthing.compare_balance(ORG).await.unwrap().unwrap();
        assert_eq!(
            (balance.credits.expected, balance.credits.observed, balance.undated.before),
            (money("3"), money("6"), money("3"))
        );
        let said = balance.variances(Amount::ZERO)[0]["cause"].as_str().unwrap().to_owned();
        assert!(
            said.contains(&format!("; or 3 of {today}, written with the date alone, were not bought before the first look")),
            "{said}"
        );
    });
}

#[test]
fn what_the_balance_differs_by_ends_a_comparison_with_2_also_where_true_ups_are_posted() {
    let database = TestDatabase::sqlite();
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_farthing"));
        let output = command.args(arguments).env("DATABASE_URL", &database.url).env("FARTHING_LOG", "error").output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    block_on(async {
        let farthing = open(&database).await;
        import(&farthing, &activity(&[("03", 1, 1_000, "0.25")])).await;
        let provider = Provider::start();
        provider.will_say([answer(credits("100", "7.5")), answer(credits("110", "7.5"))]);
        for _ in 0..2 {
            farthing.fetch_balance(ORG, &super::fetched::books(&provider)).await.unwrap();
        }
        farthing.store.close().await;
    });
    let (code, said) = run(&["reconcile", "--post-true-ups"]);
    assert_eq!((code, said.matches("balance from ").count()), (Some(2), 1), "{said}");
    assert!(said.contains("1 true-ups posted") && said.contains("credits 0 here, 10 there (10)"), "{said}");
    assert_eq!(run(&["reconcile", "--post-true-ups", "--tolerance", "10"]).0, Some(0));
}
