//! Two looks at the account's balance beside what is booked and bought between them.

use super::*;
use crate::support::provider::{Provider, json as answer};
use farthing::flow::reconcile::balance::{OfKey, Sides};
use farthing::flow::reconcile::page::{Range, Shown};
use farthing::provider::openrouter::{Keys, Openrouter, Patience};
use farthing::provider::secret::Secret;
use std::process::Command;
use std::sync::{Arc, Mutex};

fn credits(credits: &str, usage: &str) -> String {
    format!(r#"{{"data":{{"total_credits":{credits},"total_usage":{usage}}}}}"#)
}

/// An account without keys, which says else what it is told to.
fn account() -> Provider {
    Provider::answering(|_| answer(r#"{"data":[]}"#))
}

#[test]
fn what_two_looks_at_the_balance_differ_by_is_said_in_words() {
    both(async |database| {
        let farthing = open(database).await;
        let provider = account();
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
        let provider = account();
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
        let provider = account();
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
        let provider = account();
        for bought in ["100", "110"] {
            provider.will_say([answer(credits(bought, "7.5"))]);
            farthing.fetch_balance(ORG, &super::fetched::books(&provider)).await.unwrap();
        }
        farthing.store.close().await;
    });
    let (code, said) = run(&["reconcile", "--post-true-ups"]);
    assert_eq!((code, said.matches("balance from ").count()), (Some(2), 1), "{said}");
    assert!(said.contains("1 true-ups posted") && said.contains("credits 0 here, 10 there (10)"), "{said}");
    assert_eq!(run(&["reconcile", "--post-true-ups", "--tolerance", "10"]).0, Some(0));
}

/// Three top-ups with their fees (5.5%, at least 0.80), a tax, a refund, credits that lapsed and that were given to another account,
/// and an invoice in arrears: credits of 153.50.
const PURCHASES: &str = "date,kind,amount,currency,invoice_id
NOW,top_up,125.55,USD,in_1
NOW,fee,5.50,USD,in_1
NOW,tax,20.05,USD,in_1
NOW,top_up,10.80,USD,in_2
NOW,fee,0.80,USD,in_2
NOW,top_up,63.30,USD,in_3
NOW,fee,3.30,USD,in_3
NOW,refund,10,USD,
NOW,expiry,1.5,USD,
NOW,transfer,-5,USD,
NOW,invoice,500,USD,in_4
";

#[test]
fn a_month_of_money_closes_and_each_error_in_it_is_named_with_its_amount() {
    let found = |purchases: &str, used: &str| {
        let database = TestDatabase::sqlite();
        let (balance, doubtful) = block_on(async {
            let farthing = open(&database).await;
            let provider = account();
            let look = async |bought: &str, used: &str| {
                provider.will_say([answer(credits(bought, used))]);
                farthing.fetch_balance(ORG, &super::fetched::books(&provider)).await.unwrap();
            };
            look("1000", "900").await;
            let bought = farthing.import_purchases(ORG, &purchases.replace("NOW", &now().to_string()), "ann").await.unwrap();
            for id in ["one", "two"] {
                send(&farthing, &call(id, &now().to_string(), &json!({}))).await;
            }
            look("1153.5", used).await;
            let balance = farthing.balance_of_month(ORG, now().month()).await.unwrap().unwrap();
            whole(&farthing).await;
            farthing.store.close().await;
            (balance, bought.doubtful)
        });
        let variances = balance.variances(Amount::ZERO);
        let text = |variance: &Value, name: &str| variance[name].as_str().unwrap().to_owned();
        let mut said: Vec<String> =
            variances.iter().map(|found| format!("{} {}", text(found, "class"), text(found, "amount"))).collect();
        said.extend(doubtful);
        (said, balance.closing.unexplained(), database)
    };
    let (said, unexplained, database) = found(PURCHASES, "900.002");
    assert_eq!((said, unexplained), (vec![], Amount::ZERO));
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_farthing"));
        let output = command.args(arguments).env("DATABASE_URL", &database.url).env("FARTHING_LOG", "error").output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, page) = run(&["reconcile", "money"]);
    let steps: Vec<Vec<&str>> = page.lines().skip(1).map(|line| line.split_whitespace().collect()).collect();
    let expected = [
        vec!["balance", "before", "100.00"],
        vec!["top-ups", "199.65"],
        vec!["fees", "-9.60"],
        vec!["taxes", "-20.05"],
        vec!["refunds", "-10.00"],
        vec!["expiries", "-1.50"],
        vec!["transfers", "-5.00"],
        vec!["usage", "-0.002"],
        vec!["unexplained", "0.00"],
        vec!["balance", "after", "253.498"],
        "beside that, 500 were paid for usage in arrears".split(' ').collect(),
    ];
    assert_eq!((code, steps), (Some(0), expected.to_vec()), "{page}");
    let (code, page) = run(&["reconcile", "money", "--month", &now().month().to_string(), "--format", "json"]);
    let page: Value = serde_json::from_str(&page).unwrap();
    assert_eq!((code, &page["steps"][1]["amount"], &page["invoices"]), (Some(0), &json!("199.65"), &json!("500")));

    for (right, wrong, used, said) in [
        ("NOW,refund,10,USD,\n", "", "900.002", vec!["credits -10"]),
        ("NOW,top_up,10.80,USD,in_2\nNOW,fee,0.80,USD,in_2\n", "", "900.002", vec!["credits 10"]),
        (
            "fee,5.50,",
            "fee,5.60,",
            "900.002",
            vec!["credits 0.1", "invoice in_1: a fee of 5.5 was expected and 5.6 is there, a difference of 0.1"],
        ),
        (
            "tax,20.05,",
            "tax,21.05,",
            "900.002",
            vec!["credits 1", "invoice in_1: a fee of 5.45 was expected and 5.5 is there, a difference of 0.05"],
        ),
        ("", "", "900.252", vec!["usage 0.25"]),
        ("NOW,refund,10,USD,\n", "", "900", vec!["usage -0.002", "credits -10"]),
    ] {
        let (found, unexplained, _) = found(&PURCHASES.replacen(right, wrong, usize::from(!right.is_empty())), used);
        assert_eq!(found, said, "{wrong}");
        assert!(!unexplained.is_zero());
    }
}

#[test]
fn what_each_key_used_between_two_looks_is_laid_beside_what_is_booked_of_it() {
    both(async |database| {
        let farthing = open(database).await;
        let told = Arc::new(Mutex::new(String::new()));
        let keys = told.clone();
        let provider = Provider::answering(move |request| match request.starts_with("GET /api/v1/keys") {
            true if request.contains("offset=0") => answer(keys.lock().unwrap().clone()),
            true => answer(r#"{"data":[]}"#),
            false => answer(credits("100", "8")),
        });
        let look = async |keys: &[(&str, &str, &str)]| {
            let key =
                |(hash, name, used): &(&str, &str, &str)| json!({"hash": hash, "name": name, "usage": money(used).to_string()});
            *told.lock().unwrap() = json!({"data": keys.iter().map(key).collect::<Vec<_>>()}).to_string();
            farthing.fetch_balance(ORG, &super::fetched::books(&provider)).await.unwrap();
        };
        let compared = async || farthing.compare_balance(ORG).await.unwrap().unwrap();

        let before = [("aa", "prod", "1"), ("bb", "laptop", "2"), ("cc", "gone", "5"), ("ee", "chat", "3")];
        look(&before).await;
        send(&farthing, &call("keyless", &now().to_string(), &json!({}))).await;
        send(&farthing, &call("virtual", &now().to_string(), &json!({"key": "virtual-7"}))).await;
        look(&[("aa", "prod", "1.5"), ("bb", "laptop", "2"), ("cc", "gone", "5"), ("ee", "chat", "3")]).await;
        assert_eq!(compared().await.keys, [], "no gateway calls a key as the account does");

        // Two thousandths are booked of one that used half as much; one was made and one was deleted in between.
        for id in ["one", "two"] {
            send(&farthing, &call(id, &now().to_string(), &json!({"key": "prod"}))).await;
        }
        look(&[("aa", "prod", "1.501"), ("bb", "laptop", "2.25"), ("dd", "new", "0.1"), ("ee", "chat", "3")]).await;
        let balance = compared().await;
        let used = |name: &str, expected: &str, observed: &str, is_metered: bool| OfKey {
            name: name.to_owned(),
            usage: Sides { expected: money(expected), observed: money(observed) },
            is_metered,
        };
        let expected = [
            used("chat", "0", "0", false),
            used("laptop", "0", "0.25", false),
            used("new", "0", "0.1", false),
            used("prod", "0.002", "0.001", true),
        ];
        assert_eq!(balance.keys, expected);
        let outside = balance.variances(money("0.2"));
        assert_eq!(outside.len(), 1, "{outside:?}");
        assert_eq!((&outside[0]["class"], &outside[0]["key"]), (&json!("unmetered"), &json!("laptop")));

        whole(&farthing).await;
        farthing.store.close().await;
        let mut command = Command::new(env!("CARGO_BIN_EXE_farthing"));
        let command = command.args(["reconcile", "money"]).env("DATABASE_URL", &database.url).env("FARTHING_LOG", "error");
        let command = command.env("FARTHING_ALLOW_FSYNC_OFF", "true");
        let output = command.output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}{}", String::from_utf8_lossy(&output.stderr));
        assert!(said.contains("usage of the key prod 0.002 here, 0.001 there (-0.001): more is booked of this key"), "{said}");
        assert!(said.contains("unmetered of the key new 0 here, 0.1 there (0.1): this key never sent anything here"), "{said}");
    });
}

#[test]
fn days_of_one_key_are_asked_for_by_its_name_and_kept_as_its_own() {
    let database = TestDatabase::sqlite();
    block_on(async { open(&database).await.store.close().await });
    let provider = Provider::answering(|request| match request {
        request if request.starts_with("GET /api/v1/keys") => answer(
            r#"{"data":[{"hash":"aa11","name":"prod","usage":1.5,"disabled":false},{"hash":"bb22","name":"laptop","usage":2,"disabled":true}]}"#,
        ),
        request if request.contains("api_key_hash=bb22") => answer(r#"{"data":[]}"#),
        request => {
            let day = &request[request.find("date=").unwrap() + 5..][..10];
            answer(format!(
                r#"{{"data":[{{"date":"{day}","model":"a/b","model_permaslug":"a/b-20260101","provider_name":"P","usage":0.25,"requests":1,"prompt_tokens":1000,"completion_tokens":0}}]}}"#
            ))
        }
    });
    let yesterday = super::scheduled::day(1);
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_farthing"));
        let url = format!("{}/api/v1", provider.url);
        command.env("DATABASE_URL", &database.url).env("FARTHING_LOG", "error").env("FARTHING_OPENROUTER_URL", url);
        let output = command.args(arguments).env("OPENROUTER_MANAGEMENT_KEY", "sk-or-canary").output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let fetch = |key: &str| run(&["statement", "fetch", "--from", &yesterday, "--key", key]);
    let (code, said, errors) = fetch("prod");
    assert_eq!(code, Some(0), "{errors}");
    assert!(said.contains("activity of prod from") && said.contains("1 lines, 0.25 USD"), "{said}");
    assert!(provider.asked().iter().any(|request| request.contains(&format!("date={yesterday}&api_key_hash=aa11"))));
    let (code, said, _) = fetch("all");
    assert_eq!((code, said.lines().count()), (Some(0), 2), "{said}");
    assert!(said.contains("as before, activity of prod") && said.contains("new, activity of laptop"), "{said}");
    let (code, _, said) = fetch("staging");
    assert_eq!(code, Some(64), "{said}");
    assert!(said.contains("--key: the account has no key staging; it has prod, laptop"), "{said}");
    let (code, said, _) = run(&["reconcile"]);
    assert_eq!(code, Some(2));
    assert!(said.contains("missing_here"), "{said}");
}
