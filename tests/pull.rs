//! Following the ledger table of Oceans LLM, in a real SQLite file and a real PostgreSQL, by the command that an operator runs.

use crate::support::database::{Kind, TestDatabase, block_on};
use sqlx::{Connection, Executor, PgConnection, SqliteConnection};
use std::process::Command;

/// Their table as far as it concerns a ledger, in the types of either engine.
fn table(kind: Kind) -> String {
    let (int, text) = if kind == Kind::Sqlite { ("INTEGER", "TEXT") } else { ("BIGINT", "TEXT") };
    let ints = [
        "prompt_tokens",
        "uncached_input_tokens",
        "cache_read_tokens",
        "cache_write_tokens",
        "completion_tokens",
        "total_tokens",
        "computed_cost_10000",
    ];
    let texts = ["ownership_scope_key", "api_key_id", "user_id", "team_id", "provider_key", "upstream_model"];
    let more = ["provider_usage_json", "pricing_status", "unpriced_reason", "pricing_provider_id"];
    let columns: Vec<String> = ints
        .map(|name| format!("{name} {int}"))
        .into_iter()
        .chain(texts.into_iter().chain(more).map(|name| format!("{name} {text}")))
        .collect();
    format!(
        "CREATE TABLE usage_cost_events (usage_event_id {text} PRIMARY KEY, request_id {text} NOT NULL, {}, occurred_at {int} NOT NULL)",
        columns.join(", ")
    )
}

/// 1,000 plain, 8,000 read from the cache and 700 out at OpenRouter's gpt-4o-mini; OpenRouter itself said 0.00117 USD.
fn row(number: u64, occurred_at: i64) -> String {
    format!(
        "INSERT INTO usage_cost_events (usage_event_id, request_id, ownership_scope_key, api_key_id, user_id, team_id, provider_key,
           upstream_model, prompt_tokens, uncached_input_tokens, cache_read_tokens, cache_write_tokens, completion_tokens,
           total_tokens, provider_usage_json, pricing_status, pricing_provider_id, computed_cost_10000, occurred_at)
         VALUES ('e{number:04}', 'req-{number}', 'user:u7', 'key-3', 'u7', 't4', 'openrouter', 'openai/gpt-4o-mini', 9000, 1000, 8000, 0,
           700, 9700, '{{\"prompt_tokens\":9000,\"completion_tokens\":700,\"cost\":0.00117}}', 'priced', 'openrouter', 12, {occurred_at})"
    )
}

async fn run(kind: Kind, url: &str, statements: &[String]) {
    match kind {
        Kind::Sqlite => {
            let mut connection = SqliteConnection::connect(&format!("{url}?mode=rwc")).await.unwrap();
            for statement in statements {
                connection.execute(sqlx::AssertSqlSafe(statement.clone())).await.unwrap();
            }
            connection.close().await.unwrap();
        }
        Kind::Postgres => {
            let mut connection = PgConnection::connect(url).await.unwrap();
            for statement in statements {
                connection.execute(sqlx::AssertSqlSafe(statement.clone())).await.unwrap();
            }
            connection.close().await.unwrap();
        }
    }
}

/// Runs the program; answers its exit code and what it said.
fn farthing(arguments: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_farthing"));
    command.args(arguments).args(["--log", "error", "--allow-fsync-off"]);
    let output = command.env_remove("FARTHING_DATABASE").env_remove("DATABASE_URL").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code().unwrap(), said)
}

const DAY: i64 = 1_790_000_000;

#[test]
fn a_table_is_followed_from_where_it_was_left_and_nothing_late_is_missed() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let (theirs, book) = (TestDatabase::new(kind), TestDatabase::sqlite());
        let pull = || farthing(&["pull", "oceans", "--database", &theirs.url, "--into", &book.url, "--source", "oceans-prod"]);
        let rows: Vec<String> = (0..2_500).map(|number| row(number, DAY + number as i64 / 10)).collect();
        block_on(run(kind, &theirs.url, &[vec![table(kind)], rows].concat()));
        let (code, said) = pull();
        assert_eq!(code, 0, "{said}");
        assert!(said.contains("2500 rows: 2500 posted"), "{said}");
        // 0.0012 each there, 0.00117 each here.
        assert!(said.contains("Oceans computed 3 where 2.925 is booked: its roundings and prices come to 0.075"), "{said}");

        // A row that was committed late, with an earlier second than the last one read; and a new one.
        block_on(run(kind, &theirs.url, &[row(9_001, DAY + 3), row(9_002, DAY + 4_000)]));
        let (code, said) = pull();
        assert_eq!(code, 0, "{said}");
        assert!(said.contains(" 2 posted"), "{said}");

        let (_, spent) = farthing(&["report", "spend", "--by", "source,team", "--format", "csv", "--database", &book.url]);
        // 2,502 calls at what OpenRouter said: 2.92734 USD, where Oceans' own roundings come to 3.0024.
        assert!(spent.contains("oceans-prod,t4,2.92734"), "{spent}");
        let (_, story) = farthing(&["explain", "req-7@user:u7", "--database", &book.url]);
        assert!(story.contains("reported 0.00117"), "{story}");
        assert!(story.contains("the gateway computed 0.0012 USD, 0.00003 more"), "{story}");
    }
}

#[test]
fn a_row_of_the_future_does_not_keep_those_of_today_from_being_read() {
    let (theirs, book) = (TestDatabase::sqlite(), TestDatabase::sqlite());
    let pull = || farthing(&["pull", "oceans", "--database", &theirs.url, "--into", &book.url]).1;
    block_on(run(Kind::Sqlite, &theirs.url, &[table(Kind::Sqlite), row(1, DAY), row(2, DAY + 200_000_000)]));
    let said = pull();
    assert!(said.contains("1 posted") && said.contains("1 rejected"), "{said}");
    block_on(run(Kind::Sqlite, &theirs.url, &[row(3, DAY + 5_000_000)]));
    let said = pull();
    assert!(said.contains("1 posted") && said.contains("1 rejected"), "{said}");
}

#[test]
fn what_was_pulled_before_a_crash_is_not_pulled_again_and_the_rest_is() {
    let (theirs, book) = (TestDatabase::sqlite(), TestDatabase::sqlite());
    let rows: Vec<String> = (0..30_000).map(|number| row(number, DAY + number as i64)).collect();
    let rows = [vec![table(Kind::Sqlite), "BEGIN".to_owned()], rows, vec!["COMMIT".to_owned()]].concat();
    block_on(run(Kind::Sqlite, &theirs.url, &rows));
    let mut first = Command::new(env!("CARGO_BIN_EXE_farthing"))
        .args(["pull", "oceans", "--database", &theirs.url, "--into", &book.url, "--log", "error"])
        .spawn()
        .unwrap();
    let progress = || {
        block_on(async {
            let Ok(mut book) = SqliteConnection::connect(&book.url).await else { return 0 };
            let count: Result<(i64,), _> = sqlx::query_as("SELECT rows_read FROM pulls").fetch_one(&mut book).await;
            count.map_or(0, |(count,)| count)
        })
    };
    while progress() < 3_000 {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    first.kill().unwrap();
    first.wait().unwrap();
    let before = progress();
    assert!(before < 30_000, "it was killed in the middle");
    let (code, said) = farthing(&["pull", "oceans", "--database", &theirs.url, "--into", &book.url]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(progress(), 30_000, "{before} rows before the crash; {said}");
    let (_, spent) = farthing(&["report", "spend", "--format", "csv", "--database", &book.url]);
    assert!(spent.contains("35.1"), "30,000 calls at 0.00117 USD: {spent}");
}

#[test]
fn a_row_without_a_price_is_kept_with_both_reasons_and_their_file_is_never_written() {
    let (theirs, book) = (TestDatabase::sqlite(), TestDatabase::sqlite());
    let unpriced = row(1, DAY)
        .replace("openai/gpt-4o-mini", "acme/nobody")
        .replace("'priced'", "'unpriced'")
        .replace("{\"prompt_tokens\":9000,\"completion_tokens\":700,\"cost\":0.00117}", "{}");
    block_on(run(Kind::Sqlite, &theirs.url, &[table(Kind::Sqlite), unpriced]));
    let file = theirs.url.trim_start_matches("sqlite://").to_owned();
    let before = std::fs::read(&file).unwrap();
    let (code, said) = farthing(&["pull", "oceans", "--database", &theirs.url, "--into", &book.url]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("req-1@user:u7: held: no rate card for openrouter/acme/nobody"), "{said}");
    let (_, held) = farthing(&["held", "list", "--database", &book.url]);
    assert!(held.contains("acme/nobody"), "{held}");
    assert_eq!(std::fs::read(&file).unwrap(), before);

    let (code, said) = farthing(&["pull", "oceans", "--database", &book.url, "--into", &book.url]);
    assert_eq!(code, 64, "{said}");
    let (code, said) = farthing(&["pull", "oceans", "--database", "sqlite:///nowhere/at/all.db", "--into", &book.url]);
    assert_eq!(code, 74, "{said}");
}
