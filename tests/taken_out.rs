//! A book of which the rows of its first month were taken out: what is still there is still proved, nothing is told without
//! what is missing, and what was booked is not booked again.

use crate::support::database::{TestDatabase, block_on};
use farthing::catalog::source::own;
use farthing::flow::adjust::Wish as Adjust;
use farthing::flow::archive::read::verify_with;
use farthing::flow::focus::Wish as Focus;
use farthing::flow::ingest::{Outcome, Prepared};
use farthing::flow::publish::{CatalogFiles, Wish as Publish};
use farthing::flow::reconcile::{Origin, Wish as Against};
use farthing::flow::{Farthing, now, periods};
use farthing::id::{EventNumber, Org};
use farthing::ledger::Account;
use farthing::ledger::decision::{About, Adjustment};
use farthing::ledger::seal::name_hash;
use farthing::money::{Amount, Currency};
use farthing::rating::HeldReason;
use farthing::reconcile::Asked;
use farthing::reconcile::statement::Form;
use farthing::time::{Instant, Month, Period};
use farthing::usage::Text;
use farthing::usage::dialect::{Context, native};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Executor, SqlitePool};
use std::path::PathBuf;
use tokio::sync::mpsc;

const ORG: Org = Org(1);
const PRICES: &str =
    "provider: acme\nabsent: unknown\nmodels:\n  - model: haiku\n    cards: [{input_per_1m: \"1\", output_per_1m: \"2\"}]\n";

/// A book with twenty events of January and twenty of February. January was closed and archived, and then its rows were
/// taken out.
struct Case {
    _database: TestDatabase,
    farthing: Farthing,
    archive: PathBuf,
    pool: SqlitePool,
}

impl Case {
    async fn new() -> Case {
        let database = TestDatabase::sqlite();
        let farthing = Farthing::open(&database.options(), &CatalogFiles::Shipped).await.unwrap();
        let wish = Publish { parts: own::read(PRICES).unwrap(), accept: true, ..Publish::default() };
        farthing.publish(ORG, &wish).await.unwrap();
        let archive = database.directory().join("2026-01");
        let case = Case { farthing, archive, pool: SqlitePool::connect(&database.url).await.unwrap(), _database: database };
        for number in 0..20 {
            case.commit(&[january(number)]).await;
        }
        case
    }

    /// January is closed and archived, February goes on, and January's rows go.
    async fn go_on(&self) {
        let last = self.close_january().await;
        for number in 0..20 {
            let at = "2026-02-05T00:00:00Z";
            self.commit(&[json!({"id": format!("f{number}"), "occurred_at": at, "user": format!("u{}", number % 3)})]).await;
        }
        self.take_out(last).await;
    }

    /// Closes and archives January; answers its last block with the last entry and the last record in it.
    async fn close_january(&self) -> (i64, i64, i64) {
        self.close("2026-01").await.unwrap();
        let manifest = self.farthing.archive(ORG, month("2026-01"), &self.archive, |_, _| {}).await.unwrap();
        // The closing is all that came after it.
        let closing = self.farthing.store.head(ORG).await.unwrap().next_record - 1;
        (manifest.book.block, manifest.parts[0].last_sequence, closing - 1)
    }

    async fn take_out(&self, (block, sequence, record): (i64, i64, i64)) {
        self.unprotect().await;
        let gone = format!("DELETE FROM entries WHERE sequence <= {sequence}; DELETE FROM events WHERE record <= {record}");
        self.pool.execute(AssertSqlSafe(gone)).await.unwrap();
        assert_eq!(self.farthing.store.taken_out(ORG).await.unwrap().unwrap().0, block);
    }

    async fn unprotect(&self) {
        let triggers = "SELECT name FROM sqlite_schema WHERE type = 'trigger'";
        for trigger in sqlx::query_scalar::<_, String>(triggers).fetch_all(&self.pool).await.unwrap() {
            self.pool.execute(AssertSqlSafe(format!("DROP TRIGGER {trigger}"))).await.unwrap();
        }
    }

    async fn prepare(&self, event: &Value) -> Prepared {
        let mut sent = json!({"source": "gw", "provider": "acme", "model": "haiku", "team": "search",
            "usage": {"input": 1_000, "output": 5}});
        sent.as_object_mut().unwrap().extend(event.as_object().unwrap().clone());
        let context = Context { received_at: now(), source: None, strict: true };
        let in_force = self.farthing.newest(ORG).await.unwrap();
        self.farthing.prepare(ORG, &in_force, native::read(&sent.to_string(), &context).unwrap())
    }

    async fn commit(&self, events: &[Value]) -> Vec<Outcome> {
        let mut prepared = Vec::new();
        for event in events {
            prepared.push(self.prepare(event).await);
        }
        self.farthing.commit_events(&prepared, || false).await.unwrap()
    }

    async fn close(&self, text: &str) -> Result<(), String> {
        let wish = periods::Wish { month: month(text), accept_held: true, note: String::new(), author: "ann".to_owned() };
        self.farthing.close_period(ORG, &wish, |_, _| {}).await.map(drop).map_err(|e| e.to_string())
    }

    /// What a proof by the archive finds.
    async fn proof(&self) -> String {
        match verify_with(&self.farthing, ORG, std::slice::from_ref(&self.archive), |_, _| {}).await {
            Ok(Ok(verified)) => format!("{} entries", verified.entries),
            Ok(Err(broken)) => format!("{} {}: {}", broken.block, broken.record.unwrap_or_default(), broken.why),
            Err(e) => e.to_string(),
        }
    }
}

fn month(text: &str) -> Month {
    text.parse().unwrap()
}

fn january(number: u32) -> Value {
    json!({"id": format!("e{number}"), "occurred_at": "2026-01-05T00:00:00Z", "user": format!("u{}", number % 3),
        "provider_request_id": format!("call-{number}")})
}

fn why(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Rejected(why) => why.to_string(),
        other => format!("{other:?}"),
    }
}

#[test]
fn a_focus_export_is_refused_where_entries_were_taken_out() {
    block_on(async {
        let case = Case::new().await;
        case.go_on().await;
        let focus = async |wish: &Focus| {
            let (to, mut rows) = mpsc::channel(100);
            let exported = case.farthing.focus(ORG, wish, to).await;
            while rows.recv().await.is_some() {}
            exported
        };
        let refused = focus(&Focus::default()).await.unwrap_err().to_string();
        assert!(refused.contains("ask the archive of their month"), "{refused}");
        let since = Focus { from: Some(Instant::parse("2026-02-01T00:00:00Z").unwrap()), ..Focus::default() };
        assert_eq!(focus(&since).await.unwrap().entries, 20, "a range that does not need them");
    });
}

#[test]
fn a_month_of_which_entries_were_taken_out_stays_closed() {
    block_on(async {
        let case = Case::new().await;
        case.go_on().await;
        let head = case.farthing.store.head(ORG).await.unwrap();
        let refused = case.farthing.reopen_period(ORG, month("2026-01"), "an invoice", "ann").await.unwrap_err().to_string();
        assert!(refused.starts_with("2026-01 stays closed: entries that may count in it were taken out"), "{refused}");
        assert_eq!(case.farthing.store.head(ORG).await.unwrap(), head);
    });
}

#[test]
fn what_is_left_of_blocks_whose_rows_were_taken_out_is_proved() {
    block_on(async {
        let case = Case::new().await;
        case.go_on().await;
        assert_eq!(case.proof().await, "40 entries");
        let user = "FROM names WHERE kind = 8 AND text = 'u1'";
        let name: i64 = sqlx::query_scalar(AssertSqlSafe(format!("SELECT name {user}"))).fetch_one(&case.pool).await.unwrap();
        let keep =
            ["names", "owners", "products", "blocks"].map(|table| format!("CREATE TABLE kept_{table} AS SELECT * FROM {table};"));
        case.pool.execute(AssertSqlSafe(keep.concat())).await.unwrap();
        let (text, owner, product) = (format!("name {name}: its text does not have its hash"), "owner 2", "product 1");
        let otherwise = "its bytes are not those that were sealed";
        let own = "it is not what its archive proves";
        let hash = name_hash(&[7; 16], 8, "eve").iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let renamed =
            format!("UPDATE names SET text = 'eve', salt = X'{}', hash = X'{hash}' WHERE name = {name}", "07".repeat(16));
        // What is done, what the archive finds, and what is found without it.
        let cases = [
            (format!("UPDATE names SET text = 'eve' WHERE name = {name}"), text.clone(), Some(text)),
            (renamed, format!("name {name}: {own}"), Some(format!("name {name}: {otherwise}"))),
            (format!("UPDATE names SET name = -1 WHERE name = {name}"), format!("name {name}: {own}"), None),
            (
                "UPDATE owners SET team = 0 WHERE owner = 2".to_owned(),
                format!("{owner}: {own}"),
                Some(format!("{owner}: {otherwise}")),
            ),
            (
                "UPDATE products SET provider = model WHERE product = 1".to_owned(),
                format!("{product}: {own}"),
                Some(format!("{product}: {otherwise}")),
            ),
            ("UPDATE blocks SET marks = zeroblob(length(marks)) WHERE block = 2".to_owned(), format!("2 : {own}"), None),
            ("UPDATE blocks SET hash = zeroblob(32) WHERE block = 2".to_owned(), format!("2 : {own}"), None),
        ];
        for (change, by_archive, by_itself) in cases {
            case.pool.execute(AssertSqlSafe(change.clone())).await.unwrap();
            let found = case.proof().await;
            assert!(found.contains(&by_archive), "{change}: {found}");
            if let Some(expected) = by_itself {
                let refused = case.close("2026-02").await.unwrap_err();
                assert!(refused.contains(&expected), "{change}: {refused}");
            }
            for table in ["names", "owners", "products", "blocks"] {
                let back = format!("DELETE FROM {table}; INSERT INTO {table} SELECT * FROM kept_{table}");
                case.pool.execute(AssertSqlSafe(back)).await.unwrap();
            }
        }
        assert_eq!(case.proof().await, "40 entries");
        case.pool.execute("UPDATE books SET first_open_period = 0").await.unwrap();
        let found = case.proof().await;
        assert!(found.contains("its first open month is 0000-01 and by what was closed 2026-02"), "{found}");
    });
}

#[test]
fn rows_that_were_not_taken_out_are_proved_although_an_archive_has_them() {
    block_on(async {
        let case = Case::new().await;
        case.close("2026-01").await.unwrap();
        case.farthing.archive(ORG, month("2026-01"), &case.archive, |_, _| {}).await.unwrap();
        case.unprotect().await;
        assert_eq!(case.proof().await, "20 entries");
        case.pool.execute("UPDATE entries SET micro = micro + 1 WHERE sequence = 3").await.unwrap();
        let found = case.proof().await;
        assert!(found.contains("entry 3: its bytes are not those that were sealed"), "{found}");
    });
}

#[test]
fn an_event_whose_month_was_taken_out_is_answered_by_itself() {
    block_on(async {
        let case = Case::new().await;
        case.go_on().await;
        let entries = case.farthing.store.head(ORG).await.unwrap().next_sequence;
        let new = json!({"id": "new", "occurred_at": "2026-02-06T00:00:00Z"});
        let changed = json!({"id": "e4", "occurred_at": "2026-01-05T00:00:00Z", "usage": {"input": 7, "output": 0}});
        let outcomes = case.commit(&[january(3), new, changed, january(3)]).await;
        let gone = |event: i64| {
            format!("id: this is event {event} already, and its month was taken out of this database, so what was booked stands")
        };
        assert_eq!([why(&outcomes[0]), why(&outcomes[2]), why(&outcomes[3])], [gone(4), gone(5), gone(4)]);
        assert!(matches!(outcomes[1], Outcome::Posted { .. }), "{:?}", outcomes[1]);
        assert_eq!(case.farthing.store.head(ORG).await.unwrap().next_sequence.0, entries.0 + 1);
        let verified = case.proof().await;
        assert_eq!(verified, "41 entries");
    });
}

#[test]
fn a_call_whose_month_was_taken_out_is_not_charged_on_another_word() {
    block_on(async {
        let case = Case::new().await;
        case.go_on().await;
        let before = case.farthing.store.head(ORG).await.unwrap();
        let other = json!({"id": "x", "source": "other", "occurred_at": "2026-02-06T00:00:00Z", "provider_request_id": "call-7"});
        let outcomes = case.commit(&[other]).await;
        let expected = "provider_request_id: event 8 holds this call already, and its month was taken out of this database, so what \
                        was booked stands";
        assert_eq!(why(&outcomes[0]), expected);
        assert_eq!(case.farthing.store.head(ORG).await.unwrap(), before);
    });
}

#[test]
fn an_event_that_waited_when_its_month_was_taken_out_is_answered_by_itself() {
    block_on(async {
        let case = Case::new().await;
        let held = |input: u32| {
            json!({"id": "held", "occurred_at": "2026-01-05T00:00:00Z", "model": "nobody-knows",
                "usage": {"input": input, "output": 0}})
        };
        let outcomes = case.commit(&[held(5), january(30)]).await;
        assert!(matches!(outcomes[0], Outcome::Held { reason: HeldReason::NoRateCard, .. }), "{:?}", outcomes[0]);
        case.go_on().await;
        for again in [held(5), held(6)] {
            let outcomes = case.commit(&[again]).await;
            assert!(why(&outcomes[0]).starts_with("id: this is event 21 already"), "{outcomes:?}");
        }
        // What waits behind it is not hidden by it, however few are asked for.
        let waiting = json!({"id": "waits", "occurred_at": "2026-02-06T00:00:00Z", "model": "nobody-knows"});
        assert!(matches!(case.commit(&[waiting]).await[0], Outcome::Held { .. }));
        let first = case.farthing.held(ORG, None, EventNumber(0), 1).await.unwrap();
        assert_eq!(first.iter().map(|held| &*held.stored.event.id).collect::<Vec<_>>(), ["waits"]);
    });
}

#[test]
fn a_record_that_is_missing_among_others_is_answered_by_itself() {
    block_on(async {
        let case = Case::new().await;
        case.unprotect().await;
        case.pool.execute("DELETE FROM events WHERE record = 5").await.unwrap();
        let outcomes = case.commit(&[january(4), january(5)]).await;
        assert_eq!(
            why(&outcomes[0]),
            "id: this is event 5 already, and it is missing in this database; `farthing verify` says more"
        );
        assert_eq!(outcomes[1], Outcome::AlreadyPresent);
        assert_eq!(case.farthing.store.entries_of(ORG, EventNumber(5)).await.unwrap().len(), 1);
    });
}

#[test]
fn a_hole_in_the_book_charges_no_call_again_and_stops_nobody() {
    block_on(async {
        let case = Case::new().await;
        let waits = json!({"id": "waits", "occurred_at": "2026-01-05T00:00:00Z", "model": "nobody-knows"});
        let calls = json!({"id": "calls", "occurred_at": "2026-01-05T00:00:00Z", "provider_request_id": "gen-1"});
        let outcomes = case.commit(&[waits.clone(), calls.clone()]).await;
        assert!(matches!(outcomes[0], Outcome::Held { .. }), "{outcomes:?}");
        case.unprotect().await;
        // The records of both are gone, and what came before them is there.
        case.pool.execute("DELETE FROM events WHERE record > 20").await.unwrap();
        let before = case.farthing.store.head(ORG).await.unwrap();
        let mut other = calls.clone();
        other["source"] = json!("another");
        let outcomes = case.commit(&[waits, other]).await;
        let missing = "and it is missing in this database; `farthing verify` says more";
        assert_eq!(why(&outcomes[0]), format!("id: this is event 21 already, {missing}"));
        assert_eq!(why(&outcomes[1]), format!("provider_request_id: event 22 holds this call already, {missing}"));
        assert_eq!(case.farthing.store.head(ORG).await.unwrap(), before);
    });
}

#[test]
fn days_whose_entries_were_taken_out_are_not_compared_with_what_is_left() {
    block_on(async {
        let case = Case::new().await;
        case.go_on().await;
        let statement = async |day: &str| {
            let row = format!(
                r#"{{"data":[{{"date":"{day} 00:00:00","model_permaslug":"a/b-20260101","usage":1,"requests":1,"prompt_tokens":5,"completion_tokens":0}}]}}"#
            );
            let day = Instant::parse_date_or_instant(day).unwrap();
            let days = Period { from: day, until: Instant::from_micros(day.micros() + 86_400_000_000) };
            let origin = Origin { form: Some(Form::Activity), days: Some(days), ..Origin::default() };
            let kept = case.farthing.import_statement(ORG, &row, &origin).await.unwrap();
            let wish = Against { statement: kept.statement, block: None, asked: Asked::default() };
            case.farthing.reconcile(ORG, &wish).await.map(drop).map_err(|e| e.to_string())
        };
        let refused = statement("2026-01-05").await.unwrap_err();
        assert!(refused.contains("was taken out of this database, so the days from 2026-01-05T00:00:00Z on"), "{refused}");
        // Whatever is booked from now on is there.
        assert_eq!(statement("2999-01-01").await, Ok(()));
    });
}

#[test]
fn a_conflict_is_not_accepted_over_what_was_taken_out() {
    block_on(async {
        let case = Case::new().await;
        let ends = case.close_january().await;
        let says = async |more: Value| {
            let mut sent = january(4);
            sent.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            match case.commit(&[sent]).await.remove(0) {
                Outcome::Conflict { conflict, .. } => conflict,
                other => panic!("{other:?}"),
            }
        };
        // The first one changes no charge, so what stands for the event is still what was booked in January.
        let first = says(json!({"session": "s1"})).await;
        assert_eq!(case.farthing.accept_conflict(ORG, first, "ann").await.unwrap().len(), 1);
        let second = says(json!({"usage": {"input": 7, "output": 0}})).await;
        case.take_out(ends).await;
        let head = case.farthing.store.head(ORG).await.unwrap();
        let refused = case.farthing.accept_conflict(ORG, second, "ann").await.unwrap_err().to_string();
        assert!(refused.starts_with("what was booked for event 5 was taken out of this database"), "{refused}");
        assert_eq!(case.farthing.store.head(ORG).await.unwrap(), head);
    });
}

#[test]
fn what_was_taken_out_hides_no_conflict_or_suspect_behind_it() {
    block_on(async {
        let case = Case::new().await;
        // Of each month: another meaning of an id, and the same call under another id.
        let tell = async |sent: &Value| {
            let (mut other, mut alike) = (sent.clone(), sent.clone());
            other["usage"] = json!({"input": 7, "output": 0});
            alike["id"] = json!(format!("{} again", sent["id"].as_str().unwrap()));
            let outcomes = case.commit(&[sent.clone(), other, alike]).await;
            assert!(matches!(outcomes[1], Outcome::Conflict { .. }), "{outcomes:?}");
            assert!(matches!(outcomes[2], Outcome::Posted { .. }), "{outcomes:?}");
        };
        tell(&january(4)).await;
        case.go_on().await;
        let february = json!({"id": "f", "occurred_at": "2026-02-06T00:00:00Z", "provider_request_id": "call-f"});
        tell(&february).await;
        for limit in [1, 2, 100] {
            let conflicts = case.farthing.conflicts(ORG, true, 0, limit).await.unwrap();
            assert_eq!(conflicts.iter().map(|found| &*found.standing.event.id).collect::<Vec<_>>(), ["f"]);
            let suspects = case.farthing.suspects(ORG, true, 0, limit).await.unwrap();
            let pairs: Vec<_> = suspects.iter().map(|found| (&*found.event.event.id, &*found.about.event.id)).collect();
            assert_eq!(pairs, [("f again", "f")]);
        }
        assert_eq!(case.farthing.store.open_conflicts(ORG).await.unwrap(), 2);
    });
}

#[test]
fn an_adjustment_that_is_sent_again_after_its_month_was_taken_out_is_booked_no_second_time() {
    block_on(async {
        let case = Case::new().await;
        let text = |text: &str| Text::new(text).unwrap();
        let adjustment = Adjustment {
            id: text("fee"),
            amount: Amount::parse("1.5").unwrap(),
            currency: Currency::USD,
            debit: Account::parse("cost:-/-").unwrap(),
            credit: Account::parse("payable:acme").unwrap(),
            reason: text("a fee"),
            author: text("ann"),
            occurred_at: Instant::parse("2026-01-07T00:00:00Z").unwrap(),
            about: About::default(),
        };
        let wish = Adjust { adjustment, with_time: true };
        assert!(!case.farthing.adjust(ORG, &wish).await.unwrap().was_there);
        assert!(case.farthing.adjust(ORG, &wish).await.unwrap().was_there);
        case.go_on().await;
        let head = case.farthing.store.head(ORG).await.unwrap();
        let refused = case.farthing.adjust(ORG, &wish).await.unwrap_err().to_string();
        assert!(refused.starts_with("adjustment fee is booked already, and what it says was taken out"), "{refused}");
        assert_eq!(case.farthing.store.head(ORG).await.unwrap(), head);
    });
}
