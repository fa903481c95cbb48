//! A reconciliation on one page: its numbers add up as they are printed, class by class, before and after true-ups; of each day
//! the newest statement counts; and a name is never markup or a formula.

use super::{NOON, ORG, THEIR_NOON, activity, both, call, compare, export, import, money, open, planted, planted_days, send};
use crate::support::database::{TestDatabase, block_on};
use crate::support::service::{Request, Service};
use farthing::flow::Farthing;
use farthing::flow::reconcile::Origin;
use farthing::flow::reconcile::page::{Range, Shown, page_of};
use farthing::money::Amount;
use farthing::reconcile::statement::Form;
use farthing::report::reconciliation::Page;
use serde_json::{Value, json};
use std::process::Command;

async fn february(farthing: &Farthing) -> Page {
    let shown = Shown::asked(None, Some("2026-02"), [None, None], Range::default()).unwrap();
    farthing.reconciliation_page(ORG, &shown).await.unwrap()
}

/// The rows of the table below a heading, cell by cell, as a browser shows them; the last one stands below the line.
fn printed(html: &str, heading: &str) -> Vec<Vec<String>> {
    let heading = format!("<h2>{heading}</h2>");
    let table = html.split(&heading).nth(1).unwrap().split("</table>").next().unwrap();
    let rows = table.split("<tr>").skip(2).map(|row| row.split("</tr>").next().unwrap());
    let cell = |cell: &str| cell.split_once('>').unwrap().1.split("</td>").next().unwrap().to_owned();
    rows.map(|row| row.split("<td").skip(1).map(cell).collect()).collect()
}

/// Whether the rows above the line add up to the one below it, in the column of amounts.
fn adds_up(rows: &[Vec<String>]) -> bool {
    let (statement, above) = rows.split_last().unwrap();
    assert_eq!(statement[0], "statement");
    above.iter().map(|row| money(&row[2])).sum::<Amount>() == money(&statement[2])
}

#[test]
fn what_is_printed_adds_up_class_by_class_before_and_after_true_ups() {
    both(async |database| {
        let farthing = open(database).await;
        let statement = planted(&farthing).await;
        let run = compare(&farthing, statement).await;
        let page = page_of(&run).to_html();
        let sums = printed(&page, "From the book to the statement");
        assert!(adds_up(&sums) && adds_up(&printed(&page, "After true-ups")), "{page}");
        let found: Vec<_> = sums.iter().map(|row| format!("{} {} {}", row[0], row[1], row[2])).collect();
        let classes = [
            "missing_here 1 0.25",
            "missing_there 1 -0.003",
            "price 1 0.0011",
            "quantity 2 0.00203",
            "tier 1 -0.0015",
            "cache_split 1 -0.0003",
            "byok 1 -0.0028",
            "tool_charge 1 0.014",
            "fee 1 0.001",
            "timing 1 0.003",
            "unmetered 1 0.5",
            "duplicate_here 1 -0.003",
        ];
        assert_eq!(found[1..found.len() - 1], classes);
        let left = printed(&page, "After true-ups");
        assert_eq!((left[1][1].as_str(), left[5][2].as_str()), ("0", "0.75753"), "nothing is trued up, all of it is left");
        assert_eq!(left[4][2], "0.003", "the statement of the next day has it less");

        farthing.true_up(ORG, &run, None, "ann").await.unwrap();
        let page = february(&farthing).await.to_html();
        let again = printed(&page, "From the book to the statement");
        assert_eq!(again, sums, "classes are told as they were without true-ups");
        let left = printed(&page, "After true-ups");
        assert!(adds_up(&left), "{left:?}");
        assert_eq!((left[1][1].as_str(), left[1][2].as_str()), ("12", "0.75753"));
        assert_eq!((left[4][2].as_str(), left[5][1].as_str(), left[5][2].as_str()), ("0.003", "0", "0"), "no residual");
        let largest = printed(&page, "The largest differences");
        assert!(largest.iter().all(|row| row[6] == "0" && row[2] != "timing"), "{largest:?}");
        assert_eq!(page_of(&farthing.reconciled(ORG, &run.kept.run).await.unwrap()).to_html(), page_of(&run).to_html());
    });
}

#[test]
fn after_true_ups_nothing_is_left_and_the_page_says_what_they_were() {
    both(async |database| {
        let farthing = open(database).await;
        let statement = planted_days(&farthing).await;
        let page = february(&farthing).await;
        assert_eq!((page.left.residual.count, page.left.residual.amount), (4, money("0.6998")));
        farthing.true_up(ORG, &compare(&farthing, statement).await, None, "ann").await.unwrap();
        let page = february(&farthing).await;
        assert_eq!((page.true_ups.count, page.true_ups.amount), (4, money("0.6998")));
        assert_eq!((page.left.residual.count, page.left.amount()), (0, Amount::ZERO));
        assert_eq!((page.said.booked.amount, page.settled.amount), (money("0.008"), money("0.7078")));
        // A late call is a difference again, and is shown as what came up since.
        send(&farthing, &call("late", "2026-02-03T13:00:00Z", &json!({}))).await;
        let page = february(&farthing).await;
        assert_eq!(page.left.residual.amount, money("-0.001"));
        assert!(adds_up(&printed(&page.to_html(), "After true-ups")));
    });
}

#[test]
fn settled_stands_beside_what_was_reported_and_rated_of_the_same_calls() {
    block_on(async {
        let database = TestDatabase::sqlite();
        let farthing = open(&database).await;
        let reported = json!({"reported": {"by": "provider", "amount": "0.0011"}});
        let own_key = json!({"reported": {"by": "provider", "amount": "0.005", "byok": true, "upstream_amount": "0.1"}});
        for (id, fields) in [("a", json!({})), ("b", reported), ("c", own_key)] {
            send(&farthing, &call(id, NOON, &fields)).await;
        }
        let row = |id, cost| (id, THEIR_NOON, cost, 1_000, json!({}));
        import(&farthing, &export(&[row("a", "0.0012"), row("b", "0.0011"), row("c", "0.005")])).await;
        let page = february(&farthing).await.to_html();
        let sides: Vec<_> = printed(&page, "What each side says of the calls").into_iter().map(|row| row.join(" ")).collect();
        // Both are rated at 0.001, and what is booked of the one with a key of its own is the fee.
        let expected = [
            "settled: the statement 3 0.0073",
            "booked, before true-ups 3 0.007",
            "reported by the provider 1 0.0011",
            "rated by the catalog 2 0.002",
        ];
        assert_eq!(sides, expected);
    });
}

#[test]
fn of_each_day_of_a_month_the_newest_statement_counts_and_days_without_one_are_named() {
    block_on(async {
        let database = TestDatabase::sqlite();
        let farthing = open(&database).await;
        for day in ["03", "04"] {
            send(&farthing, &call(day, &format!("2026-02-{day}T12:00:00Z"), &json!({}))).await;
        }
        let whole =
            import(&farthing, &activity(&[("03", 1, 1_000, "0.001"), ("04", 1, 1_000, "0.001"), ("05", 1, 9, "7")])).await;
        let later = import(&farthing, &activity(&[("04", 1, 1_000, "0.0025")])).await;
        let page = february(&farthing).await;
        let sources: Vec<_> = page.sources.iter().map(|source| (source.statement, source.amount.to_string())).collect();
        assert_eq!(sources, [(whole, "0.001".to_owned()), (later, "0.0025".to_owned()), (whole, "7".to_owned())]);
        assert_eq!(page.settled.amount, money("7.0035"));
        let text = page.to_text();
        assert!(text.contains("No statement tells of 2026-02-01 to 2026-02-02, 2026-02-06 to 2026-02-28"), "{text}");
        let account = Range { account: Some("key-7".to_owned()), ..Range::default() };
        let shown = Shown::asked(None, Some("2026-02"), [None, None], account).unwrap();
        let said = farthing.reconciliation_page(ORG, &shown).await.unwrap_err().to_string();
        assert!(said.contains("name the account whose statements are meant"), "{said}");
    });
}

#[test]
fn a_list_of_generations_is_not_taken_for_the_word_on_a_day_that_was_settled() {
    block_on(async {
        let database = TestDatabase::sqlite();
        let farthing = open(&database).await;
        let of_day = import(&farthing, &activity(&[("03", 1, 1_000, "0.25")])).await;
        farthing.true_up(ORG, &compare(&farthing, of_day).await, None, "ann").await.unwrap();
        let list = r#"{"data":{"data":[{"created_at__minute":"2026-02-03T12:00:00Z","generation_id":"gen-a","credits_usage":0.25}],"metadata":{"truncated":false}}}"#;
        let origin = Origin { form: Some(Form::Analytics), ..Origin::default() };
        farthing.import_statement(ORG, list, &origin).await.unwrap();
        let page = february(&farthing).await;
        assert_eq!(page.sources.iter().map(|source| source.statement).collect::<Vec<_>>(), [of_day]);
        assert_eq!(page.left.residual.count, 0);
    });
}

/// A statement of one line that is not in the book, of a model of this name.
fn of_model(name: &str) -> String {
    let row = json!({"date": "2026-02-03", "model": name, "model_permaslug": name, "provider_name": "P<b>", "usage": 0.5, "requests": 1,
        "prompt_tokens": 1, "completion_tokens": 0, "reasoning_tokens": 0});
    json!({"data": [row]}).to_string()
}

#[test]
fn a_hostile_name_is_text_on_the_page_and_in_the_file() {
    block_on(async {
        let database = TestDatabase::sqlite();
        let farthing = open(&database).await;
        import(&farthing, &of_model("<script>alert(\"1\")</script>&amp;")).await;
        let html = february(&farthing).await.to_html();
        assert!(html.contains("&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&amp;amp;"), "{html}");
        assert!(!html.contains("<script") && !html.contains("http://") && !html.contains("https://"), "{html}");
        import(&farthing, &of_model("=HYPERLINK(\"x\",\"y\")")).await;
        let csv = february(&farthing).await.to_table().to_csv();
        assert!(csv.contains("\"'=HYPERLINK(\"\"x\"\",\"\"y\"\")\""), "{csv}");
    });
}

#[test]
fn the_file_has_every_difference_and_its_columns_add_up() {
    block_on(async {
        let database = TestDatabase::sqlite();
        let farthing = open(&database).await;
        let statement = planted(&farthing).await;
        farthing.true_up(ORG, &compare(&farthing, statement).await, Some(money("0.1")), "ann").await.unwrap();
        let page = february(&farthing).await;
        let csv = page.to_table().to_csv();
        let mut lines = csv.lines();
        assert_eq!(
            lines.next().unwrap(),
            "statement,class,day,model,provider,expected,observed,amount,left,currency,entries,lines,generations,cause,next_step"
        );
        let sum = |place: usize| csv.lines().skip(1).map(|line| money(line.split(',').nth(place).unwrap())).sum::<Amount>();
        assert_eq!(lines.count(), 13);
        assert_eq!(sum(6) - sum(5), sum(7));
        assert_eq!((sum(7), sum(8)), (page.settled.amount - page.said.booked.amount, page.left.amount()));
        // Two are larger than what may be posted, and one is on another day.
        assert_eq!((page.left.residual.amount, page.left.on_another_day.amount), (money("0.75"), money("0.003")));
        #[cfg(feature = "polars")]
        as_parquet(&page);
    });
}

#[cfg(feature = "polars")]
fn as_parquet(page: &Page) {
    use polars::prelude::*;
    let bytes = farthing::frame::to_parquet(&page.to_table()).unwrap();
    let frame = ParquetReader::new(std::io::Cursor::new(bytes)).finish().unwrap();
    for (name, sum) in [("amount", page.settled.amount - page.said.booked.amount), ("left", page.left.amount())] {
        assert_eq!(frame.column(name).unwrap().dtype(), &DataType::Decimal(38, 24));
        let units = frame.column(name).unwrap().decimal().unwrap().physical().iter().flatten().sum::<i128>();
        assert_eq!(units, sum.units());
    }
}

#[test]
fn over_http_and_by_hand_the_page_is_the_same() {
    let database = TestDatabase::sqlite();
    let service = Service::start(&database);
    let text = |body: &str| service.request("POST", "/v1/statements").header("Content-Type", "application/json").body(body);
    let imported = service.send(text(&of_model("a/b")));
    assert_eq!(imported.status, 201, "{}", imported.text());
    let order = json!({"statement": imported.json()["id"]}).to_string();
    let run = service.post("/v1/reconciliations", order).json()["id"].as_str().unwrap().to_owned();

    let page = service.get("/v1/reconciliations/page?month=2026-02").json();
    assert_eq!((&page["statement"]["amount"], &page["classes"]["missing_here"]["amount"]), (&json!("0.5"), &json!("0.5")));
    assert_eq!((&page["left"]["residual"]["amount"], &page["run"]), (&json!("0.5"), &Value::Null));
    let wanting = |path: &str, kind: &str| service.send(service.request("GET", path).header("Accept", kind));
    let of_run = wanting(&format!("/v1/reconciliations/{run}"), "text/html");
    assert!(of_run.text().starts_with("<!doctype html>") && of_run.header("content-type").unwrap().starts_with("text/html"));
    assert_eq!(service.get(&format!("/v1/reconciliations/page?run={run}&format=html")).body, of_run.body);
    let csv = wanting(&format!("/v1/reconciliations/{run}"), "application/x-unknown, text/csv;q=0.9").text();
    assert!(csv.starts_with("statement,class,day,") && csv.lines().count() == 2, "{csv}");
    assert_eq!(service.get(&format!("/v1/reconciliations/{run}")).json()["id"], json!(run), "JSON is what was written down");

    let file = database.directory().join("page.html");
    let by_hand = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_farthing"));
        command.args(["reconcile", "show"]).args(arguments).env("DATABASE_URL", &database.url).env("FARTHING_LOG", "error");
        command.output().unwrap()
    };
    let output = by_hand(&[&run, "--format", "html", "-o", file.to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(std::fs::read(&file).unwrap(), of_run.body);
    let shown = by_hand(&["--from", "2026-02-03", "--until", "2026-02-04"]).stdout;
    assert!(String::from_utf8_lossy(&shown).contains("0 here, 0.5 there (0.5)"), "{}", String::from_utf8_lossy(&shown));
    assert_eq!(by_hand(&[&run, "--format", "pdf"]).status.code(), Some(64));

    for (query, field) in [
        ("", "month"),
        ("?month=2026-13", "month"),
        ("?month=2026-02&from=2026-02-01", "month"),
        ("?from=2026-02-03T10:00:00Z&until=2026-02-05", "from"),
        ("?from=2026-02-05&until=2026-02-03", "until"),
        ("?from=1990-01-01&until=2026-01-01", "until"),
        ("?run=x&block=1", "run"),
        ("?month=2026-02&tolerance=-1", "tolerance"),
        ("?month=2026-02&block=99", "block"),
        ("?month=2026-02&format=pdf", "format"),
    ] {
        let refused = service.get(&format!("/v1/reconciliations/page{query}"));
        assert_eq!((refused.status, refused.json()["field"].as_str()), (400, Some(field)), "{query}: {}", refused.text());
    }
    assert_eq!(service.get("/v1/reconciliations/page?month=2026-03").status, 404);
    assert_eq!(wanting("/v1/reconciliations/nothing", "text/html").status, 404);
    let of_team = service.new_key(r#"{"scopes": ["read"], "team": "search"}"#);
    assert_eq!(Request::new("GET", "/v1/reconciliations/page?month=2026-02").key(&of_team).send(&service.address).status, 403);
}
