//! The money behind the credits: what was paid, fees, taxes, a refund and an invoice in arrears.

use super::{ORG, balance, balances, both, money, open, whole};
use crate::support::database::TestDatabase;
use farthing::money::Currency;
use std::collections::BTreeMap;
use std::process::Command;

/// Three top-ups by card, one of which is so small that the fee is the least one, VAT on the first, a refund, and an invoice.
const FILE: &str = "date,kind,amount,currency,invoice_id,note
2026-10-01,top_up,125.55,USD,in_1,by card
2026-10-01,fee,5.50,USD,in_1,
2026-10-01,tax,20.05,USD,in_1,VAT 19%
2026-10-08,top_up,5.80,USD,in_2,
2026-10-08,fee,0.80,USD,in_2,
2026-10-15,top_up,52.75,USD,in_3,
2026-10-15,fee,2.75,USD,in_3,
2026-10-21,refund,10,USD,in_3,
2026-10-31,invoice,431.07,USD,in_4,enterprise
";

#[test]
fn purchases_become_credits_and_expenses_once() {
    both(async |database| {
        let farthing = open(database).await;
        let bought = farthing.import_purchases(ORG, FILE, "ann").await.unwrap();
        assert_eq!((bought.posted, bought.were_there, bought.credits), (9, 0, BTreeMap::from([(Currency::USD, money("145"))])));
        assert!(bought.doubtful.is_empty(), "{:?}", bought.doubtful);
        // Again, and with its rows in another order.
        let (header, rows) = FILE.split_once('\n').unwrap();
        let turned: Vec<&str> = rows.lines().rev().collect();
        for text in [FILE, &format!("{header}\n{}\n", turned.join("\n"))] {
            let again = farthing.import_purchases(ORG, text, "bo").await.unwrap();
            assert_eq!((again.posted, again.were_there), (0, 9));
        }
        let accounts = ["prepaid:openrouter", "expense:fees", "expense:tax", "payable:openrouter", "cash:bank"];
        // 184.10 were paid for credits, 10 came back, and 431.07 were paid for usage.
        assert_eq!(balances(&farthing, accounts).await, ["145", "9.05", "20.05", "431.07", "-605.17"]);
        whole(&farthing).await;
    });
}

#[test]
fn two_purchases_that_say_the_same_are_two() {
    both(async |database| {
        let farthing = open(database).await;
        let twice = "date,kind,amount,currency\n2026-10-01,top_up,10,USD\n2026-10-01,top_up,10.0,USD\n";
        assert_eq!(farthing.import_purchases(ORG, twice, "ann").await.unwrap().posted, 2);
        assert_eq!(farthing.import_purchases(ORG, twice, "ann").await.unwrap().posted, 0);
        assert_eq!(balance(&farthing, "prepaid:openrouter").await, "20");
    });
}

#[test]
fn each_error_in_a_fee_is_named_with_its_amount() {
    let database = TestDatabase::sqlite();
    let file = database.directory().join("purchases.csv");
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_farthing"));
        let output = command.args(arguments).env("DATABASE_URL", &database.url).env("FARTHING_LOG", "error").output().unwrap();
        (output.status.code(), format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)))
    };
    let wrong = FILE.replace("fee,5.50", "fee,6.00").replace("fee,0.80", "fee,0.27");
    std::fs::write(&file, &wrong).unwrap();
    let (code, said) = run(&["statement", "import", &file.display().to_string()]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("9 rows posted, 0 were there already; the credits move by 145.03"), "{said}");
    assert!(said.contains("invoice in_1: a fee of 5.5 was expected and 6 is there, a difference of 0.5"), "{said}");
    assert!(said.contains("invoice in_2: a fee of 0.8 was expected and 0.27 is there, a difference of -0.53"), "{said}");
    assert!(!said.contains("in_3"), "{said}");
    let (_, accounts) = run(&["accounts", "--prefix", "prepaid:"]);
    assert!(accounts.contains("prepaid:openrouter") && accounts.contains("145.03"), "{accounts}");

    std::fs::write(&file, FILE.replace("refund,10", "refund,-10")).unwrap();
    let (code, said) = run(&["statement", "import", &file.display().to_string()]);
    assert!(code == Some(1) && said.contains("line 9, column amount: -10 is negative"), "{code:?} {said}");
}

#[test]
fn purchases_in_two_currencies_are_never_added_to_each_other() {
    both(async |database| {
        let farthing = open(database).await;
        let file = "date,kind,amount,currency\n2026-10-01,top_up,100,USD\n2026-10-02,top_up,50,EUR\n2026-10-03,refund,7,EUR\n";
        let bought = farthing.import_purchases(ORG, file, "ann").await.unwrap();
        let euro: Currency = "EUR".parse().unwrap();
        assert_eq!(bought.credits, BTreeMap::from([(Currency::USD, money("100")), (euro, money("43"))]));
    });
}
